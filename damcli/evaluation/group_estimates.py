"""Estimates of group rates and of their spread, from counts and their resamples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from damcli.evaluation.counts import Floats, allowed_false_accepts
from damcli.evaluation.evaluate import around, wilson, without_rounding
from damcli.evaluation.group_results import (
    DEVIATION,
    FMR,
    FNMR,
    GROUP,
    MEASURES,
    QUANTITIES,
    GroupRate,
    GroupSpread,
    Line,
    Point,
)
from damcli.evaluation.results import Estimate, Interval
from damcli.evaluation.spread import spread

_ENDS = (0.025, 0.975)
# What stands for no error where a resample's rate is divided by.
_HALF = 0.5


class GroupEstimates:
    """Turns counts by line into rates with intervals.

    Parameters
    ----------
    lines
        Which pairs are counted together.
    points
        The thresholds, each of one metric.
    exact
        (points + 1, 2, lines): errors at each point, then all pairs, by label.
    plain, resampled
        The same of the sample that is resampled, and (resamples, ...) of the resamples; None
        without intervals.
    people
        How many people each line's genuine pairs show; None where pairs were resampled.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        points: Sequence[Point],
        exact: Floats,
        plain: Floats | None,
        resampled: Floats | None,
        people: Sequence[int] | None,
    ) -> None:
        self._lines = lines
        self._points = points
        self._counts = exact
        self._people = people
        self._values = _rates(exact)
        self._plain = None if plain is None else _rates(plain)
        self._resampled = None if resampled is None else _rates(resampled)
        self._floored = None if resampled is None else _rates(resampled, least=_HALF)

    def rates(self) -> Iterator[GroupRate]:
        """Yield the rate of every line at every point."""
        for place, point in enumerate(self._points):
            for quantity in point.quantities:
                for line in range(len(self._lines)):
                    errors, pairs = self._numbers(place, quantity, line)
                    yield GroupRate(
                        point=point,
                        quantity=quantity,
                        line=self._lines[line],
                        pairs=pairs,
                        errors=errors,
                        estimate=self._rate(place, quantity, line),
                    )

    def spreads(self) -> Iterator[GroupSpread]:
        """Yield every measure of spread at every point."""
        for place, point in enumerate(self._points):
            for quantity in point.quantities:
                for measure in MEASURES:
                    yield self._spread(place, quantity, measure)

    def _numbers(self, place: int, quantity: str, line: int) -> tuple[int, int]:
        errors, pairs = _numbers(self._counts, quantity)
        return int(errors[place, line]), int(pairs[0, line])

    def _is_measurable(self, point: Point, quantity: str, line: Line) -> bool:
        if quantity == FMR:
            assert point.far is not None
            return allowed_false_accepts(point.far, line.impostors) > 0
        return line.genuine > 0 and (quantity == FNMR or line.impostors > 0)

    def _baseline(self, place: int) -> int | None:
        """Find the same point of the first metric; None where it is this one, or none."""
        point = self._points[place]
        return next(
            (
                other
                for other, one in enumerate(self._points)
                if other != place and (one.metric, one.kind, one.far) == (0, point.kind, point.far)
            ),
            None,
        )

    def _rate(self, place: int, quantity: str, line: int) -> Estimate | None:
        if not self._is_measurable(self._points[place], quantity, self._lines[line]):
            return None
        at, baseline = QUANTITIES.index(quantity), self._baseline(place)
        value = float(self._values[place, at, line])
        before = None if baseline is None else float(self._values[baseline, at, line])
        difference = None if before is None else value - before
        if self._resampled is None or self._plain is None:
            return Estimate(value, difference=difference)
        deviations = self._resampled[:, :, at, line] - self._plain[:, at, line]
        interval = around(value, deviations[:, place], 0, 1)
        if self._people is None:
            interval = wilson(value, self._units(quantity, line))
        elif value in (0, 1) or interval.low == interval.high:
            # No resample of the people moves what none or all of them have.
            still = wilson(value, self._units(quantity, line))
            interval = Interval(min(interval.low, still.low), max(interval.high, still.high))
        if difference is None:
            return Estimate(value, interval)
        paired = around(difference, deviations[:, place] - deviations[:, baseline], -1, 1)
        return Estimate(value, interval, difference, paired)

    def _units(self, quantity: str, line: int) -> int:
        if quantity == FNMR and self._people is not None:
            return self._people[line]
        return int(_numbers(self._counts, quantity)[1][0, line])

    def _spread(self, place: int, quantity: str, measure: str) -> GroupSpread:
        point = self._points[place]
        groups = [
            line
            for line, one in enumerate(self._lines)
            if one.kind == GROUP and self._is_measurable(point, quantity, one)
        ]
        at, baseline = QUANTITIES.index(quantity), self._baseline(place)
        rates = self._values[:, at][:, groups]
        values = spread(rates, measure)
        resampled = plain = floored = None
        if self._resampled is not None and self._floored is not None and self._plain is not None:
            resampled = spread(self._resampled[:, :, at][:, :, groups], measure)
            floored = spread(self._floored[:, :, at][:, :, groups], measure)
            plain = spread(self._plain[:, at][:, groups], measure)
        known = np.isfinite(values)
        estimate = factor = None
        if known[place] and measure == DEVIATION:
            estimate = _deviation(values, plain, resampled, place, baseline)
        elif known[place]:
            estimate = _ratio(values, plain, floored, place)
            if resampled is not None:
                estimate = _unbounded(estimate, resampled[:, place])
            if baseline is not None and known[baseline]:
                factor = _ratio(values, plain, floored, place, baseline)
        return GroupSpread(
            point=point,
            quantity=quantity,
            measure=measure,
            groups=tuple(self._lines[line].name for line in groups),
            without_errors=tuple(
                self._lines[line].name
                for line, rate in zip(groups, rates[place], strict=True)
                if rate == 0
            ),
            estimate=estimate,
            factor=factor,
        )


