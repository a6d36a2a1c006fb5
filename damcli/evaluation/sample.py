"""The pairs that a bootstrap resamples: all of them, or a weighted sample where they are many.

What decides TAR at a low FAR are the highest impostor scores, so these are kept whole; the
chance to be kept falls with the rank, and a kept pair then stands for 1/chance pairs
(Horvitz and Thompson). The sample serves the intervals alone, never the numbers themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.counts import Floats, MatchCounts
from damcli.scoring.matches import MatchChunk, Matches

KEEP_ALL = 200_000
_TOP = 25_000
_REST = 100_000
_GENUINE = 100_000
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


def sample(
    matches: Matches, counts: Sequence[MatchCounts], rng: np.random.Generator
) -> tuple[Side, Side]:
    """Return the genuine and the impostor side."""
    share = 1.0 if matches.genuine_count <= KEEP_ALL else _GENUINE / matches.genuine_count
    flat = [(np.empty(0), np.array([share])) for _ in counts]
    ranked = [_chances_by_rank(one, matches.impostor_count) for one in counts]
    return _keep(matches.genuine(), flat, rng)[0], _keep(matches.impostors(), ranked, rng)[0]


class GroupedSide(NamedTuple):
    """Genuine or impostor pairs of a sample, with their groups."""

    side: Side
    groups: NDArray[np.int16]
    """(columns, 2, n), of probe and reference."""


def grouped_sample(
    matches: Matches,
    counts: Sequence[MatchCounts],
    rng: np.random.Generator,
    chances: tuple[Chances, Chances],
) -> tuple[GroupedSide, GroupedSide]:
    """Return the genuine and the impostor side, small groups not thinned out like large ones.

    Parameters
    ----------
    matches, counts
        The pairs, and their counts where there are more than `KEEP_ALL` impostors.
    rng
        What draws.
    chances
        For genuine and for impostor pairs, what chance their groups give them at least.
    """
    flat = [(np.empty(0), np.zeros(1)) for _ in matches.metrics]
    ranked = flat
    if matches.impostor_count > KEEP_ALL:
        ranked = [_chances_by_rank(one, matches.impostor_count) for one in counts]
    genuine, impostors = chances
    return (
        _keep(matches.genuine(), flat, rng, genuine),
        _keep(matches.impostors(), ranked, rng, impostors),
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


def _keep(
    chunks: Iterable[MatchChunk],
    parts: list[tuple[Floats, Floats]],
    rng: np.random.Generator,
    at_least: Chances | None = None,
) -> GroupedSide:
    """Keep each pair with the largest of the chances that its scores and groups give it."""
    kept, groups = [], []
    for chunk in chunks:
        chance = np.zeros(chunk.scores.shape[1]) if at_least is None else at_least(chunk)
        for scores, (cuts, chances) in zip(chunk.scores, parts, strict=True):
            np.maximum(chance, chances[np.searchsorted(cuts, scores, "right")], out=chance)
        chosen = np.flatnonzero(rng.random(len(chance)) < chance)
        kept.append(
            Side(
                chunk.scores[:, chosen],
                1 / chance[chosen],
                chunk.probe_subjects[chosen].astype(np.int64),
                chunk.reference_subjects[chosen].astype(np.int64),
            )
        )
        groups.append(chunk.groups[..., chosen])
    side = Side(
        np.concatenate([part.scores for part in kept], axis=1),
        *(np.concatenate([part[column] for part in kept]) for column in (1, 2, 3)),
    )
    return GroupedSide(side, np.concatenate(groups, axis=2))
