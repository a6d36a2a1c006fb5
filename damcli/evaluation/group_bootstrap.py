"""Errors of each group on each resample, where thresholds are chosen anew as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.bootstrap import resample
from damcli.evaluation.counts import Floats
from damcli.evaluation.group_counts import lines_of
from damcli.evaluation.group_results import Point
from damcli.evaluation.sample import GroupedSide

Progress = Callable[[int], None]


def resampled_errors(
    genuine: GroupedSide,
    impostors: GroupedSide,
    column: int,
    groups: int,
    points: Sequence[Point],
    *,
    resamples: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Floats, Floats]:
    """Count errors and pairs by group on each resample; all points share the resamples.

    A threshold for a FAR, and the most accurate one, is chosen anew on each resample; a given
    one stays.

    Parameters
    ----------
    genuine, impostors
        The pairs, or a weighted sample of them.
    column, groups
        Which column tells them apart, and how many groups it has.
    points
        Where the metrics are cut; each has a threshold.
    resamples, seed, progress
        See `damcli.evaluation.bootstrap.resample`.

    Returns
    -------
    plain : ndarray
        (points + 1, 2, lines) float64: weights of errors at each point, then of all pairs, by
        label, for the sample itself.
    resampled : ndarray
        (resamples, points + 1, 2, lines).
    """
    sides = (impostors, genuine)
    lines = [lines_of(side.groups[column], groups) for side in sides]
    cuts = {
        metric: _Cuts(impostors.side.scores[metric], genuine.side.scores[metric], lines)
        for metric in {point.metric for point in points}
    }

    def count(genuine_weights: Floats, impostor_weights: Floats) -> Floats:
        found = np.zeros((len(genuine_weights), len(points) + 1, 2, groups + 2))
        for row, weights in enumerate(zip(impostor_weights, genuine_weights, strict=True)):
            for label in (0, 1):
                found[row, -1, label] = _summed(lines[label], weights[label], groups + 2)
            for cut in cuts.values():
                mine = [place for place, point in enumerate(points) if cuts[point.metric] is cut]
                found[row, mine] = cut.errors(*weights, [points[p] for p in mine], groups + 2)
        return found

    plain = count(genuine.side.weights[None], impostors.side.weights[None])[0]
    return plain, resample(
        genuine.side, impostors.side, count, resamples=resamples, seed=seed, progress=progress
    )


def _summed(lines: NDArray[np.int64], weights: Floats, count: int) -> Floats:
    return np.asarray(np.bincount(lines, weights, minlength=count), dtype=np.float64)


class _Cuts:
    """One metric's pairs in order: impostors from the highest score, genuine from the lowest."""

    def __init__(
        self, impostors: Floats, genuine: Floats, lines: Sequence[NDArray[np.int64]]
    ) -> None:
        self._orders = np.argsort(-impostors, kind="stable"), np.argsort(genuine, kind="stable")
        self._lines = [one[order] for one, order in zip(lines, self._orders, strict=True)]
        self._falling = -impostors[self._orders[0]]
        self._rising = genuine[self._orders[1]]
        candidates = np.unique(self._rising)
        self._accepted_at = np.searchsorted(self._falling, -candidates, "right")
        self._refused_at = np.searchsorted(self._rising, candidates, "left")

    def errors(
        self, impostor_weights: Floats, genuine_weights: Floats, points: Sequence[Point], count: int
    ) -> Floats:
        """Sum the weights of one resample's errors: (points, 2, count)."""
        weights = impostor_weights[self._orders[0]], genuine_weights[self._orders[1]]
        spent = np.concatenate([[0.0], np.cumsum(weights[0])])
        found = np.empty((len(points), 2, count))
        for place, point in enumerate(points):
            ends = self._ends(point, spent, weights[1])
            for label, end in enumerate(ends):
                found[place, label] = _summed(self._lines[label][:end], weights[label][:end], count)
        return found

    def _ends(self, point: Point, spent: Floats, genuine_weights: Floats) -> tuple[int, int]:
        """Return how many impostors are accepted, and how many genuine pairs refused."""
        if point.kind == "best":
            return self._most_accurate(spent, genuine_weights)
        if point.kind == "given":
            assert point.threshold is not None
            return (
                int(np.searchsorted(self._falling, -point.threshold, "right")),
                int(np.searchsorted(self._rising, point.threshold, "left")),
            )
        assert point.far is not None
        budget = point.far * spent[-1] * (1 + 1e-12)
        place = min(int(np.searchsorted(spent[1:], budget, "right")), len(spent) - 2)
        first_refused = self._falling[place]
        return (
            int(np.searchsorted(self._falling, first_refused, "left")),
            int(np.searchsorted(self._rising, -first_refused, "right")),
        )

    def _most_accurate(self, spent: Floats, genuine_weights: Floats) -> tuple[int, int]:
        missed = np.concatenate([[0.0], np.cumsum(genuine_weights)])
        wrong = spent[self._accepted_at] + missed[self._refused_at]
        best = int(np.argmin(wrong))
        if wrong[best] > missed[-1]:
            return 0, len(self._rising)
        return int(self._accepted_at[best]), int(self._refused_at[best])
