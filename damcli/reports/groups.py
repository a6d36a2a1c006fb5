"""Groups for people: their rates side by side, how far they lie apart, and how to read that."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from damcli.evaluation.group_results import ERROR, FMR, FNMR, UNKNOWN, GroupEvaluation
from damcli.reports.group_rows import SPREAD, GroupRow, group_rows, groups_counted
from damcli.reports.tables import Grid, console_for, percent, scientific, table_of

_TITLES = {FMR: "FMR [95 %]", FNMR: "FNMR [95 %]", ERROR: "error [95 %]"}
Column = tuple[str, Callable[[GroupRow], str]]


def print_groups(evaluation: GroupEvaluation, *, stream: TextIO | None = None) -> None:
    """Print the tables of one column's groups.

    Parameters
    ----------
    evaluation
        What was found.
    stream
        Where to; stdout by default.
    """
    from rich.text import Text

    console = console_for(stream or sys.stdout)
    console.print(heading_of(evaluation), markup=False)
    for titles, lines in group_grids(evaluation):
        # Labels are anybody's, and must not be read as markup.
        console.print(table_of(titles, [[Text(cell) for cell in line] for line in lines]))
    for line in group_legend(evaluation):
        console.print(line, markup=False)


def group_grids(evaluation: GroupEvaluation) -> list[Grid]:
    """Lay out the tables of one column's groups: each rate, then how far they lie apart."""
    rows = group_rows(evaluation)
    compared = _is_compared(rows)
    grids = []
    for quantity in _TITLES:
        mine = [row for row in rows if row.quantity == quantity]
        if mine:
            grids.append(_grid(_rate_columns(quantity, compared), mine))
    spreads = [row for row in rows if row.kind == SPREAD]
    if spreads:
        grids.append(_grid(_spread_columns(evaluation, spreads, compared), spreads))
    return grids


def _is_compared(rows: Sequence[GroupRow]) -> bool:
    return any(row.difference is not None or row.factor is not None for row in rows)


def heading_of(evaluation: GroupEvaluation) -> str:
    """Name the column and count its groups, and the pairs that belong to none."""
    groups = len(evaluation.groups)
    heading = f"By {evaluation.column}: {groups} group{'' if groups == 1 else 's'}"
    for line in evaluation.lines:
        if line.kind == UNKNOWN:
            heading += (
                f"; {line.genuine:,} genuine and {line.impostors:,} impostor pairs have a side "
                f"without {evaluation.column}"
            )
    return heading


def _rate_columns(quantity: str, compared: bool) -> list[Column]:
    return [
        ("FAR", _point),
        ("group", lambda row: row.group or ""),
        ("metric", lambda row: row.metric),
        ("pairs", lambda row: "" if row.pairs is None else f"{row.pairs:,}"),
        ("errors", lambda row: "" if row.value is None else f"{row.errors:,}"),
        (_TITLES[quantity], _value),
        *([("Δ [95 %]", _change)] if compared else []),
    ]


def _spread_columns(
    evaluation: GroupEvaluation, rows: Sequence[GroupRow], compared: bool
) -> list[Column]:
    everyone = groups_counted(evaluation, len(evaluation.groups))
    of_fewer = any(row.value is not None and row.note != everyone for row in rows)
    return [
        ("FAR", _point),
        ("", lambda row: row.quantity),
        ("metric", lambda row: row.metric),
        ("value [95 %]", _value),
        *([("Δ [95 %]", _change)] if compared else []),
        *([("of", lambda row: "" if row.value is None else row.note or "")] if of_fewer else []),
    ]


def _grid(columns: Sequence[Column], rows: Sequence[GroupRow]) -> Grid:
    lines = []
    previous: tuple[str, str] | None = None
    for row in rows:
        cells = [cell(row) for _, cell in columns]
        place = cells[0], cells[1]
        if previous is not None and place[0] == previous[0]:
            cells[0] = ""
            if place[1] == previous[1]:
                cells[1] = ""
        lines.append(cells)
        previous = place
    return Grid([title for title, _ in columns], lines)


def _point(row: GroupRow) -> str:
    return "best accuracy" if row.far is None else scientific(row.far)


def _value(row: GroupRow) -> str:
    if row.value is None:
        return (row.note or "").replace(" impostor pairs)", " pairs)")
    return _write(row, row.value) + _ends(row, row.low, row.high)


def _change(row: GroupRow) -> str:
    if row.factor is not None:
        text = f"×{row.factor:.2f}"
        if row.factor_low is not None:
            high = "∞" if row.factor_high is None else f"{row.factor_high:.2f}"
            text += f" [{row.factor_low:.2f}, {high}]"
    elif row.difference is not None:
        text = _write(row, row.difference, signed=True)
        text += _ends(row, row.difference_low, row.difference_high, signed=True)
    else:
        return ""
    return text + (" *" if row.is_significant else "  ")


def _ends(row: GroupRow, low: float | None, high: float | None, *, signed: bool = False) -> str:
    if low is None and high is None:
        return ""
    ends = ("-∞" if low is None else low, "∞" if high is None else high)
    shown = [one if isinstance(one, str) else _write(row, one, signed=signed) for one in ends]
    return f" [{', '.join(one.removesuffix(' %') for one in shown)}]"


def _write(row: GroupRow, number: float, *, signed: bool = False) -> str:
    """Write a ratio plainly, FNMR in percent, and what is mostly small as a power of ten."""
    sign = "+" if signed else ""
    if row.kind == SPREAD and not row.quantity.endswith("deviation"):
        return f"{number:.2f}"
    if row.quantity.startswith((FMR, ERROR)):
        return f"{number:{sign}.2e}"
    return f"{100 * number:{sign}.2f}" if signed else percent(number)


def group_legend(evaluation: GroupEvaluation) -> list[str]:
    """Say how to read the tables of groups."""
    rows = group_rows(evaluation)
    lines = [
        "One threshold a metric for all groups. FMR: impostor pairs accepted; FNMR: genuine pairs "
        "refused."
    ]
    if _is_compared(rows):
        lines.append(
            f"Δ: difference to {evaluation.metrics[0]} on the same resamples (FNMR in percent "
            "points); of a ratio, the factor."
        )
    if any(row.is_significant for row in rows):
        lines.append("* the interval of the difference excludes 0, or that of the factor 1.")
    if any(row.kind == SPREAD and row.value is not None for row in rows):
        lines.append(
            "Groups of equal rates have ratios above 1 by chance: read the ends of the interval."
        )
    return lines
