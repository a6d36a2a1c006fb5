"""The numbers of a sweep: one list for JSON and CSV, and what tables and figures show of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from damcli.evaluation import Evaluation
from damcli.evaluation.rates import impostors_needed
from damcli.evaluation.results import Estimate, MetricResult
from damcli.reports.rows import COLUMNS, as_dict, rows_of
from damcli.reports.tables import scientific
from damcli.sweeping.curves import Curves
from damcli.sweeping.settings import Setting

SETTING_COLUMNS = ("k", "s", "anchors", "seed")
SWEEP_COLUMNS = (COLUMNS[0], *SETTING_COLUMNS, *COLUMNS[1:])


class Quantity(NamedTuple):
    """A number that every setting has."""

    title: str
    of: Callable[[MetricResult], Estimate]
    is_drawn: bool
    """Whether figures show it."""


class Spread(NamedTuple):
    """A number over the seeds of a draw."""

    mean: float
    lowest: float
    highest: float


def quantities(sweep: Curves) -> list[Quantity]:
    """List TAR at each FAR that allows a false accept, EER and accuracy."""
    return quantities_of(sweep.cosine)


def quantities_of(cosine: MetricResult) -> list[Quantity]:
    """List the same, by what cosine has."""
    found = [
        Quantity(f"TAR at FAR {scientific(point.far)}", _tar(place), True)
        for place, point in enumerate(cosine.points)
        if point.allowed
    ]
    found.append(Quantity("EER", lambda metric: metric.eer, False))
    folds = cosine.folds
    if folds is None:
        return [*found, Quantity("best accuracy", lambda metric: metric.best_accuracy, False)]
    title = f"accuracy over {folds.folds} folds"
    return [*found, Quantity(title, lambda metric: _of_folds(metric, folds.mean), True)]


def too_low(sweep: Curves) -> list[str]:
    """Say of each FAR that allows no false accept what it would take."""
    return [
        f"FAR {scientific(point.far)}: n/a (needs ≥ {impostors_needed(point.far):,} impostor pairs)"
        for point in sweep.cosine.points
        if not point.allowed
    ]


def _tar(place: int) -> Callable[[MetricResult], Estimate]:
    def of(metric: MetricResult) -> Estimate:
        found = metric.tars[place]
        assert found is not None
        return found

    return of


def _of_folds(metric: MetricResult, cosine: float) -> Estimate:
    assert metric.folds is not None
    return Estimate(metric.folds.mean, difference=metric.folds.mean - cosine)


def spread(sweep: Curves, quantity: Quantity, size: int) -> Spread:
    """Take a quantity over the seeds at one size."""
    values = values_of(sweep, quantity, [one for one in sweep.plan.drawn if one.size == size])
    return Spread(sum(values) / len(values), min(values), max(values))


def values_of(sweep: Curves, quantity: Quantity, settings: Sequence[Setting]) -> list[float]:
    """Take a quantity of some settings."""
    return [quantity.of(sweep.of(one)).value for one in settings]


def setting_rows(
    evaluation: Evaluation, settings: Sequence[Setting], anchors: int
) -> list[dict[str, Any]]:
    """List every number of every setting, with the setting's own columns.

    ``metric`` is ``cosine``, which has no setting, or ``DAM-R``; ``anchors`` is how many of
    them the LIDs are taken from, and ``seed`` that of their draw where it is one.
    """
    named = {one.name: one for one in settings}
    rows = []
    for row in rows_of(evaluation):
        one = named.get(row.metric)
        columns: dict[str, Any] = {**as_dict(row), **dict.fromkeys(SETTING_COLUMNS)}
        if one is not None:
            size = anchors if one.size is None else one.size
            columns |= {"metric": "DAM-R", "k": one.k, "s": one.s}
            columns |= {"anchors": size, "seed": one.seed}
        rows.append({name: columns[name] for name in SWEEP_COLUMNS})
    return rows


def as_documents(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the rows of a setting together: a JSON-safe list of cosine and each setting."""
    keys = ("metric", *SETTING_COLUMNS)
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        key = tuple(row[name] for name in keys)
        one = found.setdefault(key, {**dict(zip(keys, key, strict=True)), "rows": []})
        one["rows"].append({name: value for name, value in row.items() if name not in keys})
    return list(found.values())
