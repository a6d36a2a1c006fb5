"""A sweep for people: k by s for each quantity, the two curves with intervals, the draws."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, TextIO

from damcli.errors import counted
from damcli.evaluation.results import Estimate
from damcli.reports.rows import row_of
from damcli.reports.sweep_rows import Quantity, quantities, spread, too_low
from damcli.reports.tables import console_for, marked_difference, percent, table_of
from damcli.sweeping.settings import Setting
from damcli.sweeping.sweep import Sweep

# So that tables fit in 130 columns.
_SCALES_BESIDE, _BESIDE = 11, 4


def print_sweep(sweep: Sweep, *, stream: TextIO | None = None) -> None:
    """Print the tables of a sweep.

    Parameters
    ----------
    sweep
        What was found.
    stream
        Where to; stdout by default.
    """
    console = console_for(stream or sys.stdout)
    found, plan = sweep.evaluation, sweep.plan
    subjects = f" of {found.subjects:,} subjects" if found.subjects else ""
    console.print(
        f"{found.genuine:,} genuine and {found.impostors:,} impostor pairs{subjects}, "
        f"{sweep.anchors:,} anchors"
    )
    shown = quantities(sweep)
    for quantity in shown:
        cosine = _percent(quantity.of(sweep.cosine))
        console.print(f"\n{quantity.title} in %; cosine: {cosine}", markup=False)
        for scales in _parts(plan.scales, _SCALES_BESIDE):
            console.print(table_of(*_grid(sweep, quantity, scales)))
    if len(plan.curves) > 1:
        ends = " [95 %]" if found.resamples else ""
        console.print(f"Difference to cosine in points{ends}:", markup=False)
        for some in _parts(shown, _BESIDE):
            console.print(table_of(*_curves(sweep, some)))
    if plan.drawn:
        console.print(
            f"Fewer anchors, drawn at random, at k = {plan.base.k} and s = {plan.base.s:g}: "
            f"mean [lowest, highest] of {counted(len(plan.seeds), 'seed')}, in %",
            markup=False,
        )
        for some in _parts(shown, _BESIDE):
            console.print(table_of(*_draws(sweep, some)))
    for line in _legend(sweep):
        console.print(line)


def _parts(columns: Sequence[Any], most: int) -> list[Any]:
    """Cut columns so that so many stand beside each other."""
    return [columns[start : start + most] for start in range(0, len(columns), most)]


Cells = tuple[list[str], list[list[str]]]


def _grid(sweep: Sweep, quantity: Quantity, scales: Sequence[float]) -> Cells:
    lines = [
        [f"k = {k}", *(_number(quantity.of(sweep.of(Setting(k, s))).value) for s in scales)]
        for k in sweep.plan.ks
    ]
    return ["", *(f"s = {s:g}" for s in scales)], lines


def _curves(sweep: Sweep, shown: Sequence[Quantity]) -> Cells:
    settings = dict.fromkeys((*sweep.plan.along_k, *sweep.plan.along_s))
    lines = [
        [one.name, *(marked_difference(row_of(quantity.of(sweep.of(one)))) for quantity in shown)]
        for one in settings
    ]
    return ["", *(quantity.title for quantity in shown)], lines


def _draws(sweep: Sweep, shown: Sequence[Quantity]) -> Cells:
    lines = []
    for size in sweep.plan.sizes:
        found = [spread(sweep, quantity, size) for quantity in shown]
        cells = (
            f"{_number(one.mean)} [{_number(one.lowest)}, {_number(one.highest)}]" for one in found
        )
        lines.append([f"{size:,} anchors", *cells])
    base = sweep.of(sweep.plan.base)
    lines.append([f"all {sweep.anchors:,}", *(_number(one.of(base).value) for one in shown)])
    return ["", *(quantity.title for quantity in shown)], lines


def _legend(sweep: Sweep) -> list[str]:
    found = sweep.evaluation
    lines = too_low(sweep)
    if found.resamples:
        lines.append(
            f"95 % intervals: {found.resamples:,} resamples of {found.resampled}, the same for all "
            f"settings, seed {found.seed}; no interval is corrected for how many there are."
        )
        if any(row_of(one).is_significant for one in _differences(sweep)):
            lines.append("* the interval of the difference excludes 0.")
    lines.append("FAR and TAR are FMR and TMR of ISO/IEC 19795.")
    return lines


def _percent(estimate: Estimate) -> str:
    if estimate.interval is None:
        return percent(estimate.value)
    low, high = (_number(end) for end in estimate.interval)
    return f"{percent(estimate.value)} [{low}, {high}]"


def _number(rate: float) -> str:
    return f"{100 * rate:.2f}"


def _differences(sweep: Sweep) -> list[Estimate]:
    shown = quantities(sweep)
    return [one.of(sweep.of(setting)) for setting in sweep.plan.curves for one in shown]
