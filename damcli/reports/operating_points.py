"""Thresholds and gates for people: what was promised, what is, and why a gate failed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

from damcli.evaluation.gates import NOT_WORSE, Verdict
from damcli.evaluation.requirements import FAR, TAR
from damcli.evaluation.results import Estimate, Interval
from damcli.evaluation.thresholds import Decisions
from damcli.reports.tables import (
    conservative_digits,
    console_for,
    percent,
    scientific,
    table_of,
)


def print_decisions(
    title: str, rows: Sequence[tuple[str, Decisions]], *, stream: TextIO | None = None
) -> None:
    """Print what one threshold accepts of one or more lists of pairs.

    Parameters
    ----------
    title
        Which threshold it is.
    rows
        Each list's name and its decisions.
    stream
        Where to; stdout by default.
    """
    console = console_for(stream or sys.stdout)
    console.print(title)
    columns = ["", "FAR [95 %]", "false accepts", "TAR [95 %]", "true accepts"]
    cells = [
        [
            name,
            _rate(found.far),
            f"{found.false_accepts:,} / {found.impostors:,}",
            _percent(found.tar),
            f"{found.true_accepts:,} / {found.genuine:,}",
        ]
        for name, found in rows
    ]
    console.print(table_of(columns, cells))


def threshold_title(
    threshold: float, interval: Interval | None, score: str, far: float, *, distance: bool
) -> str:
    """Say which threshold it is."""
    sign = "≤" if distance else "≥"
    spread = "" if interval is None else f" [{interval.low:.6g}, {interval.high:.6g}]"
    shown = conservative_digits(threshold, is_distance=distance)
    return f"Accept when {score} {sign} {shown}{spread}, picked for FAR {scientific(far)}."


def reason(verdict: Verdict) -> str:
    """Say in one line what a requirement came to."""
    if verdict.requirement == NOT_WORSE:
        return _comparison(verdict)
    what = f"{verdict.requirement} ({verdict.score})"
    if verdict.value is None:
        return f"{what}: cannot be measured, needs ≥ {verdict.impostors_needed:,} impostor pairs"
    write = _rate if verdict.quantity == FAR else _percent
    return f"{what}: {verdict.quantity} is {write(Estimate(verdict.value, verdict.interval))}"


def _comparison(verdict: Verdict) -> str:
    what = f"{NOT_WORSE} ({verdict.score})"
    if verdict.value is None or verdict.interval is None:
        return f"{what}: nowhere does the interval of the difference exclude 0 for the worse"
    at = f"@{scientific(verdict.far)}" if verdict.quantity == TAR else ""
    low, high = (100 * end for end in verdict.interval)
    return (
        f"{what}: {verdict.quantity}{at} differs from the baseline's by "
        f"{100 * verdict.value:+.2f} [{low:+.2f}, {high:+.2f}] points"
    )


def _percent(estimate: Estimate) -> str:
    if estimate.interval is None:
        return percent(estimate.value)
    low, high = (100 * end for end in estimate.interval)
    return f"{percent(estimate.value)} [{low:.2f}, {high:.2f}]"


def _rate(estimate: Estimate) -> str:
    if estimate.interval is None:
        return f"{estimate.value:.3e}"
    return f"{estimate.value:.3e} [{estimate.interval.low:.2e}, {estimate.interval.high:.2e}]"
