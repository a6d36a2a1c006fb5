"""Match counts: everything that ROC, EER, AUC and accuracy need, exact, in bounded memory.

All genuine scores are held, sorted; impostors stream past once. Counting the impostors
at or above each genuine score is enough for every quantity but the thresholds at a
given FAR, for which the highest impostor scores are held as well.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.scoring.matches import MatchChunk, Matches

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
    genuine = sorted_genuine(matches)
    impostors = matches.impostor_count
    most = max((allowed_false_accepts(far, impostors) for far in fars), default=0)
    keep = min(impostors, 1 + most)
    tallies = [Tally.empty(len(scores), keep) for scores in genuine]
    for found in matches.over_impostors(_Against(tuple(genuine), keep)):
        for tally, part in zip(tallies, found.tallies, strict=True):
            tally.add(part)
        if progress is not None:
            progress(found.impostors)
    return [
        MatchCounts(scores, tally.at, tally.above, tally.highest(), impostors)
        for scores, tally in zip(genuine, tallies, strict=True)
    ]


def sorted_genuine(matches: Matches) -> list[Floats]:
    """Return the genuine scores of each metric, ascending."""
    parts = list(matches.over_genuine(_scores))
    return list(np.sort(np.concatenate(parts, axis=1), axis=1))


def _scores(chunk: MatchChunk, start: int) -> Floats:
    del start
    return chunk.scores


class Tally:
    """Some impostors counted against G genuine scores; tallies of parts add up to the whole's.

    Parameters
    ----------
    at, above
        (G,) int64, impostors with a score >= and > each genuine score.
    top
        The highest impostor scores, in any order; at least ``keep`` where there are as many.
    keep
        How many of the highest are wanted.
    """

    def __init__(self, at: Counts, above: Counts, top: Floats, keep: int) -> None:
        self.at = at
        self.above = above
        self._keep = keep
        self._tops = [top]

    @classmethod
    def empty(cls, genuine: int, keep: int) -> Tally:
        """Count nothing yet."""
        zeros = np.zeros((2, genuine), dtype=np.int64)
        return cls(zeros[0], zeros[1], np.empty(0), keep)

    @classmethod
    def of(cls, impostors: Floats, genuine: Floats, keep: int) -> Tally:
        """Count impostors, (n,) in any order, against genuine scores, (G,) ascending."""
        ordered = np.sort(impostors)
        if len(genuine) <= len(ordered):
            below = np.searchsorted(ordered, genuine, "left")
            not_above = np.searchsorted(ordered, genuine, "right")
        else:
            # The g-th genuine score is above those impostors that find their place at g or before.
            places = (np.searchsorted(genuine, ordered, side) for side in ("right", "left"))
            below, not_above = (
                np.cumsum(np.bincount(place, minlength=len(genuine) + 1)[:-1]) for place in places
            )
        top = ordered[max(0, len(ordered) - keep) :].copy()
        return cls(len(ordered) - below, len(ordered) - not_above, top, keep)

    def add(self, other: Tally) -> None:
        """Count the impostors of another tally as well."""
        self.at += other.at
        self.above += other.above
        self._tops += other._tops
        held = sum(len(top) for top in self._tops)
        if held > 2 * self._keep + len(self._tops[-1]):
            self._shrink()

    def highest(self) -> Floats:
        """Return the ``keep`` highest impostor scores, descending."""
        self._shrink()
        return np.sort(self._tops[0])[::-1]

    def _shrink(self) -> None:
        together = np.concatenate(self._tops)
        if len(together) > self._keep:
            together = np.partition(together, len(together) - self._keep)[-self._keep :]
        self._tops = [together]


class _Tallied(NamedTuple):
    tallies: list[Tally]
    impostors: int


@dataclass(frozen=True)
class _Against:
    """Tallies a chunk of impostors, for each metric."""

    genuine: tuple[Floats, ...]
    keep: int

    def __call__(self, chunk: MatchChunk, start: int) -> _Tallied:
        del start
        tallies = [
            Tally.of(scores, genuine, self.keep)
            for scores, genuine in zip(chunk.scores, self.genuine, strict=True)
        ]
        return _Tallied(tallies, chunk.scores.shape[1])
