"""ROC curves with bands, and histograms of scores: the numbers behind the figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.bootstrap import bootstrap
from damcli.evaluation.counts import Counts, Floats, MatchCounts, count_matches
from damcli.evaluation.evaluate import Intervals, independent_units
from damcli.evaluation.sample import sample
from damcli.scoring.matches import MatchChunk, Matches

_POINTS = 72
_BINS = 80
# How many of the highest impostors are counted one by one for the bands.
_TAIL = 0.01
Progress = Callable[[int], None]


@dataclass(frozen=True)
class RocCurve:
    """TAR over FAR of one metric.

    Attributes
    ----------
    metric
        Its name.
    far
        (P,) float64, ascending, from one false accept to one fewer than all impostors.
    tar
        (P,) float64, conservative: at most FAR × impostors are accepted, ties included.
    low, high
        (P,) float64, 95 % interval at each FAR, the lower end never falling; None where
        nothing was resampled.
    """

    metric: str
    far: Floats
    tar: Floats
    low: Floats | None
    high: Floats | None


@dataclass(frozen=True)
class Histogram:
    """How the scores of one metric are spread.

    Attributes
    ----------
    metric
        Its name.
    edges
        (B + 1,) float64, of bins of equal width.
    genuine, impostors
        (B,) int64, pairs in each bin.
    """

    metric: str
    edges: Floats
    genuine: Counts
    impostors: Counts


def roc_curves(
    matches: Matches, *, resamples: int, seed: int, progress: Progress | None = None
) -> tuple[RocCurve, ...]:
    """Draw up the ROC of each metric at FARs evenly spaced in their logarithm.

    Parameters
    ----------
    matches
        Scored pairs.
    resamples
        Bootstrap resamples behind the bands, the same for all metrics; 0 for no bands.
    seed
        Of the resamples.
    progress
        Called with the number of resamples done since the last call.

    Returns
    -------
    tuple of RocCurve
        One a metric. Memory is bounded by the genuine pairs and a hundredth of the impostors.
    """
    counts = count_matches(matches, (_TAIL,))
    allowed = _allowed(matches.impostor_count)
    fars = allowed / matches.impostor_count
    tars = np.array([tars_of(one, allowed) for one in counts])
    intervals = Intervals(tars)
    if resamples:
        genuine, impostors = sample(matches, counts, seed)
        # Half a false accept more, because the weights of a sample do not add up to whole ones.
        between = ((allowed + 0.5) / matches.impostor_count).tolist()
        plain, resampled = bootstrap(
            genuine, impostors, between, resamples=resamples, seed=seed, progress=progress
        )
        by_subject = matches.subject_count > 1
        units = independent_units(genuine) if by_subject else matches.genuine_count
        deviations = (resampled - plain)[..., : len(fars)]
        intervals = Intervals(tars, deviations, units, by_subject=by_subject)
    curves = []
    for place, metric in enumerate(matches.metrics):
        low = high = None
        if resamples:
            found = [one.interval for one in intervals.estimates(place, len(fars)) if one]
            low, high = np.array(found, dtype=np.float64).T
            # What is surely accepted at a low FAR is accepted at a higher one as well.
            low = np.maximum.accumulate(low)
        curves.append(RocCurve(metric, fars, tars[place], low, high))
    return tuple(curves)


def _allowed(impostors: int) -> Counts:
    """Space numbers of false accepts evenly in their logarithm, from one to all but one."""
    return np.unique(np.geomspace(1, max(1, impostors - 1), _POINTS).round().astype(np.int64))


def tars_of(counts: MatchCounts, allowed: Counts) -> Floats:
    """Take the TAR at the lowest threshold that accepts at most so many impostors.

    Parameters
    ----------
    counts
        Of one metric.
    allowed
        (P,) int64, numbers of false accepts.

    Returns
    -------
    ndarray
        (P,) float64. Counted at the genuine scores, so that no impostor need be held.
    """
    accepted = np.searchsorted(counts.accepted_at[::-1], allowed, "right")
    return np.asarray(accepted / len(counts.genuine))


def histograms(matches: Matches) -> tuple[Histogram, ...]:
    """Count the scores of each metric in bins of equal width, genuine and impostor apart."""
    low, high = _range(matches)
    edges = [np.linspace(*ends, _BINS + 1) for ends in zip(low, high, strict=True)]
    genuine, impostors = (
        _binned(chunks, edges) for chunks in (matches.genuine(), matches.impostors())
    )
    return tuple(
        Histogram(metric, edges[place], genuine[place], impostors[place])
        for place, metric in enumerate(matches.metrics)
    )


def _range(matches: Matches) -> tuple[Floats, Floats]:
    low = np.full(len(matches.metrics), np.inf)
    high = -low
    for chunks in (matches.genuine(), matches.impostors()):
        for chunk in chunks:
            np.minimum(low, chunk.scores.min(axis=1), out=low)
            np.maximum(high, chunk.scores.max(axis=1), out=high)
    return low, np.where(high > low, high, low + 1)


def _binned(chunks: Iterable[MatchChunk], edges: Sequence[Floats]) -> NDArray[np.int64]:
    counted = np.zeros((len(edges), _BINS), dtype=np.int64)
    for chunk in chunks:
        for metric, mine in enumerate(edges):
            counted[metric] += np.histogram(chunk.scores[metric], mine)[0]
    return counted
