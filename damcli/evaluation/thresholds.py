"""Operating points: a threshold picked on development pairs, and what it accepts elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from damcli.errors import UserError
from damcli.evaluation.bootstrap import resample
from damcli.evaluation.counts import Floats, MatchCounts, count_matches
from damcli.evaluation.evaluate import around, check_fars, wilson
from damcli.evaluation.rates import impostors_needed, operating_point
from damcli.evaluation.results import Estimate, Interval
from damcli.evaluation.sample import Side, sample
from damcli.scoring.matches import MatchChunk, Matches, require_both_classes

# With fewer, over one resample in forty allows none: the interval then ends at the highest
# impostor score that was seen, too low.
FEW_FALSE_ACCEPTS = 4
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Decisions:
    """What one threshold accepts of labelled pairs.

    Attributes
    ----------
    genuine, impostors
        Counts of pairs, > 0.
    true_accepts, false_accepts
        How many of each score >= the threshold.
    tar, far
        The same as fractions. Their intervals hold the threshold fixed.
    """

    genuine: int
    impostors: int
    true_accepts: int
    false_accepts: int
    tar: Estimate
    far: Estimate


@dataclass(frozen=True)
class PickedThreshold:
    """A threshold for a FAR, and what to expect of it.

    Attributes
    ----------
    score
        The metric that it belongs to.
    far
        The false accept rate asked for.
    allowed
        floor(FAR × impostors), how many false accepts that allows.
    threshold
        Accept when score >= threshold. Its interval tells how far the threshold of other
        development pairs may lie.
    decisions
        What it accepts of the development pairs.
    subjects
        How many subjects there are; 0 where they are not known.
    resampled, resamples, seed
        What the intervals resample, how often, and from which seed.
    """

    score: str
    far: float
    allowed: int
    threshold: Estimate
    decisions: Decisions
    subjects: int
    resampled: Literal["subjects", "pairs"]
    resamples: int
    seed: int


def pick_threshold(
    matches: Matches,
    far: float,
    *,
    score: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
) -> PickedThreshold:
    """Pick the smallest threshold that keeps to a FAR on development pairs.

    Parameters
    ----------
    matches
        Scored pairs with labels.
    far
        The false accept rate to keep to, between 0 and 1.
    score
        Which metric; by default see `main_score`.
    resamples
        Bootstrap resamples behind the 95 % intervals; 0 for none.
    seed
        Of the resamples.
    progress
        Called with the number of impostor pairs counted since the last call.

    Returns
    -------
    PickedThreshold
        It accepts at most floor(FAR × impostors) impostor pairs, ties included.

    Raises
    ------
    UserError
        There are fewer than 1/FAR impostor pairs, no genuine pairs, or no such metric.
    """
    check_fars([far])
    require_both_classes(matches.genuine_count, matches.impostor_count, matches.origin)
    score = main_score(matches.metrics) if score is None else score
    metric = _place(matches, score)
    counts = count_matches(matches, [far], progress)
    point = operating_point(counts[metric], far)
    if point.threshold is None:
        raise UserError(
            f"{matches.impostor_count:,} impostor pairs allow no false accept at FAR {far:g}; "
            f"expected at least {impostors_needed(far):,}",
            hint="a threshold needs 1/FAR impostor pairs; score more, or ask for a higher FAR",
        )
    sides = sample(matches, counts, seed) if resamples else None
    interval = None
    if sides is not None:
        deviations = _threshold_deviations(*sides, metric, far, resamples=resamples, seed=seed)
        interval = around(point.threshold, deviations, -np.inf, np.inf)
    return PickedThreshold(
        score=score,
        far=far,
        allowed=point.allowed,
        threshold=Estimate(point.threshold, interval),
        decisions=_decisions(matches, metric, point.threshold, sides, resamples, seed),
        subjects=matches.subject_count,
        resampled="subjects" if matches.subject_count > 1 else "pairs",
        resamples=resamples,
        seed=seed,
    )


def apply_threshold(
    matches: Matches,
    threshold: float,
    *,
    score: str | None = None,
    far: float = 1e-3,
    resamples: int = 1000,
    seed: int = 0,
) -> Decisions:
    """Count what a threshold accepts of labelled pairs.

    Parameters
    ----------
    matches
        Scored pairs with labels.
    threshold
        Accept when score >= threshold.
    score
        Which metric; by default see `main_score`.
    far
        About which FAR to expect: the resampling keeps that many of the highest scores whole.
    resamples, seed
        As in `pick_threshold`.

    Returns
    -------
    Decisions
        With 95 % intervals: subjects are resampled where they are known, else Wilson's.

    Raises
    ------
    UserError
        There are no genuine or no impostor pairs, or there is no such metric.
    """
    require_both_classes(matches.genuine_count, matches.impostor_count, matches.origin)
    metric = _place(matches, main_score(matches.metrics) if score is None else score)
    sides = None
    if resamples and matches.subject_count > 1:
        counts: list[MatchCounts] = count_matches(matches, [far])
        sides = sample(matches, counts, seed)
    return _decisions(matches, metric, threshold, sides, resamples, seed)


def main_score(metrics: Sequence[str]) -> str:
    """Tell which of several metrics is meant: ``score`` where it is there, else the last."""
    return "score" if "score" in metrics else metrics[-1]


def _place(matches: Matches, score: str) -> int:
    if score not in matches.metrics:
        raise UserError(f"no score '{score}'; expected one of {', '.join(matches.metrics)}")
    return list(matches.metrics).index(score)


def _threshold_deviations(
    genuine: Side, impostors: Side, metric: int, far: float, *, resamples: int, seed: int
) -> Floats:
    """Take how far the first refused impostor score moves on each resample."""
    order = np.argsort(-impostors.scores[metric], kind="stable")
    falling = impostors.scores[metric][order]

    def first_refused(genuine_weights: Floats, weights: Floats) -> Floats:
        del genuine_weights
        found = np.full(len(weights), np.nan)
        for row, spent in enumerate(np.cumsum(weights[:, order], axis=1)):
            if spent[-1] > 0:
                budget = far * spent[-1] * (1 + 1e-12)
                found[row] = falling[min(np.searchsorted(spent, budget, "right"), len(spent) - 1)]
        return found

    plain = first_refused(genuine.weights[None], impostors.weights[None])
    return resample(genuine, impostors, first_refused, resamples=resamples, seed=seed) - plain


def _decisions(
    matches: Matches,
    metric: int,
    threshold: float,
    sides: tuple[Side, Side] | None,
    resamples: int,
    seed: int,
) -> Decisions:
    accepted = _Accepted(metric, threshold)
    trues = sum(matches.over_genuine(accepted))
    falses = sum(matches.over_impostors(accepted))
    genuine, impostors = matches.genuine_count, matches.impostor_count
    tar, far = trues / genuine, falses / impostors
    intervals: list[Interval | None] = [None, None]
    if resamples:
        intervals = [wilson(tar, genuine), wilson(far, impostors)]
    if sides is not None and matches.subject_count > 1:
        moved = _rate_deviations(*sides, metric, threshold, resamples=resamples, seed=seed)
        people = len(np.unique(sides[0].probe_subjects))
        by_subject = [around(tar, moved[:, 0], 0, 1), around(far, moved[:, 1], 0, 1)]
        # Where no resample moves the rate, as at 0 and 1, Wilson's interval has a width.
        still = [wilson(tar, people), wilson(far, impostors)]
        intervals = [
            one if one.low < one.high else other
            for one, other in zip(by_subject, still, strict=True)
        ]
    return Decisions(
        genuine, impostors, trues, falses, Estimate(tar, intervals[0]), Estimate(far, intervals[1])
    )


@dataclass(frozen=True)
class _Accepted:
    """Counts the pairs of a chunk that a threshold accepts."""

    metric: int
    threshold: float

    def __call__(self, chunk: MatchChunk, start: int) -> int:
        del start
        return int((chunk.scores[self.metric] >= self.threshold).sum())


def _rate_deviations(
    genuine: Side, impostors: Side, metric: int, threshold: float, *, resamples: int, seed: int
) -> Floats:
    accepted = [side.scores[metric] >= threshold for side in (genuine, impostors)]

    def rates(*weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            shares = [
                w[:, a].sum(axis=1) / w.sum(axis=1) for w, a in zip(weights, accepted, strict=True)
            ]
        return np.stack(shares, axis=1)

    plain = rates(genuine.weights[None], impostors.weights[None])
    return resample(genuine, impostors, rates, resamples=resamples, seed=seed) - plain
