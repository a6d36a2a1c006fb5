"""Whether a validation shows what the training shows, so that its numbers flatter the model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from damcli.models.preprocessing import Preprocessing
from damcli.sources.source import ImageSource
from damcli.training.validation import Validation
from damcli.training.validation_images import framed_batches, pixel_digest

SAMPLE = 10_000
_SHOWN = 3


def overlap_warnings(
    validations: Sequence[Validation],
    training: ImageSource,
    labels: Sequence[str],
    preprocessing: Preprocessing,
    *,
    sample: int = SAMPLE,
    seed: int = 0,
) -> tuple[str, ...]:
    """Say what validations share with the training set.

    Subjects are compared by their names alone, where a validation has any. Images are
    compared by their pixels once resized, whatever file they lie in: those of a validation
    with a random sample of the training set, which is enough to tell a validation that lies
    in the training set as a whole, not enough to find every single image.

    Parameters
    ----------
    validations
        What the model will be validated on.
    training
        The training images; those that cannot be read are not compared.
    labels
        The names of the subjects of the training set.
    preprocessing
        As for the validations.
    sample
        How many training images are compared; fewer training images are all compared.
    seed
        Of the sample.

    Returns
    -------
    tuple of str
        A warning for each validation that shares subjects, and one for each that shares
        images. Each says what was compared.
    """
    warnings = [_by_name(validation, labels) for validation in validations]
    if validations:
        warnings += _by_pixels(validations, training, preprocessing, sample, seed)
    return tuple(warning for warning in warnings if warning is not None)


def _by_name(validation: Validation, labels: Sequence[str]) -> str | None:
    subjects = validation.images.subjects
    mine = set() if subjects is None else set(subjects)
    shared = sorted(mine & set(labels))
    if not shared:
        return None
    return (
        f"{validation.name}: {len(shared):,} of its {len(mine):,} subjects have the name of a "
        f"training subject: {_some(shared)}; if they are the same people, its numbers flatter "
        "the model"
    )


def _by_pixels(
    validations: Sequence[Validation],
    training: ImageSource,
    preprocessing: Preprocessing,
    sample: int,
    seed: int,
) -> list[str]:
    count = min(sample, len(training))
    rows = np.sort(np.random.default_rng(seed).choice(len(training), count, replace=False))
    compared = 0
    known = [set(validation.images.digests.tolist()) for validation in validations]
    found: list[list[str]] = [[] for _ in validations]
    for batch in framed_batches(training, rows, preprocessing):
        compared += len(batch.ready)
        for one in batch.ready:
            digest = pixel_digest(one.image)
            for places, digests in zip(found, known, strict=True):
                if digest in digests:
                    places.append(one.place)
    return [
        f"{validation.name}: {len(places):,} of {compared:,} training images compared (of "
        f"{len(training):,}) are, pixel by pixel, among its own: {_some(places)}; its numbers "
        "flatter the model"
        for validation, places in zip(validations, found, strict=True)
        if places
    ]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
