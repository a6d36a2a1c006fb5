"""Whether a metric helps against the baseline, judged by the interval of the paired difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from damcli.evaluation import Evaluation
from damcli.reports.rows import TAR, Row, rows_of
from damcli.reports.tables import difference_text, percent, scientific

OTHERS = {"EER": -1, "AUC": 1}


class Effect(Enum):
    """What the interval of a paired difference says."""

    HELPS = "helps"
    HURTS = "hurts"
    NOT_SHOWN = "no difference shown"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Verdict:
    """One quantity of a metric beside the baseline's.

    Attributes
    ----------
    what
        ``FAR 1e-4``, ``EER`` or ``AUC``.
    effect
        What the interval says.
    sentence
        The same with its numbers, in percent and percent points.
    row, baseline
        The numbers themselves, as fractions.
    """

    what: str
    effect: Effect
    sentence: str
    row: Row
    baseline: Row


def verdicts(evaluation: Evaluation, metric: str) -> list[Verdict]:
    """Judge TAR at each FAR, then EER and AUC.

    Parameters
    ----------
    evaluation
        Of two metrics or more.
    metric
        The one to judge; not the first, which it is compared with.

    Returns
    -------
    list of Verdict
        A difference counts where its 95 % interval excludes 0, and nowhere else.
    """
    rows = rows_of(evaluation)
    mine = [row for row in rows if row.metric == metric]
    baseline = {
        (row.quantity, row.far): row for row in rows if row.metric == evaluation.metrics[0].name
    }
    return [
        _verdict(row, baseline[row.quantity, row.far])
        for row in mine
        if row.quantity in (TAR, *OTHERS)
    ]


def _verdict(row: Row, baseline: Row) -> Verdict:
    what = f"FAR {scientific(row.far)}" if row.quantity == TAR else row.quantity
    effect = _effect(row)
    return Verdict(what, effect, _sentence(row, baseline, effect), row, baseline)


def _effect(row: Row) -> Effect:
    if row.difference is None or row.difference_low is None:
        return Effect.NOT_MEASURED
    if not row.is_significant:
        return Effect.NOT_SHOWN
    better = row.difference * OTHERS.get(row.quantity, 1) > 0
    return Effect.HELPS if better else Effect.HURTS


def _sentence(row: Row, baseline: Row, effect: Effect) -> str:
    if row.value is None or baseline.value is None:
        return row.note or ""
    name = "TAR" if row.quantity == TAR else row.quantity
    numbers = (
        f"{name} {percent(row.value)} by {row.metric}, {percent(baseline.value)} by "
        f"{baseline.metric}"
    )
    if effect is Effect.NOT_MEASURED:
        return f"{numbers}; no intervals were taken, so nothing can be told"
    reason = "excludes 0" if row.is_significant else "holds 0"
    return f"{numbers}: {difference_text(row)} points; the interval {reason}"


def headline(found: Sequence[Verdict]) -> str:
    """Say in one sentence at which FARs the metric helps, hurts, or shows no difference."""
    metric, baseline = found[0].row.metric, found[0].baseline.metric
    at_fars = [one for one in found if one.row.quantity == TAR]
    told = [one for one in at_fars if one.effect is not Effect.NOT_MEASURED]
    if not told:
        return f"These pairs cannot tell whether {metric} helps against {baseline}"
    parts = []
    for effect, words in (
        (Effect.HELPS, f"{metric} helps"),
        (Effect.HURTS, f"{metric} hurts"),
        (Effect.NOT_SHOWN, "no difference is shown"),
    ):
        which = [one for one in told if one.effect is effect]
        if len(which) == len(told) > 1:
            any_or_every = "any" if effect is Effect.NOT_SHOWN else "every"
            parts.append(f"{words} at {any_or_every} FAR that these pairs can measure")
        elif which:
            parts.append(f"{words} at {_listed(which)}")
    sentence = "; ".join(parts)
    return sentence[0].upper() + sentence[1:]


def _listed(which: Sequence[Verdict]) -> str:
    fars = [scientific(one.row.far) for one in which]
    last = fars.pop()
    return f"FAR {', '.join(fars)} and {last}" if fars else f"FAR {last}"


def side_effects(found: Sequence[Verdict]) -> list[str]:
    """Say what it costs elsewhere, or brings: EER and AUC where they changed."""
    words = {Effect.HELPS: "better", Effect.HURTS: "worse"}
    return [
        f"{one.what} gets {words[one.effect]}: {percent(one.baseline.value or 0.0)} by "
        f"{one.baseline.metric}, {percent(one.row.value or 0.0)} by {one.row.metric}, "
        f"{difference_text(one.row)} points"
        for one in found
        if one.row.quantity in OTHERS and one.effect in words
    ]
