"""The pairs that a bootstrap resamples: all of them, or a weighted sample where they are many.

What decides TAR at a low FAR are the highest impostor scores, so these are kept whole; the
chance to be kept falls with the rank, and a kept pair then stands for 1/chance pairs
(Horvitz and Thompson). The sample serves the intervals alone, never the numbers themselves.
What is drawn for a pair depends on the seed and on its place in the stream, not on how the
stream is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.counts import Floats, MatchCounts
from damcli.scoring.matches import MatchChunk, Matches

KEEP_ALL = 200_000
_TOP = 25_000
_REST = 100_000
_GENUINE = 100_000
# Philox counts in blocks of so many numbers.
_PHILOX_BLOCK = 4
# Gives each pair of a chunk a chance, (n,) float64.
Chances = Callable[[MatchChunk], Floats]


class Side(NamedTuple):
    """Genuine or impostor pairs of a sample."""

    scores: Floats
    """(metrics, n)."""
    weights: Floats
    """(n,), how many pairs each stands for."""
    probe_subjects: NDArray[np.int64]
    reference_subjects: NDArray[np.int64]


def sample(matches: Matches, counts: Sequence[MatchCounts], seed: int) -> tuple[Side, Side]:
    """Return the genuine and the impostor side."""
    share = 1.0 if matches.genuine_count <= KEEP_ALL else _GENUINE / matches.genuine_count
    flat = [(np.empty(0), np.array([share])) for _ in counts]
    ranked = [_chances_by_rank(one, matches.impostor_count) for one in counts]
    genuine, impostors = (_Keep(parts, Draws(seed, n)) for n, parts in enumerate((flat, ranked)))
    return (
        _together(matches.over_genuine(genuine)).side,
        _together(matches.over_impostors(impostors)).side,
    )


class GroupedSide(NamedTuple):
    """Genuine or impostor pairs of a sample, with their groups."""

    side: Side
    groups: NDArray[np.int16]
    """(columns, 2, n), of probe and reference."""


def grouped_sample(
    matches: Matches,
    counts: Sequence[MatchCounts],
    seed: int,
    chances: tuple[Chances, Chances],
) -> tuple[GroupedSide, GroupedSide]:
    """Return the genuine and the impostor side, small groups not thinned out like large ones.

    Parameters
    ----------
    matches, counts
        The pairs, and their counts where there are more than `KEEP_ALL` impostors.
    seed
        Of what is drawn.
    chances
        For genuine and for impostor pairs, what chance their groups give them at least.
    """
    flat = [(np.empty(0), np.zeros(1)) for _ in matches.metrics]
    ranked = flat
    if matches.impostor_count > KEEP_ALL:
        ranked = [_chances_by_rank(one, matches.impostor_count) for one in counts]
    genuine, impostors = (
        _Keep(parts, Draws(seed, n), at_least)
        for n, (parts, at_least) in enumerate(zip((flat, ranked), chances, strict=True))
    )
    return (
        _together(matches.over_genuine(genuine)),
        _together(matches.over_impostors(impostors)),
    )


def _chances_by_rank(counts: MatchCounts, impostors: int) -> tuple[Floats, Floats]:
    """Return ascending scores that part the impostors, and the chance within each part."""
    if impostors <= KEEP_ALL:
        return np.empty(0), np.ones(1)
    held = len(counts.top)
    ranks = []
    rank = min(_TOP, held)
    while rank < held:
        ranks.append(rank)
        rank *= 2
    ranks.append(held)
    chances = [min(1.0, _TOP / rank) for rank in ranks]
    chances.append(min(1.0, _REST / max(1, impostors - held)))
    return counts.top[np.array(ranks) - 1][::-1], np.array(chances[::-1])


@dataclass(frozen=True)
class _Keep:
    """Keeps each pair with the largest of the chances that its scores and groups give it."""

    parts: list[tuple[Floats, Floats]]
    draws: Draws
    at_least: Chances | None = None

    def __call__(self, chunk: MatchChunk, start: int) -> GroupedSide:
        pairs = chunk.scores.shape[1]
        chance = np.zeros(pairs) if self.at_least is None else self.at_least(chunk)
        for scores, (cuts, chances) in zip(chunk.scores, self.parts, strict=True):
            np.maximum(chance, chances[np.searchsorted(cuts, scores, "right")], out=chance)
        chosen = np.flatnonzero(self.draws(start, pairs) < chance)
        side = Side(
            chunk.scores[:, chosen],
            1 / chance[chosen],
            chunk.probe_subjects[chosen].astype(np.int64),
            chunk.reference_subjects[chosen].astype(np.int64),
        )
        return GroupedSide(side, chunk.groups[..., chosen])


def _together(parts: Iterator[GroupedSide]) -> GroupedSide:
    sides, groups = zip(*parts, strict=True)
    scores, *columns = zip(*sides, strict=True)
    return GroupedSide(
        Side(np.concatenate(scores, axis=1), *map(np.concatenate, columns)),
        np.concatenate(groups, axis=2),
    )


@dataclass(frozen=True)
class Draws:
    """Numbers between 0 and 1, one for each place of a stream, that any part of it can ask for."""

    seed: int
    stream: int

    def __call__(self, start: int, count: int) -> Floats:
        """Return those of ``count`` places from ``start`` on."""
        key = np.random.SeedSequence(self.seed, spawn_key=(self.stream,))
        bits = np.random.Philox(key).advance(start // _PHILOX_BLOCK)
        skipped = start % _PHILOX_BLOCK
        return np.random.Generator(bits).random(skipped + count)[skipped:]
