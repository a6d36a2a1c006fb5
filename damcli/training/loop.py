"""The training loop."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from damcli.embedding.ranks import Ranks
from damcli.errors import InputError, UserError
from damcli.sources.source import ImageSource
from damcli.training.checkpoint import checkpoint_path, prune, save, steps_of
from damcli.training.data import Augment, Classes, Micro, stream
from damcli.training.learner import Learner, seed_draws
from damcli.training.log import Log, Row
from damcli.training.options import TrainOptions
from damcli.training.run_folder import RunFolder, write_json
from damcli.training.schedule import learning_rate
from damcli.training.validation import Validated, Validation


class Diverged(UserError):  # noqa: N818 - reads as what it is
    """The loss or the weights are no numbers any more; all processes raise it."""


class Stopped(Exception):  # noqa: N818 - reads as what it is
    """The user stopped the run, and a checkpoint of where it was is written."""


@dataclass(frozen=True)
class Job:
    """What a run works with.

    Attributes
    ----------
    options, source, classes
        What is trained, on what.
    validations
        In the first process; the others have none.
    folder, record
        Where all goes, and what is kept of how it came to be.
    ranks, device, workers
        Who works.
    """

    options: TrainOptions
    source: ImageSource
    classes: Classes
    validations: tuple[Validation, ...]
    folder: RunFolder
    record: Mapping[str, Any]
    ranks: Ranks
    device: str
    workers: int


@dataclass
class Progress:
    """How far a run is; what a checkpoint holds beside the weights.

    Attributes
    ----------
    step
        Updates done.
    losses
        Of the steps since the last row of the log.
    best
        The step, validation, metric and value of the best checkpoint; empty before the first.
    rejects
        Why images could not be read, by their place.
    """

    step: int = 0
    losses: list[float] = field(default_factory=list)
    best: dict[str, Any] = field(default_factory=dict)
    rejects: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listener:
    """Who hears of a run while it goes on.

    Attributes
    ----------
    on_step
        Called with the progress, the loss and the learning rate of every step.
    on_row
        Called with every row of the log, and with what was validated.
    stopping
        Whether the run shall end after this step.
    """

    on_step: Callable[[Progress, float, float], None]
    on_row: Callable[[Row, Mapping[str, Validated]], None]
    stopping: Callable[[], bool]


def train(job: Job, learner: Learner, progress: Progress, log: Log | None, to: Listener) -> None:
    """Train until the last step; all processes take part.

    Parameters
    ----------
    job
        The run.
    learner, progress
        Fresh, or those of a checkpoint; they are changed.
    log
        In the first process.
    to
        Who listens.

    Raises
    ------
    Diverged
        What is saved is from before.
    Stopped
        As was asked for, with a checkpoint of this step.
    """
    options, ranks = job.options, job.ranks
    micros = stream(
        job.source,
        job.classes,
        batch=options.batch,
        accumulate=options.accumulate,
        seed=options.seed,
        augment=_augment(options),
        start_step=progress.step,
        steps=options.steps,
        workers=job.workers,
        rank=ranks.rank,
        ranks=ranks.size,
        per_class=options.images_per_class,
        pin=job.device == "cuda",
    )
    seconds, timed = 0.0, 0
    while progress.step < options.steps:
        lr, began = learning_rate(options, progress.step), time.perf_counter()
        loss = _step(job, learner, progress, micros, lr)
        seconds, timed = seconds + time.perf_counter() - began, timed + 1
        progress.step += 1
        progress.losses.append(loss)
        to.on_step(progress, loss, lr)

        at_end = progress.step == options.steps
        stop = any(ranks.gather(to.stopping()))
        validated: Mapping[str, Validated] = {}
        if at_end or progress.step % options.validate_every == 0:
            validated = _validate(job, learner, progress)
        if at_end or validated or progress.step % options.log_every == 0:
            row = _row(job, progress, lr, timed / seconds, validated)
            if log is not None:
                log.write(row)
            to.on_row(row, validated)
            seconds, timed = 0.0, 0
        is_best = progress.best.get("step") == progress.step
        if at_end or stop or is_best or progress.step % options.save_every == 0:
            keep(job, learner, progress)
        if stop and not at_end:
            raise Stopped


def _step(
    job: Job, learner: Learner, progress: Progress, micros: Iterator[Micro], lr: float
) -> float:
    """Update once; return the loss before that, the mean over the batch of all processes."""
    parts, ranks = job.options.accumulate, job.ranks
    learner.criterion.next_step(progress.step)
    total = 0.0
    for part, (images, labels, rejects) in enumerate(islice(micros, parts)):
        progress.rejects |= {reject.place: reject.reason for reject in rejects}
        seed_draws(job.options.seed, progress.step, part * ranks.size + ranks.rank)
        with learner.gathering(last=part == parts - 1):
            embeddings = learner.embeddings(images)  # (b, 3, 112, 112) -> (b, D)
            loss = learner.loss(embeddings, labels) / parts  # (b, D), (b,) -> ()
            learner.scaler.scale(loss).backward()
        total += float(loss.detach())
    if not math.isfinite(total):
        raise _diverged(job, progress.step + 1, f"the loss is {total} at learning rate {lr:g}")
    learner.update(lr)
    return total


def _validate(job: Job, learner: Learner, progress: Progress) -> Mapping[str, Validated]:
    """Try the model in the first process, tell all, and note if it is the best so far."""
    _check_finite(job, learner, progress)
    try:
        mine = {one.name: one.run(learner.embed) for one in job.validations}
    except InputError:  # an image is gone
        raise
    except UserError as error:  # weights too large for their outputs to be numbers
        raise _diverged(job, progress.step, str(error)) from error
    found: Mapping[str, Validated] = job.ranks.gather(mine)[0]
    for name, result in islice(found.items(), 1):
        best = progress.best
        comparable = (best.get("validation"), best.get("metric")) == (name, result.metric)
        if not comparable or result.value > best["value"]:
            progress.best = {
                "step": progress.step,
                "validation": name,
                "metric": result.metric,
                "value": result.value,
            }
    return found


def _row(
    job: Job, progress: Progress, lr: float, rate: float, found: Mapping[str, Validated]
) -> Row:
    losses, batch = progress.losses, job.options.batch
    row = Row(
        step=progress.step,
        epoch=progress.step * batch / len(job.source),
        loss=math.fsum(losses) / len(losses),
        lr=lr,
        images_per_second=rate * batch,
        validations={
            f"{name} {metric}": value
            for name, one in found.items()
            for metric, value in ((one.metric, one.value), *one.further.items())
        },
    )
    losses.clear()
    return row


def keep(job: Job, learner: Learner, progress: Progress) -> None:
    """Write a checkpoint, and remove all but this and the best."""
    ranks, folder = job.ranks, job.folder
    _check_finite(job, learner, progress)
    for others in ranks.gather(progress.rejects):
        progress.rejects |= others
    state: dict[str, Any] = {}
    if ranks.is_first:
        done = {name: getattr(progress, name) for name in ("losses", "best", "rejects")}
        state = {**learner.state(progress.step), **job.record, "progress": done}
    save(folder.checkpoints, progress.step, state, learner.centres(), ranks)
    if ranks.is_first:
        if progress.best:
            write_json(folder.best, progress.best)
        prune(folder.checkpoints, {progress.step, progress.best.get("step", progress.step)})


def _check_finite(job: Job, learner: Learner, progress: Progress) -> None:
    """Raise in all processes, where the centres of one alone are no numbers as well."""
    if not all(job.ranks.gather(learner.is_finite())):
        raise _diverged(job, progress.step, "the weights are no numbers any more")


def _diverged(job: Job, step: int, found: str) -> Diverged:
    kept = steps_of(job.folder.checkpoints)
    last = (
        f"{checkpoint_path(job.folder.checkpoints, kept[-1])} is the last good checkpoint: go on "
        "from it with --resume and"
        if kept
        else "there is no checkpoint yet: start over with --force and"
    )
    half = " or --precision bf16" if job.options.precision == "fp16" else ""
    half = " or --precision fp32" if job.options.precision == "bf16" else half
    return Diverged(
        f"step {step:,}: {found}; expected a finite number",
        hint=f"{last} a lower --lr, --clip 5{half}",
    )


def _augment(options: TrainOptions) -> Augment:
    jitter = options.jitter
    return Augment(
        flip=0.5 if options.flip else 0.0,
        brightness=jitter,
        contrast=jitter,
        saturation=jitter,
        crop=options.crop,
    )
