"""The one list of numbers by groups that the terminal, JSON and CSV all show."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from damcli.evaluation.group_results import (
    DEVIATION,
    ERROR,
    FMR,
    MAX_MIN,
    MEASURES,
    QUANTITIES,
    GroupEvaluation,
    GroupRate,
    GroupSpread,
    Point,
)
from damcli.evaluation.rates import impostors_needed
from damcli.evaluation.results import Estimate
from damcli.reports.rows import SKEWED, Row, figures_of

SPREAD = "spread"
_FEWEST = 2


@dataclass(frozen=True)
class GroupRow(Row):
    """A rate of one group, or a measure of how far the groups lie apart.

    ``factor`` is by what a ratio is multiplied from the baseline metric to this one. An end
    of an interval that is None, where the other is not, has no bound.
    """

    by: str = ""
    kind: str = ""
    group: str | None = None
    pairs: int | None = None
    errors: int | None = None
    factor: float | None = None
    factor_low: float | None = None
    factor_high: float | None = None

    @property
    def is_significant(self) -> bool:
        """Whether the interval of the difference excludes 0, or that of the factor 1."""
        if self.factor is None:
            return super().is_significant
        if self.factor_low is None:
            return False
        return self.factor_low > 1 or (self.factor_high is not None and self.factor_high < 1)


GROUP_COLUMNS = tuple(field.name for field in fields(GroupRow))


def group_rows(evaluation: GroupEvaluation) -> list[GroupRow]:
    """List every rate by quantity, threshold, group and metric; then the spreads likewise."""
    points = list(dict.fromkeys((point.kind, point.far) for point in evaluation.points))
    keyed: list[tuple[tuple[int, ...], GroupRow]] = []
    for point in evaluation.points:
        for quantity in point.quantities if point.threshold is None else ():
            key = (0, QUANTITIES.index(quantity), points.index((point.kind, point.far)), 0)
            keyed.append((key, _no_threshold(evaluation, point, quantity)))
    for rate in evaluation.rates:
        place = points.index((rate.point.kind, rate.point.far))
        key = (0, QUANTITIES.index(rate.quantity), place, evaluation.lines.index(rate.line))
        keyed.append((key, _rate_row(evaluation, rate)))
    for one in evaluation.spreads:
        place = points.index((one.point.kind, one.point.far))
        key = (1, QUANTITIES.index(one.quantity), place, MEASURES.index(one.measure))
        keyed.append((key, _spread_row(evaluation, one)))
    # The sort is stable, and the metrics come in their order.
    return [row for _, row in sorted(keyed, key=lambda pair: pair[0])]


def _no_threshold(evaluation: GroupEvaluation, point: Point, quantity: str) -> GroupRow:
    assert point.far is not None
    return GroupRow(
        evaluation.metrics[point.metric],
        quantity,
        far=point.far,
        note=f"n/a (needs ≥ {impostors_needed(point.far):,} impostor pairs)",
        by=evaluation.column,
    )


def _rate_row(evaluation: GroupEvaluation, rate: GroupRate) -> GroupRow:
    row = GroupRow(
        evaluation.metrics[rate.point.metric],
        rate.quantity,
        far=rate.point.far,
        threshold=_finite(rate.point.threshold),
        by=evaluation.column,
        kind=rate.line.kind,
        group=rate.line.name,
        pairs=rate.pairs,
        errors=rate.errors,
    )
    if rate.estimate is None:
        return replace(row, note=_why_no_rate(rate))
    return _filled(row, rate.estimate)


def _why_no_rate(rate: GroupRate) -> str:
    if rate.quantity == FMR:
        assert rate.point.far is not None
        return f"n/a (needs ≥ {impostors_needed(rate.point.far):,} impostor pairs)"
    lacks = "genuine" if rate.line.genuine == 0 else "impostor"
    return f"n/a (no {lacks} pairs)"


def _spread_row(evaluation: GroupEvaluation, one: GroupSpread) -> GroupRow:
    of_rates = f"{one.quantity} {one.measure}"
    row = GroupRow(
        evaluation.metrics[one.point.metric],
        SKEWED if (one.quantity, one.measure) == (ERROR, MAX_MIN) else of_rates,
        far=one.point.far,
        threshold=_finite(one.point.threshold),
        note=_of_groups(evaluation, one),
        by=evaluation.column,
        kind=SPREAD,
    )
    if one.estimate is None:
        return row
    row = _filled(row, one.estimate)
    if one.factor is None:
        return row
    interval = one.factor.interval
    return replace(
        row,
        factor=one.factor.value,
        factor_low=None if interval is None else _finite(interval.low),
        factor_high=None if interval is None else _finite(interval.high),
    )


def groups_counted(evaluation: GroupEvaluation, count: int) -> str:
    """Say of how many groups a spread is."""
    return f"{count} of {len(evaluation.groups)} groups"


def _of_groups(evaluation: GroupEvaluation, one: GroupSpread) -> str:
    """Say of how many groups a spread is, or why there is none."""
    if len(one.groups) < _FEWEST:
        return f"n/a (groups with a rate: {len(one.groups)})"
    if one.measure != DEVIATION and one.without_errors:
        return f"n/a (no errors in {', '.join(one.without_errors)})"
    return groups_counted(evaluation, len(one.groups))


def _filled(row: GroupRow, estimate: Estimate) -> GroupRow:
    figures = figures_of(estimate)
    ends = {name: _finite(figures[name]) for name in figures if name.endswith(("low", "high"))}
    return replace(row, **(figures | ends))


def _finite(number: float | None) -> float | None:
    return None if number is None or not math.isfinite(number) else number


def as_document(evaluation: GroupEvaluation) -> dict[str, Any]:
    """Make the part of a JSON document that tells of one column's groups."""
    return {
        "by": evaluation.column,
        "pairs": [
            {
                "kind": line.kind,
                "group": line.name,
                "genuine": line.genuine,
                "impostors": line.impostors,
            }
            for line in evaluation.lines
        ],
        "rows": [
            {field: getattr(row, field) for field in GROUP_COLUMNS if field != "by"}
            for row in group_rows(evaluation)
        ],
        "impostors_by_groups": [
            {
                "metric": evaluation.metrics[cell.point.metric],
                "far": cell.point.far,
                "threshold": _finite(cell.point.threshold),
                "groups": list(cell.groups),
                "impostors": cell.impostors,
                "false_accepts": cell.false_accepts,
                "fmr": cell.false_accepts / cell.impostors,
            }
            for cell in evaluation.cells
            if cell.point.kind != "best"
        ],
    }
