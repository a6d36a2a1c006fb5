"""From a source of images to the micro-batches of a run, the same however it is cut.

Nothing here remembers anything: what a rank sees at a step depends on the source, the seed
and the step alone.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from damcli.errors import MissingExtra, UserError
from damcli.models.backbones import PREPROCESSING
from damcli.sources.source import ImageSource
from damcli.training.augment import Augment
from damcli.training.classes import Classes, classes_of
from damcli.training.examples import Example, Reject, TrainingSet
from damcli.training.order import Grouped, Order, Shuffled

__all__ = ["Augment", "Classes", "Micro", "Reject", "classes_of", "stream"]


class Micro(NamedTuple):
    """What one rank looks at in one go."""

    images: Any
    """Tensor (b, 3, 112, 112) float32, as `PREPROCESSING` says."""
    labels: Any
    """Tensor (b,) int64, the classes, 0 to C - 1."""
    rejects: list[Reject]
    """Broken images that stood here and were replaced; each is named once an epoch."""


def stream(
    source: ImageSource,
    classes: Classes,
    *,
    batch: int,
    accumulate: int = 1,
    seed: int = 0,
    augment: Augment,
    start_step: int = 0,
    steps: int,
    workers: int = 0,
    rank: int = 0,
    ranks: int = 1,
    per_class: int | None = None,
    pin: bool = False,
) -> Iterator[Micro]:
    """Yield the micro-batches of a rank, step by step, while workers read ahead.

    Micro-batch m of step t holds positions ``t B + (m R + r) b + [0, b)`` of the run, where B
    is the batch of all R ranks together and ``b = B / (accumulate R)``: two ranks see at once
    what one rank that accumulates two sees one after the other. What stands at a position:
    `damcli.training.order`.

    Parameters
    ----------
    source, classes
        The images, and what `classes_of` says of them.
    batch
        B, the images of a step, over all ranks and micro-batches.
    accumulate
        Micro-batches a step and rank.
    seed
        Of order and variations; >= 0.
    augment
        How far the images are varied.
    start_step, steps
        Steps ``start_step`` to ``steps - 1`` are given, counted from 0: ``steps`` is the
        length of the run, and ``start_step`` what is done of it already.
    workers
        Processes that read ahead; 0 reads when asked. The result does not depend on it.
    rank, ranks
        r and R.
    per_class
        K where every batch shall hold B / K classes with K images each.
    pin
        Put the tensors into page-locked memory; for CUDA.

    Yields
    ------
    Micro
        ``accumulate`` of them a step.

    Raises
    ------
    UserError
        The batch cannot be parted as asked.
    InputError
        Too many images in a row cannot be read.
    """
    size = _micro_size(batch, accumulate, ranks, per_class or 1)
    order: Order = (
        Shuffled(len(source), seed)
        if per_class is None
        else Grouped(classes, batch=batch, per_class=per_class, seed=seed)
    )
    examples = TrainingSet(source, classes, order, augment, seed)
    places = (
        range(start, start + size)
        for step in range(start_step, steps)
        for start in range(step * batch + rank * size, (step + 1) * batch, ranks * size)
    )
    return _load(examples, places, workers, pin)


def _micro_size(batch: int, accumulate: int, ranks: int, per_class: int) -> int:
    """Return b, which holds whole groups of a class."""
    size, rest = divmod(batch, accumulate * ranks)
    if rest or size < 1 or size % per_class:
        groups = "" if per_class == 1 else f", each with {per_class} images of every class in it"
        raise UserError(
            f"a batch of {batch} cannot be parted among {ranks} ranks × {accumulate} "
            f"micro-batches{groups}",
            hint=f"make it a multiple of {accumulate * ranks * per_class}",
        )
    return size


def _load(
    examples: TrainingSet, places: Iterable[range], workers: int, pin: bool
) -> Iterator[Micro]:
    try:
        import torch
        from torch.utils.data import DataLoader
    except ImportError as error:
        raise MissingExtra("training", "torch") from error
    with warnings.catch_warnings():
        # of more workers than cores, and of forking beside threads, of which workers use none
        warnings.simplefilter("ignore")
        micros = iter(
            DataLoader(
                examples,
                batch_sampler=places,
                collate_fn=_together,
                num_workers=workers,
                worker_init_fn=_ignore_interrupts,
                multiprocessing_context="fork" if workers and sys.platform == "linux" else None,
                pin_memory=pin,
                generator=torch.Generator(),  # else it would draw a number from the run's own
            )
        )
    for micro in micros:
        if not len(micro.images):
            raise examples.all_broken(micro.rejects)
        yield micro


def _together(examples: list[Example]) -> Micro:
    import torch

    rejects = [example.reject for example in examples if example.reject is not None]
    images = [example.image for example in examples if example.image is not None]
    if len(images) < len(examples):
        return Micro(torch.empty(0), torch.empty(0), rejects)
    labels = torch.tensor([example.label for example in examples])
    return Micro(torch.from_numpy(PREPROCESSING.apply(np.stack(images))), labels, rejects)


def _ignore_interrupts(_: int) -> None:
    """Leave signals that reach the workers as well to the process that they work for.

    They end with it, whatever it ends by.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
