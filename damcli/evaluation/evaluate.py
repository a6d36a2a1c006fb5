"""All numbers of an evaluation, with their intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from damcli.errors import UserError
from damcli.evaluation.bootstrap import bootstrap
from damcli.evaluation.counts import Floats, MatchCounts, count_matches
from damcli.evaluation.folds import FoldAccuracy, fold_accuracies
from damcli.evaluation.rates import (
    area_under_roc,
    best_accuracy,
    equal_error_rate,
    operating_point,
)
from damcli.evaluation.results import Estimate, Evaluation, Interval, MetricResult
from damcli.evaluation.sample import Side, sample
from damcli.scoring.matches import Matches, require_both_classes

DEFAULT_FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
Progress = Callable[[int], None]
_ENDS = (0.025, 0.975)
_Z = 1.959963984540054


def evaluate(
    matches: Matches,
    *,
    fars: Sequence[float] = DEFAULT_FARS,
    resamples: int = 1000,
    seed: int = 0,
    progress: Progress | None = None,
    resampling: Progress | None = None,
) -> Evaluation:
    """Evaluate one or more metrics on the same labelled pairs.

    Parameters
    ----------
    matches
        Scored pairs; the first metric is the baseline.
    fars
        False accept rates, each between 0 and 1.
    resamples
        Bootstrap resamples behind the 95 % intervals; 0 for none.
    seed
        Of the resamples.
    progress
        Called with the number of impostor pairs counted since the last call.
    resampling
        Called with the number of resamples done since the last call.

    Returns
    -------
    Evaluation
        Rates are fractions. TAR@FAR is conservative: the smallest threshold that accepts at
        most floor(FAR × impostors) impostors, ties included.

    Raises
    ------
    UserError
        There are no genuine or no impostor pairs, or an option is out of its range.
    """
    _check(matches, fars, resamples)
    counts = count_matches(matches, fars, progress)
    folds: Sequence[FoldAccuracy | None] = [None] * len(counts)
    if matches.has_folds:
        folds = fold_accuracies(matches)
    values = np.array([_values(one, fars) for one in counts])
    intervals = Intervals(values)
    by_subject = matches.subject_count > 1
    if resamples:
        genuine, impostors = sample(matches, counts, seed)
        plain, resampled = bootstrap(
            genuine, impostors, fars, resamples=resamples, seed=seed, progress=resampling
        )
        units = independent_units(genuine) if by_subject else matches.genuine_count
        intervals = Intervals(values, resampled - plain, units, by_subject=by_subject)
    return Evaluation(
        genuine=matches.genuine_count,
        impostors=matches.impostor_count,
        subjects=matches.subject_count,
        resampled="subjects" if by_subject else "pairs",
        resamples=resamples,
        seed=seed,
        metrics=tuple(
            _result(name, counts[i], fars, folds[i], intervals.estimates(i, len(fars)))
            for i, name in enumerate(matches.metrics)
        ),
    )


def _check(matches: Matches, fars: Sequence[float], resamples: int) -> None:
    require_both_classes(matches.genuine_count, matches.impostor_count, matches.origin)
    check_fars(fars)
    if resamples < 0:
        raise UserError(f"{resamples} resamples; expected 0 or more")


def check_fars(fars: Sequence[float]) -> None:
    """Refuse false accept rates that are none, or that stand twice.

    Raises
    ------
    UserError
        A rate is not between 0 and 1, or was given twice.
    """
    for far in fars:
        if not 0 < far < 1:
            raise UserError(f"FAR {far:g}: expected a fraction between 0 and 1")
    if any(one == other for one, other in pairwise(sorted(fars))):
        raise UserError("a FAR was given twice")


def _values(counts: MatchCounts, fars: Sequence[float]) -> list[float]:
    tars = [operating_point(counts, far).tar for far in fars]
    return [
        *(np.nan if tar is None else tar for tar in tars),
        equal_error_rate(counts).rate,
        area_under_roc(counts),
        best_accuracy(counts).rate,
    ]


def independent_units(genuine: Side) -> int:
    """Count the subjects that have genuine pairs."""
    return len(np.unique(genuine.probe_subjects))


def _result(
    name: str,
    counts: MatchCounts,
    fars: Sequence[float],
    folds: FoldAccuracy | None,
    estimates: list[Estimate | None],
) -> MetricResult:
    eer, auc, accuracy = estimates[len(fars) :]
    assert eer is not None
    assert auc is not None
    assert accuracy is not None
    return MetricResult(
        name=name,
        points=tuple(operating_point(counts, far) for far in fars),
        tars=tuple(estimates[: len(fars)]),
        eer=eer,
        eer_threshold=equal_error_rate(counts).threshold,
        auc=auc,
        best_accuracy=accuracy,
        best_threshold=best_accuracy(counts).threshold,
        folds=folds,
    )


class Intervals:
    """Turns resampled deviations into intervals around the exact values.

    Parameters
    ----------
    values
        (metrics, Q), from all pairs.
    deviations
        (resamples, metrics, Q), each resample minus the sample it was drawn from.
    units
        How many independent units the genuine pairs make.
    by_subject
        Whether subjects were resampled.
    """

    def __init__(
        self,
        values: Floats,
        deviations: Floats | None = None,
        units: int = 0,
        *,
        by_subject: bool = True,
    ) -> None:
        self._values = values
        self._deviations = deviations
        self._units = units
        self._by_subject = by_subject

    def estimates(self, metric: int, tars: int) -> list[Estimate | None]:
        """Return one estimate for each quantity of a metric; None where it has no value."""
        return [
            None if np.isnan(value) else self._estimate(metric, quantity, is_tar=quantity < tars)
            for quantity, value in enumerate(self._values[metric])
        ]

    def _estimate(self, metric: int, quantity: int, *, is_tar: bool) -> Estimate:
        value = float(self._values[metric, quantity])
        difference = None if metric == 0 else value - float(self._values[0, quantity])
        if self._deviations is None:
            return Estimate(value, difference=difference)
        mine = self._deviations[:, metric, quantity]
        interval = around(value, mine, 0, 1)
        if is_tar and (not self._by_subject or interval.low == interval.high):
            interval = wilson(value, self._units)
        if difference is None:
            return Estimate(value, interval)
        paired = mine - self._deviations[:, 0, quantity]
        return Estimate(value, interval, difference, around(difference, paired, -1, 1))


def around(value: float, deviations: Floats, low: float, high: float) -> Interval:
    """Put a 95 % interval around a value, within the bounds that it can have."""
    if np.isnan(deviations).all():
        return Interval(low, high)
    ends: Any = value + np.nanquantile(deviations, _ENDS)
    if np.isfinite(high):
        ends = [without_rounding(end) for end in ends]
    return Interval(float(max(low, ends[0])), float(min(high, ends[1])))


def without_rounding(end: float) -> float:
    """Take for 0 what only rounding holds apart from it, of numbers of the size of rates.

    Else an interval that ends at 0 may seem to exclude it.
    """
    return 0.0 if abs(end) < 1e-12 else float(end)


def wilson(rate: float, trials: int) -> Interval:
    """Return Wilson's 95 % interval of a rate over so many independent trials.

    It has a width at 0 and 1 as well, where no resample ever moves.
    """
    centre = rate + _Z**2 / (2 * trials)
    half = _Z * np.sqrt(rate * (1 - rate) / trials + _Z**2 / (4 * trials**2))
    scale = 1 + _Z**2 / trials
    return Interval(float(max(0, (centre - half) / scale)), float(min(1, (centre + half) / scale)))
