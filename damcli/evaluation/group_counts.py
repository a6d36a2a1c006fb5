"""Counts of pairs and of errors by the groups of both sides, exact, in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.counts import Counts
from damcli.evaluation.group_results import Point
from damcli.scoring.groups import NO_GROUP, Codes, Grouping
from damcli.scoring.matches import MatchChunk, Matches

# After the groups themselves.
CROSS, UNKNOWN = 0, 1
Lines = NDArray[np.int64]


class GroupCounts(NamedTuple):
    """The counts of one column with g groups; the last row and column are of no known group."""

    pairs: Counts
    """(2, g + 1, g + 1) by label; the group of the smaller number comes first."""
    errors: Counts
    """(points, 2, g + 1, g + 1): refused genuine pairs, accepted impostor pairs, by label."""


def lines_of(groups: Codes, count: int) -> Lines:
    """Tell which line of a table each pair belongs to.

    Parameters
    ----------
    groups
        (2, n) group numbers of both sides, below ``count``.

    Returns
    -------
    ndarray
        (n,) int64: the group where both sides are of one, ``count + CROSS`` where they are of
        two, ``count + UNKNOWN`` where a side has none.
    """
    probe, reference = groups
    lines = np.where(probe == reference, probe, count + CROSS).astype(np.int64)
    lines[(probe == NO_GROUP) | (reference == NO_GROUP)] = count + UNKNOWN
    return lines


def line_totals(cells: Counts) -> Counts:
    """Sum (..., g + 1, g + 1) cells to (..., g + 2) lines."""
    known = cells[..., :-1, :-1]
    own = np.diagonal(known, axis1=-2, axis2=-1)
    within, all_known = own.sum(axis=-1), known.sum(axis=(-2, -1))
    unknown = cells.sum(axis=(-2, -1)) - all_known
    others = np.stack([all_known - within, unknown], axis=-1)
    return np.concatenate([own, others], axis=-1)


def count_groups(matches: Matches, points: Sequence[Point]) -> list[GroupCounts]:
    """Count pairs, and errors at fixed thresholds, for each column of groups.

    A point without a threshold has no errors.
    """
    sizes = tuple(len(grouping.labels) + 1 for grouping in matches.groupings)
    pairs = [np.zeros((2, size * size), dtype=np.int64) for size in sizes]
    errors = [np.zeros((len(points), 2, size * size), dtype=np.int64) for size in sizes]
    for label, over in enumerate((matches.over_impostors, matches.over_genuine)):
        for found in over(_Cells(sizes, tuple(points), label)):
            for column, (all_of_them, wrong) in enumerate(found):
                pairs[column][label] += all_of_them
                errors[column][:, label] += wrong
    return [
        GroupCounts(
            pairs[column].reshape(2, size, size),
            errors[column].reshape(len(points), 2, size, size),
        )
        for column, size in enumerate(sizes)
    ]


@dataclass(frozen=True)
class _Cells:
    """Counts the pairs of a chunk, and their errors, by column of groups and cell."""

    sizes: tuple[int, ...]
    points: tuple[Point, ...]
    label: int

    def __call__(self, chunk: MatchChunk, start: int) -> list[tuple[Counts, Counts]]:
        del start
        wrong = [np.flatnonzero(_wrong(chunk, point, self.label)) for point in self.points]
        counted = []
        for column, size in enumerate(self.sizes):
            cells = _cells(chunk.groups[column], size)
            errors = np.zeros((len(wrong), size * size), dtype=np.int64)
            for place, found in enumerate(wrong):
                errors[place] = np.bincount(cells[found], minlength=size * size)
            counted.append((np.bincount(cells, minlength=size * size), errors))
        return counted


def _wrong(chunk: MatchChunk, point: Point, label: int) -> NDArray[np.bool_]:
    scores = chunk.scores[point.metric]
    if point.threshold is None:
        return np.zeros(len(scores), dtype=bool)
    return np.asarray(scores < point.threshold if label else scores >= point.threshold)


def _cells(groups: Codes, size: int) -> Lines:
    """Find each pair's cell of a square; no group stands last, the smaller number first."""
    numbers = groups.astype(np.int64)
    numbers[numbers == NO_GROUP] = size - 1
    return np.asarray(numbers.min(axis=0) * size + numbers.max(axis=0))


def by_name(grouping: Grouping) -> list[int]:
    """Return the numbers of the groups in the order of their labels."""
    return sorted(range(len(grouping.labels)), key=grouping.labels.__getitem__)
