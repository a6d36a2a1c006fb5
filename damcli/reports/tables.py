"""The evaluation for people: two tables and how to read them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal, localcontext
from typing import TYPE_CHECKING, Literal, NamedTuple, TextIO

from damcli.evaluation import Evaluation
from damcli.reports.rows import FOLDS, SKEWED, TAR, Compared, Row, is_of_folds, rows_of

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_MIN_WIDTH = 130
_FILE_WIDTH = 200
# Beyond it, marks by chance are worth a warning.
_FEW_METRICS = 3


def print_report(evaluation: Evaluation, *, stream: TextIO | None = None) -> None:
    """Print the tables of an evaluation.

    Parameters
    ----------
    evaluation
        What was found.
    stream
        Where to; stdout by default.
    """
    console = console_for(stream or sys.stdout)
    console.print(pairs_counted(evaluation))
    for grid in grids_of(evaluation):
        console.print(table_of(*grid))
    for line in legend_of(evaluation):
        console.print(line)


class Grid(NamedTuple):
    """The cells of a table; one that is blank at the start of a line repeats that above it."""

    titles: Sequence[str]
    lines: Sequence[Sequence[str]]


def pairs_counted(evaluation: Evaluation) -> str:
    """Say how many pairs there are, and of how many subjects where that is known."""
    subjects = f" of {evaluation.subjects:,} subjects" if evaluation.subjects else ""
    return f"{evaluation.genuine:,} genuine and {evaluation.impostors:,} impostor pairs{subjects}"


def grids_of(evaluation: Evaluation) -> list[Grid]:
    """Lay out the tables of an evaluation: TAR at each FAR, and the other quantities."""
    rows = rows_of(evaluation)
    others = [row for row in rows if row.quantity != TAR]
    grids = []
    if evaluation.leading == "folds" and any(map(is_of_folds, others)):
        grids.append(_grid(_fold_columns(), [row for row in others if is_of_folds(row)]))
        others = [row for row in others if not is_of_folds(row)]
    grids.append(_grid(_tar_columns(evaluation), [r for r in rows if r.quantity == TAR]))
    grids.append(_grid(_other_columns(evaluation), others))
    return grids


def console_for(stream: TextIO) -> Console:
    """Return a console that is wide enough for the tables."""
    from rich.console import Console

    console = Console(file=stream, highlight=False)
    width = console.width if console.is_terminal else _FILE_WIDTH
    return Console(file=stream, highlight=False, width=max(width, _MIN_WIDTH))


Column = tuple[str, Callable[[Row], str]]


def _threshold_column(evaluation: Evaluation) -> Column:
    return (
        "threshold",
        lambda row: conservative_digits(row.threshold, is_distance=evaluation.is_distance),
    )


def _tar_columns(evaluation: Evaluation) -> list[Column]:
    return [
        ("FAR", lambda row: scientific(row.far)),
        ("metric", lambda row: row.metric),
        ("TAR [95 %]", _value),
        *([("Δ points [95 %]", marked_difference)] if len(evaluation.metrics) > 1 else []),
        _threshold_column(evaluation),
        ("achieved FAR", lambda row: _rate(row.achieved_far)),
        ("false/allowed", _false_accepts),
    ]


def _fold_columns() -> list[Column]:
    return [("", _quantity), ("metric", lambda row: row.metric), ("accuracy", _value)]


def _quantity(row: Row) -> str:
    """Name a row; one of folds by their number, and by the group or what is taken of them."""
    if not is_of_folds(row):
        return row.quantity
    what = row.quantity.removeprefix(FOLDS).removeprefix(", ")
    if row.standard_error is None:
        return what
    return f"{what}, {row.note}: accuracy ± SE" if what else f"{row.note}: accuracy ± SE"


def _other_columns(evaluation: Evaluation) -> list[Column]:
    return [
        ("", _quantity),
        ("metric", lambda row: row.metric),
        ("value [95 %]", _value),
        *([("Δ points [95 %]", marked_difference)] if len(evaluation.metrics) > 1 else []),
        _threshold_column(evaluation),
    ]


def _grid(columns: Sequence[Column], rows: Sequence[Row]) -> Grid:
    lines = []
    previous = None
    for row in rows:
        group = (row.quantity, row.far)
        cells = [cell(row) for _, cell in columns]
        if group == previous:
            cells[0] = ""
        lines.append(cells)
        previous = group
    return Grid([title for title, _ in columns], lines)


def stands_left(title: str) -> bool:
    """Whether the cells of a column are names rather than numbers."""
    return title in ("", "FAR", "group", "metric", "verdict")


def table_of(titles: Sequence[str], lines: Sequence[Sequence[str | Text]]) -> Table:
    """Lay cells out under their titles; names stand left, numbers right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        justify: Literal["left", "right"] = "left" if stands_left(title) else "right"
        table.add_column(title, justify=justify, no_wrap=True)
    for cells in lines:
        table.add_row(*cells)
    return table


