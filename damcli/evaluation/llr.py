"""How good log-likelihood ratios are: Cllr, its minimum, and reliability at a stated prior."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from damcli.evaluation.counts import Floats, MatchCounts, count_matches
from damcli.metrics.calibrated import log_odds, posterior
from damcli.scoring.matches import MatchChunk, Matches

EDGES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
"""Where the bins of the reliability table part."""
Weighted = tuple[Floats, Floats]


@dataclass(frozen=True)
class Bin:
    """The pairs whose stated probability lies in [low, high).

    Attributes
    ----------
    low, high
        The ends; the last bin holds 1 as well.
    genuine, impostors
        How many pairs; sums of weights where pairs are weighted.
    stated, observed
        Mean stated probability, and the share of genuine pairs, both with genuine and
        impostor pairs weighted to the stated prior; None where the bin is empty.
    mass
        The share of all pairs that lie here, weighted likewise.
    """

    low: float
    high: float
    genuine: float
    impostors: float
    stated: float | None
    observed: float | None
    mass: float


@dataclass(frozen=True)
class LlrQuality:
    """How good log-likelihood ratios are.

    Attributes
    ----------
    prior
        The stated prior of ``ece`` and ``bins``.
    cllr
        Mean cost in bits, genuine and impostor pairs at even weight (Brümmer and du Preez
        2006): 0 is perfect, 1 is what an llr of 0 for every pair has.
    min_cllr
        The same after the best monotone map of the scores: what discrimination alone costs.
        What is above it is due to calibration.
    ece
        Expected calibration error: the mean of |observed - stated| over ``bins``, by mass.
    bins
        The reliability table.
    """

    prior: float
    cllr: float
    min_cllr: float
    ece: float
    bins: tuple[Bin, ...]


def quality_of_matches(matches: Matches, name: str, prior: float) -> LlrQuality:
    """Judge one metric of labelled scores, which are streamed.

    Parameters
    ----------
    matches
        Scored pairs.
    name
        The metric that is a log-likelihood ratio.
    prior
        The share of genuine pairs where the score is used, between 0 and 1.
    """
    row = list(matches.metrics).index(name)

    def sums(chunks: Iterable[MatchChunk], sign: int) -> _Sums:
        pairs = ((chunk.scores[row], np.ones(chunk.scores.shape[1])) for chunk in chunks)
        return _Sums(pairs, sign, prior)

    least = _min_cllr(*_groups_of_counts(count_matches(matches, ())[row]))
    return _quality(sums(matches.genuine(), 1), sums(matches.impostors(), -1), least, prior)


def quality_of_arrays(genuine: Weighted, impostors: Weighted, prior: float) -> LlrQuality:
    """Judge weighted log-likelihood ratios in memory: (n,) scores and (n,) weights a side."""
    scores, place = np.unique(np.concatenate([genuine[0], impostors[0]]), return_inverse=True)
    split = len(genuine[0])
    least = _min_cllr(
        np.bincount(place[:split], genuine[1], len(scores)).astype(np.float64),
        np.bincount(place[split:], impostors[1], len(scores)).astype(np.float64),
    )
    return _quality(_Sums([genuine], 1, prior), _Sums([impostors], -1, prior), least, prior)


class _Sums:
    """What is summed over the pairs of one side; ``sign`` is 1 for genuine pairs."""

    def __init__(self, chunks: Iterable[Weighted], sign: int, prior: float) -> None:
        self.weight = self.cost = 0.0
        self.in_bins = np.zeros(len(EDGES) + 1)
        self.stated = np.zeros(len(EDGES) + 1)
        edges = np.array([log_odds(edge) - log_odds(prior) for edge in EDGES])
        for llr, weights in chunks:
            self.weight += float(weights.sum())
            self.cost += float((weights * np.logaddexp(0, -sign * llr)).sum() / np.log(2))
            place = np.searchsorted(edges, llr, "right")
            self.in_bins += np.bincount(place, weights, len(self.in_bins))
            self.stated += np.bincount(place, weights * posterior(llr, prior), len(self.stated))


def _quality(genuine: _Sums, impostors: _Sums, min_cllr: float, prior: float) -> LlrQuality:
    shares = prior / genuine.weight, (1 - prior) / impostors.weight
    ends = (0.0, *EDGES, 1.0)
    bins = []
    for i in range(len(EDGES) + 1):
        mine = shares[0] * genuine.in_bins[i]
        mass = mine + shares[1] * impostors.in_bins[i]
        stated = shares[0] * genuine.stated[i] + shares[1] * impostors.stated[i]
        bins.append(
            Bin(
                low=ends[i],
                high=ends[i + 1],
                genuine=float(genuine.in_bins[i]),
                impostors=float(impostors.in_bins[i]),
                stated=float(stated / mass) if mass else None,
                observed=float(mine / mass) if mass else None,
                mass=float(mass),
            )
        )
    return LlrQuality(
        prior=prior,
        cllr=(genuine.cost / genuine.weight + impostors.cost / impostors.weight) / 2,
        min_cllr=min_cllr,
        ece=sum(
            b.mass * abs(b.observed - b.stated)
            for b in bins
            if b.observed is not None and b.stated is not None
        ),
        bins=tuple(bins),
    )


def _groups_of_counts(counts: MatchCounts) -> tuple[Floats, Floats]:
    """Part the pairs at the genuine scores, rising: genuine and impostor counts of each part.

    Impostors between two neighbouring genuine scores may share one value under any
    monotone map that costs least, so that their own order does not matter.
    """
    scores, first, genuine = np.unique(counts.genuine, return_index=True, return_counts=True)
    at, above = counts.accepted_at[first], counts.accepted_above[first]
    below = np.concatenate([[counts.impostors], above[:-1]]) - at
    parts = np.zeros((2, 2 * len(scores) + 1))
    parts[0, 1::2] = genuine
    parts[1, 0:-1:2] = below
    parts[1, 1::2] = at - above
    parts[1, -1] = above[-1]
    return parts[0], parts[1]


def _min_cllr(genuine: Floats, impostors: Floats) -> float:
    """Take Cllr after pool-adjacent-violators, from the weights in rising groups of scores."""
    from sklearn.isotonic import IsotonicRegression

    mine, theirs = genuine / genuine.sum(), impostors / impostors.sum()
    filled = mine + theirs > 0
    mine, theirs = mine[filled], theirs[filled]
    share = IsotonicRegression(y_min=0, y_max=1).fit_transform(
        np.arange(len(mine)), mine / (mine + theirs), sample_weight=mine + theirs
    )
    # A group of one class may have a share of 0 or 1, which costs its own class nothing.
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = np.where(mine > 0, mine * -np.log2(share), 0)
        cost += np.where(theirs > 0, theirs * -np.log2(1 - share), 0)
    return float(cost.sum() / 2)
