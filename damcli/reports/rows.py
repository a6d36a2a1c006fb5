"""The one list of numbers that the terminal, JSON and CSV all show."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from damcli.evaluation import Evaluation
from damcli.evaluation.folds import FoldAccuracy
from damcli.evaluation.rates import OperatingPoint, impostors_needed
from damcli.evaluation.results import Estimate, MetricResult

TAR = "TAR@FAR"
FOLDS = "accuracy over folds"
SKEWED = "skewed error ratio"


class Compared:
    """What rows of every kind know of their difference to the baseline; no fields of its own."""

    difference: float | None
    difference_low: float | None
    difference_high: float | None

    @property
    def is_significant(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        if self.difference_low is None or self.difference_high is None:
            return False
        return self.difference_low > 0 or self.difference_high < 0


@dataclass(frozen=True)
class Row(Compared):
    """One quantity of one metric; None where it does not apply. Rates are fractions."""

    metric: str
    quantity: str
    far: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    standard_error: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    threshold: float | None = None
    achieved_far: float | None = None
    false_accepts: int | None = None
    allowed_false_accepts: int | None = None
    note: str | None = None


COLUMNS = tuple(field.name for field in fields(Row))


def rows_of(evaluation: Evaluation) -> list[Row]:
    """List every number: TAR at each FAR for each metric, then the other quantities.

    Where a protocol is told in its accuracy over folds, that comes first.
    """
    rows, folds = _rate_rows(evaluation), _fold_rows(evaluation)
    return folds + rows if evaluation.leading == "folds" else rows + folds


def is_of_folds(row: Row) -> bool:
    """Whether a row is an accuracy over folds, or a mean or spread of such."""
    return row.quantity.startswith(FOLDS)


def _rate_rows(evaluation: Evaluation) -> list[Row]:
    rows = [
        _tar_row(metric, metric.points[i], metric.tars[i])
        for i in range(len(evaluation.metrics[0].points))
        for metric in evaluation.metrics
    ]
    rows += [_row(m, "EER", m.eer, m.eer_threshold) for m in evaluation.metrics]
    rows += [_row(m, "AUC", m.auc, None) for m in evaluation.metrics]
    rows += [
        _row(m, "best accuracy", m.best_accuracy, m.best_threshold) for m in evaluation.metrics
    ]
    return rows


def _fold_rows(evaluation: Evaluation) -> list[Row]:
    metrics = evaluation.metrics
    rows = [
        _fold_row(m.name, f", {m.group_folds[i].group}", m.group_folds[i].accuracy)
        for i in range(len(metrics[0].group_folds))
        for m in metrics
    ]
    for what, of in (("mean", statistics.mean), ("standard deviation", statistics.stdev)):
        rows += [
            Row(
                m.name,
                f"{FOLDS}, {what} by {evaluation.groups}",
                value=of([one.accuracy.mean for one in m.group_folds]),
                note=f"{len(m.group_folds)} groups",
            )
            for m in metrics
            if len(m.group_folds) > 1
        ]
    rows += [_skewed_row(m, evaluation.groups) for m in metrics if len(m.group_folds) > 1]
    return rows + [_fold_row(m.name, "", m.folds) for m in metrics if m.folds is not None]


def _skewed_row(metric: MetricResult, groups: str) -> Row:
    """Divide the largest error of a group by the smallest."""
    errors = [1 - one.accuracy.mean for one in metric.group_folds]
    row = Row(metric.name, f"{FOLDS}, {SKEWED} by {groups}", note=f"{len(errors)} groups")
    if min(errors) <= 0:
        faultless = ", ".join(g.group for g in metric.group_folds if g.accuracy.mean >= 1)
        return replace(row, note=f"n/a (no errors in {faultless})")
    return replace(row, value=max(errors) / min(errors))


def _fold_row(metric: str, group: str, accuracy: FoldAccuracy) -> Row:
    return Row(
        metric,
        FOLDS + group,
        value=accuracy.mean,
        standard_error=accuracy.standard_error,
        note=f"{accuracy.folds} folds",
    )


def _row(metric: MetricResult, quantity: str, estimate: Estimate, threshold: float | None) -> Row:
    known = None if threshold is None or not math.isfinite(threshold) else threshold
    return _filled(Row(metric.name, quantity, threshold=known), estimate)


def _tar_row(metric: MetricResult, point: OperatingPoint, estimate: Estimate | None) -> Row:
    if estimate is None:
        return Row(
            metric.name,
            TAR,
            far=point.far,
            allowed_false_accepts=0,
            note=f"n/a (needs ≥ {impostors_needed(point.far):,} impostor pairs)",
        )
    row = Row(
        metric.name,
        TAR,
        far=point.far,
        threshold=point.threshold,
        achieved_far=point.achieved_far,
        false_accepts=point.false_accepts,
        allowed_false_accepts=point.allowed,
    )
    return _filled(row, estimate)


def _filled(row: Row, estimate: Estimate) -> Row:
    return replace(row, **figures_of(estimate))


def figures_of(estimate: Estimate) -> dict[str, Any]:
    """Return an estimate as the fields of a row: value, difference, and the ends of both."""
    interval, paired = estimate.interval, estimate.difference_interval
    return {
        "value": estimate.value,
        "low": None if interval is None else interval.low,
        "high": None if interval is None else interval.high,
        "difference": estimate.difference,
        "difference_low": None if paired is None else paired.low,
        "difference_high": None if paired is None else paired.high,
    }


def row_of(estimate: Estimate) -> Row:
    """Return an estimate as a row that does not say of what it is."""
    return Row("", "", **figures_of(estimate))


def as_dict(row: Row) -> dict[str, str | float | int | None]:
    """Return the row's columns in their order."""
    return asdict(row)