def _numbers(counts: Floats, quantity: str) -> tuple[Floats, Floats]:
    """Return errors (..., points, lines) and pairs (..., 1, lines) of a quantity."""
    label = {FMR: 0, FNMR: 1}.get(quantity)
    chosen = counts.sum(axis=-2) if label is None else counts[..., label, :]
    return chosen[..., :-1, :], chosen[..., -1:, :]


def _rates(counts: Floats, least: float = 0) -> Floats:
    """Divide (..., points + 1, 2, lines) to (..., points, quantities, lines).

    At least so many errors are taken of any pairs.
    """
    numbers = [_numbers(counts, quantity) for quantity in QUANTITIES]
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = [
            np.where(pairs > 0, np.maximum(errors, least) / pairs, np.nan)
            for errors, pairs in numbers
        ]
    return np.stack(rates, axis=-2)


def _deviation(
    values: Floats,
    plain: Floats | None,
    resampled: Floats | None,
    place: int,
    baseline: int | None,
) -> Estimate:
    value = float(values[place])
    difference = None if baseline is None else value - float(values[baseline])
    if plain is None or resampled is None:
        return Estimate(value, difference=difference)
    deviations = resampled - plain
    interval = _around_spread(value, deviations[:, place], 0.0)
    if difference is None:
        return Estimate(value, interval)
    paired = deviations[:, place] - deviations[:, baseline]
    return Estimate(value, interval, difference, _around_change(difference, paired))


def _ratio(
    values: Floats,
    plain: Floats | None,
    resampled: Floats | None,
    place: int,
    baseline: int | None = None,
) -> Estimate:
    """Estimate a ratio, or its quotient by the baseline's, on a logarithmic scale."""
    value = float(np.log(values[place] / (1 if baseline is None else values[baseline])))
    if plain is None or resampled is None:
        return Estimate(float(np.exp(value)))
    with np.errstate(divide="ignore", invalid="ignore"):
        plain, resampled = np.log(plain), np.log(resampled)
        moved = resampled[:, place] - plain[place]
        if baseline is None:
            interval = _around_spread(value, moved, 0.0)
        else:
            moved = moved - (resampled[:, baseline] - plain[baseline])
            interval = _around_change(value, moved)
        low, high = np.exp(interval)
    return Estimate(float(np.exp(value)), Interval(float(low), float(high)))


def _unbounded(estimate: Estimate, resampled: Floats) -> Estimate:
    """Take the upper end away where too many resamples have a group without errors."""
    if estimate.interval is None or np.isfinite(_ends(resampled)[1]):
        return estimate
    return replace(estimate, interval=Interval(estimate.interval.low, np.inf))


def _around_spread(value: float, deviations: Floats, least: float) -> Interval:
    """Put a 95 % interval around a measure of spread, which chance makes too large.

    The largest of several rates is too large by chance, and that of a resample once more. So
    the low end takes the deviations to the other side (the basic bootstrap); the high end is
    the farther one of either side.
    """
    low, high = _ends(deviations)
    ends = min(value - high, value), max(value - low, value + high, value)
    return Interval(max(least, without_rounding(ends[0])), without_rounding(ends[1]))


def _around_change(value: float, deviations: Floats) -> Interval:
    """Put a 95 % interval around a difference of spreads, each end the farther one."""
    low, high = _ends(deviations)
    ends = min(value - high, value + low, value), max(value - low, value + high, value)
    return Interval(*(without_rounding(end) for end in ends))


def _ends(deviations: Floats) -> tuple[float, float]:
    known = deviations[~np.isnan(deviations)]
    if not len(known):
        return -np.inf, np.inf
    # Infinite ones are not to be averaged.
    low, high = np.quantile(known, _ENDS, method="inverted_cdf")
    return float(low), float(high)
