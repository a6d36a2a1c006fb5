"""The subjects of a source as classes, numbered from 0."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.sources.source import ImageSource

UNKNOWN = -1
"""The class of an image of which it cannot be read whom it shows."""

_HINT = "put the images of each subject into a folder of its own, or list them as path,id,subject"


@dataclass(frozen=True)
class Classes:
    """Whom a network learns to tell apart.

    Attributes
    ----------
    labels
        C subjects, in natural order: 2 before 10. A subject's place is its class.
    counts
        (C,) int64, how many images show each; >= 1.
    of_row
        (N,) int64, the class of every image of the source, 0 to C - 1, or `UNKNOWN`.
    notes
        What the user should hear of.
    """

    labels: tuple[str, ...]
    counts: NDArray[np.int64]
    of_row: NDArray[np.int64]
    notes: tuple[str, ...] = ()


def classes_of(source: ImageSource) -> Classes:
    """Give the subjects of a source numbers; no image is decoded.

    Raises
    ------
    InputError
        The source does not say whom its images show, or all show one subject.
    """
    if not source.has_subjects:
        raise InputError(
            source.origin,
            "does not say whom its images show; expected a subject for each",
            hint=_HINT,
        )
    found: dict[str, int] = {}  # subjects by the order in which they appear
    appeared = np.full(len(source), UNKNOWN, dtype=np.int64)
    broken: list[InputError] = []
    for row in range(len(source)):
        try:
            subject = source.subject_of(row)
        except InputError as error:
            broken.append(error)
            continue
        appeared[row] = found.setdefault(str(subject), len(found))
    _check(source, list(found), broken)
    labels = sorted(found, key=natural)
    class_of = np.empty(len(labels) + 1, dtype=np.int64)
    class_of[[found[label] for label in labels]] = np.arange(len(labels))
    class_of[UNKNOWN] = UNKNOWN
    of_row = class_of[appeared]
    counts = np.bincount(of_row[of_row != UNKNOWN], minlength=len(labels))
    return Classes(tuple(labels), counts, of_row, tuple(_notes(counts, broken)))


def natural(label: str) -> tuple[object, ...]:
    """Return a key that sorts the numbers in names by their value, of any length."""
    parts = re.split("([0-9]+)", label)
    texts, numbers = parts[::2], [digits.lstrip("0") for digits in parts[1::2]]
    valued = ((len(number), number) for number in numbers)
    return (*chain.from_iterable(zip(texts, (*valued, ()), strict=True)), label)


def _check(source: ImageSource, subjects: list[str], broken: list[InputError]) -> None:
    if not subjects:
        raise InputError(
            source.origin,
            f"of none of its {len(source)} images can be read whom it shows; the first: "
            f"{broken[0]}",
            hint=broken[0].hint,
        )
    if len(subjects) == 1:
        raise InputError(
            source.origin,
            f"all {len(source) - len(broken)} images show one subject, '{subjects[0]}'; expected "
            "two or more",
            hint=_HINT,
        )


def _notes(counts: NDArray[np.int64], broken: list[InputError]) -> list[str]:
    notes = []
    if broken:
        notes.append(
            f"{len(broken)} left out, for it cannot be read whom they show; the first: {broken[0]}"
        )
    single = int((counts == 1).sum())
    if single:
        notes.append(f"{single} of {len(counts)} subjects with a single image")
    return notes
