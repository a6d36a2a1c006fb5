"""The curves of a training run, from its log: loss, validation, learning rate."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.reports.style import LINE_WIDTH, THIN, dress, key, look, new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Column = NDArray[np.float64]
_OF_TRAINING = ("step", "epoch", "loss", "lr", "images_per_second")
_SMOOTHED = 80  # rows, from which on a running mean is drawn over the loss
_HEIGHTS = {"loss": 2.0, "validation": 2.0, "lr": 1.2}


def curves_png(log: Path, output: Path, *, force: bool = False) -> None:
    """Draw the log of a run into a file; see `curves` and `damcli.reports.style.save`."""
    save(curves(log), output, force=force)


def curves(log: Path) -> Figure:
    """Draw the log of a run.

    Parameters
    ----------
    log
        A CSV with the columns ``step``, ``loss`` and ``lr``. Columns beyond those of the
        training are of validations: ``NAME metric``, of which the first of each NAME is
        drawn, with ``NAME standard_error`` as a band where there is one. A step without
        validation leaves its cells empty.

    Returns
    -------
    Figure
        Loss, validations in percent where there are any, and learning rate over the steps.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    InputError
        The log is missing, holds no step, or a cell is no number.
    """
    columns = _read(log)
    leading = _leading([name for name in columns if name not in _OF_TRAINING])
    panels = [panel for panel in _HEIGHTS if panel != "validation" or leading]
    heights = [_HEIGHTS[panel] for panel in panels]
    figure = new_figure(6.5, sum(heights) + 0.4)
    drawn = figure.subplots(len(panels), sharex=True, height_ratios=heights, squeeze=False)
    axes = dict(zip(panels, drawn[:, 0], strict=True))
    steps = columns["step"]
    _loss(axes["loss"], steps, columns["loss"])
    if leading:
        _validations(axes["validation"], steps, columns, leading)
    dress(axes["lr"], x="step", y="learning rate")
    axes["lr"].step(
        *(steps, columns["lr"]),
        where="pre",
        color=look(0).colour,
        linewidth=LINE_WIDTH,
        marker=_mark(steps),
    )
    if (columns["lr"] > 0).any():
        axes["lr"].set_yscale("log")
    axes["lr"].xaxis.set_major_formatter("{x:,.0f}")
    axes["lr"].xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    axes["lr"].margins(x=0.02)
    figure.align_ylabels()
    return figure


def _read(log: Path) -> dict[str, Column]:
    """Read the columns of a log as numbers, NaN where a cell is empty."""
    try:
        with log.open(newline="", encoding="utf-8") as file:
            table = csv.DictReader(file)
            rows = list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(log), f"cannot be read ({error}); expected a run's log") from error
    names = table.fieldnames or ()
    missing = [name for name in ("step", "loss", "lr") if name not in names]
    if missing:
        raise InputError(str(log), f"has no column {', '.join(missing)}; expected a run's log")
    if not rows:
        raise InputError(str(log), "holds no step yet")
    return {
        name: np.array([_number(row[name], name, log, line) for line, row in enumerate(rows, 2)])
        for name in names
    }


def _number(cell: str | None, name: str, log: Path, line: int) -> float:
    try:
        return float(cell) if cell else np.nan
    except ValueError as error:
        raise InputError(str(log), f"{name} is '{cell}'; expected a number", row=line) from error


def _leading(names: Sequence[str]) -> list[str]:
    """Take the first column of each validation."""
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(name.rpartition(" ")[0], name)
    return list(first.values())


def _loss(axes: Axes, steps: Column, loss: Column) -> None:
    dress(axes, y="loss")
    colour = look(0).colour
    if len(loss) < _SMOOTHED:
        axes.plot(steps, loss, color=colour, linewidth=LINE_WIDTH, marker=_mark(steps))
        return
    width = 2 * (len(loss) // _SMOOTHED) + 1
    axes.plot(steps, loss, color=colour, alpha=0.3, linewidth=THIN, label="as logged")
    windows = np.lib.stride_tricks.sliding_window_view(loss, width)
    centre = slice(width // 2, len(loss) - width // 2)
    axes.plot(
        *(steps[centre], windows.mean(axis=1)),
        color=colour,
        linewidth=LINE_WIDTH,
        label=f"mean of {width} rows",
    )
    key(axes, loc="upper right")


def _mark(steps: Column) -> str:
    """Return a marker for a single row, of which no line can be seen."""
    return "o" if len(steps) == 1 else ""


def _validations(
    axes: Axes, steps: Column, columns: dict[str, Column], leading: Sequence[str]
) -> None:
    dress(axes, y="validation (%)")
    for number, name in enumerate(leading):
        there = np.isfinite(columns[name])
        if not there.any():
            continue
        at, value, style = steps[there], 100 * columns[name][there], look(number)
        best = int(np.argmax(value))
        error = columns.get(f"{name.rpartition(' ')[0]} standard_error")
        axes.plot(
            *(at, value),
            color=style.colour,
            linestyle=style.dashes,
            linewidth=LINE_WIDTH,
            marker=style.marker,
            markersize=4 if len(at) <= 60 else 0,
            label=f"{_spoken(name)}{' ± s.e.' if error is not None else ''}: best "
            f"{value[best]:.2f} % at step {at[best]:,.0f}",
        )
        if error is not None:
            low, high = value - 100 * error[there], value + 100 * error[there]
            axes.fill_between(at, low, high, color=style.colour, alpha=0.15, linewidth=0)
    key(axes, loc="lower right")


def _spoken(name: str) -> str:
    """Say ``lfw tar@0.001`` as people do."""
    validation, _, metric = name.rpartition(" ")
    if metric.startswith("tar@"):
        return f"{validation}, TAR at FAR {metric.removeprefix('tar@')}"
    return f"{validation}, {metric}"
