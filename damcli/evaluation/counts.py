"""Match counts: everything that ROC, EER, AUC and accuracy need, exact, in bounded memory.

All genuine scores are held, sorted; impostors stream past once. Counting the impostors
at or above each genuine score is enough for every quantity but the thresholds at a
given FAR, for which the highest impostor scores are held as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from damcli.scoring.matches import Matches

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class MatchCounts:
    """The counts of one metric.

    Attributes
    ----------
    genuine
        (G,) float64, the genuine scores, ascending.
    accepted_at
        (G,) int64, impostors with a score >= each genuine score.
    accepted_above
        (G,) int64, impostors with a score > each genuine score.
    top
        (T,) float64, the T highest impostor scores, descending.
    impostors
        How many impostors there are in all, >= T.
    """

    genuine: Floats
    accepted_at: Counts
    accepted_above: Counts
    top: Floats
    impostors: int


def allowed_false_accepts(far: float, impostors: int) -> int:
    """Return floor(FAR × impostors), without the rounding of floats (0.29 × 100 is 29)."""
    return math.floor(Fraction(str(far)) * impostors)


def count_matches(
    matches: Matches, fars: Sequence[float], progress: Progress | None = None
) -> list[MatchCounts]:
    """Count the impostors against the genuine scores, for each metric.

    Parameters
    ----------
    matches
        Scored pairs.
    fars
        False accept rates at which thresholds will be asked for.
    progress
        Called with the number of impostors counted since the last call.

    Returns
    -------
    list of MatchCounts
        One a metric.
    """
    genuine = _sorted_genuine(matches)
    keep = min(
        matches.impostor_count,
        1 + max((allowed_false_accepts(far, matches.impostor_count) for far in fars), default=0),
    )
    at = [np.zeros(len(scores), dtype=np.int64) for scores in genuine]
    above = [np.zeros(len(scores), dtype=np.int64) for scores in genuine]
    tops = [_Highest(keep) for _ in genuine]
    for chunk in matches.impostors():
        for metric, scores in enumerate(chunk.scores):
            ordered = np.sort(scores)
            at[metric] += len(ordered) - np.searchsorted(ordered, genuine[metric], "left")
            above[metric] += len(ordered) - np.searchsorted(ordered, genuine[metric], "right")
            tops[metric].add(ordered)
        if progress is not None:
            progress(chunk.scores.shape[1])
    return [
        MatchCounts(genuine[m], at[m], above[m], tops[m].descending(), matches.impostor_count)
        for m in range(len(genuine))
    ]


def _sorted_genuine(matches: Matches) -> list[Floats]:
    columns: Iterator[Floats] = (chunk.scores for chunk in matches.genuine())
    return list(np.sort(np.concatenate(list(columns), axis=1), axis=1))


class _Highest:
    """The highest scores of a stream of sorted chunks."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._parts: list[Floats] = []
        self._held = 0

    def add(self, ascending: Floats) -> None:
        part = ascending[max(0, len(ascending) - self._keep) :]
        self._parts.append(part.copy())
        self._held += len(part)
        if self._held > 2 * self._keep + len(part):
            self._shrink()

    def _shrink(self) -> None:
        together = np.concatenate(self._parts)
        if len(together) > self._keep:
            together = np.partition(together, len(together) - self._keep)[-self._keep :]
        self._parts, self._held = [together], len(together)

    def descending(self) -> Floats:
        self._shrink()
        return np.sort(self._parts[0])[::-1]