def _value(row: Row) -> str:
    if row.value is None:
        return row.note or ""
    if row.standard_error is not None:
        return f"{percent(row.value)} ± {100 * row.standard_error:.2f}"
    if SKEWED in row.quantity:
        return f"{row.value:.2f}"
    return with_interval(row.value, row.low, row.high)


def with_interval(value: float, low: float | None, high: float | None) -> str:
    """Write a rate in percent, with its interval where there is one."""
    if low is None or high is None:
        return percent(value)
    return f"{percent(value)} [{100 * low:.2f}, {100 * high:.2f}]"


def marked_difference(row: Compared) -> str:
    """Write the difference as `difference_text` does, with a mark where it is significant."""
    text = difference_text(row)
    if row.difference_low is None:
        return text
    return f"{text}{' *' if row.is_significant else '  '}"


def difference_text(row: Compared) -> str:
    """Write the difference to the baseline in percent points, with its interval."""
    if row.difference is None:
        return ""
    text = f"{100 * row.difference:+.2f}"
    if row.difference_low is None or row.difference_high is None:
        return text
    return f"{text} [{100 * row.difference_low:+.2f}, {100 * row.difference_high:+.2f}]"


def _false_accepts(row: Row) -> str:
    if row.false_accepts is None:
        return ""
    return f"{row.false_accepts:,} / {row.allowed_false_accepts:,}"


def percent(rate: float) -> str:
    """Write a fraction in percent."""
    return f"{100 * rate:.2f} %"


def scientific(far: float | None) -> str:
    """Write a false accept rate as 1e-4."""
    if far is None:
        return ""
    mantissa, exponent = f"{far:e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _rate(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.3e}"


def conservative_digits(threshold: float | None, *, is_distance: bool) -> str:
    """Write a threshold so that what is printed never accepts more than the threshold does."""
    if threshold is None:
        return ""
    with localcontext(prec=6, rounding=ROUND_FLOOR if is_distance else ROUND_CEILING):
        return f"{float(+Decimal(repr(float(threshold)))):.6g}"


def legend_of(evaluation: Evaluation) -> list[str]:
    """Say how to read the tables."""
    rows = rows_of(evaluation)
    rule = "distance ≤ threshold" if evaluation.is_distance else "score ≥ threshold"
    lines = [f"Accept when {rule}. FAR and TAR are FMR and TMR of ISO/IEC 19795."]
    if len(evaluation.metrics) > 1:
        lines.append(
            f"Δ: difference to {evaluation.metrics[0].name} on the same pairs, in percent points."
        )
    if evaluation.resamples:
        lines.append(
            f"95 % intervals: {evaluation.resamples:,} resamples of {evaluation.resampled}, "
            f"the same for all metrics, seed {evaluation.seed}."
        )
    if any(row.is_significant for row in rows):
        lines.append("* the interval of the difference excludes 0.")
        if len(evaluation.metrics) > _FEW_METRICS:
            lines.append(
                f"{len(evaluation.metrics) - 1} metrics are compared, and no interval is corrected "
                "for that: of those that change nothing, about one in 20 gets a * by chance."
            )
    return lines
