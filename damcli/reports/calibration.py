"""What a calibration promises and what llr are worth: tables for people, dicts for programs."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from damcli.calibration.choose import TAR, Difference, Expected, ExpectedRow
from damcli.evaluation.llr import LlrQuality
from damcli.reports.tables import console_for, percent, scientific

if TYPE_CHECKING:
    from rich.table import Table


def expected_as_dict(expected: Expected) -> dict[str, Any]:
    """Return the cross-validated numbers, JSON-safe; rates are fractions."""
    return {
        "form": expected.form,
        "scores": list(expected.names),
        "intervals": {
            "level": 0.95,
            "resampled": expected.resampled,
            "resamples": expected.resamples,
            "seed": expected.seed,
        },
        "folds": expected.folds,
        "rows": [
            {
                "quantity": row.quantity,
                "far": row.far,
                "values": None if row.values is None else list(row.values),
                "difference_to_cosine": _as_list(row.to_cosine),
                "difference_to_dam": _as_list(row.to_dam),
            }
            for row in expected.rows
        ],
        "verdict": verdict(expected),
        "held_out_llr": quality_as_dict(expected.quality),
    }


def quality_as_dict(quality: LlrQuality) -> dict[str, Any]:
    """Return Cllr, its minimum, ECE and the reliability table, JSON-safe."""
    return asdict(quality)


def print_expected(expected: Expected, *, stream: TextIO | None = None) -> None:
    """Print what cross-validation lets one expect."""
    console = console_for(stream or sys.stdout)
    cosine, dam, mine = expected.names
    titles = ("", cosine, dam, mine, f"Δ to {cosine} [95 %]", f"Δ to {dam} [95 %]")
    cells = [_cells(row) for row in expected.rows]
    console.print(
        f"Cross-validated, {expected.folds} folds of {expected.resampled}; form: {expected.form}"
    )
    console.print(_table(titles, cells))
    console.print(
        f"Δ in percent points, {expected.resamples:,} resamples of {expected.resampled}, "
        f"seed {expected.seed}; * the interval excludes 0. Four forms were compared on these folds."
    )
    console.print(verdict(expected))
    print_quality(expected.quality, stream=stream)


def print_quality(quality: LlrQuality, *, stream: TextIO | None = None) -> None:
    """Print how good log-likelihood ratios are."""
    console = console_for(stream or sys.stdout)
    console.print(
        f"llr: Cllr {quality.cllr:.4f} bits, of which {quality.min_cllr:.4f} is discrimination "
        f"(minimum Cllr); ECE {percent(quality.ece)} at prior {quality.prior:g}"
    )
    titles = ("stated probability", "genuine", "impostors", "mean stated", "observed")
    cells = [
        (
            f"{one.low:g} – {one.high:g}",
            f"{one.genuine:,.0f}",
            f"{one.impostors:,.0f}",
            _probability(one.stated),
            _probability(one.observed),
        )
        for one in quality.bins
    ]
    console.print(_table(titles, cells))


def verdict(expected: Expected) -> str:
    """Say in words whether the calibrated score is better or worse, and where."""
    found = []
    for name, side in zip(expected.names[:2], ("to_cosine", "to_dam"), strict=True):
        better: list[str] = []
        worse: list[str] = []
        for row in expected.rows:
            difference: Difference | None = getattr(row, side)
            if difference is None or not difference.is_significant:
                continue
            gain = difference.value if row.quantity == TAR else -difference.value
            (better if gain > 0 else worse).append(_place(row))
        parts = [f"significantly better at {', '.join(better)}"] if better else []
        parts += [f"significantly worse at {', '.join(worse)}"] if worse else []
        found.append(f"Against {name}: {'; '.join(parts) or 'no difference that is significant'}.")
    return " ".join(found)


def _place(row: ExpectedRow) -> str:
    return row.quantity if row.far is None else f"FAR {scientific(row.far)}"


def _cells(row: ExpectedRow) -> tuple[str, ...]:
    title = row.quantity if row.far is None else f"TAR at FAR {scientific(row.far)}"
    if row.values is None:
        needed = (
            "" if row.far is None else f"needs ≥ {math.ceil(1 / row.far - 1e-9):,} impostor pairs"
        )
        return (title, "n/a", "n/a", "n/a", needed, "")
    return (title, *map(percent, row.values), _delta(row.to_cosine), _delta(row.to_dam))


def _delta(difference: Difference | None) -> str:
    if difference is None:
        return ""
    mark = " *" if difference.is_significant else "  "
    ends = f"[{100 * difference.low:+.2f}, {100 * difference.high:+.2f}]"
    return f"{100 * difference.value:+.2f} {ends}{mark}"


def _as_list(difference: Difference | None) -> list[float] | None:
    return None if difference is None else list(difference)


def _probability(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _table(titles: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for place, title in enumerate(titles):
        table.add_column(title, justify="right" if place else "left", no_wrap=True)
    for row in cells:
        table.add_row(*row)
    return table
