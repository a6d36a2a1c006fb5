"""What a reader must know before believing an evaluation's numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from damcli.errors import counted
from damcli.evaluation import Evaluation
from damcli.evaluation.group_results import FMR, FNMR, GROUP, GroupEvaluation
from damcli.evaluation.rates import impostors_needed
from damcli.reports.group_rows import group_rows
from damcli.reports.tables import scientific

FEW_SUBJECTS = 50
FEW_FALSE_ACCEPTS = 10
FEW_GENUINE = 200
_FEW_METRICS = 3


def cautions(
    evaluation: Evaluation,
    metric: str,
    groups: Sequence[GroupEvaluation] = (),
    record: Mapping[str, Any] | None = None,
) -> list[str]:
    """List what weakens the numbers.

    Parameters
    ----------
    evaluation
        What was found.
    metric
        The one that is judged.
    groups
        The same by groups.
    record
        How the scores were made; None where that is not known.
    """
    return [
        *_of_fars(evaluation),
        *_of_subjects(evaluation),
        *_of_metrics(evaluation),
        *(line for one in groups for line in _of_groups(one)),
        *(line for one in groups for line in _of_worse_groups(one, metric)),
        *_of_record(record),
    ]


def _of_fars(evaluation: Evaluation) -> list[str]:
    points = evaluation.metrics[0].points
    said = []
    below = [one.far for one in points if one.allowed == 0]
    if below:
        said.append(
            f"Too few impostor pairs for FAR {', '.join(map(scientific, below))}: there are "
            f"{evaluation.impostors:,}, and FAR {scientific(max(below))} takes "
            f"{impostors_needed(max(below)):,} or more."
        )
    if evaluation.genuine < FEW_GENUINE:
        said.append(
            f"Only {counted(evaluation.genuine, 'genuine pair')}: one of them is "
            f"{100 / evaluation.genuine:.1f} points of TAR."
        )
    few = [one for one in points if 0 < one.allowed < FEW_FALSE_ACCEPTS]
    return said + [
        f"At FAR {scientific(one.far)} the threshold is set by the {one.allowed + 1} highest of "
        f"{evaluation.impostors:,} impostor pairs alone: a few odd pairs can decide it."
        for one in few
    ]


def _of_subjects(evaluation: Evaluation) -> list[str]:
    if not evaluation.subjects:
        return [
            "The scores do not say who is who (columns probe_subject and reference_subject), so "
            "pairs are resampled. Where people recur in several pairs, the intervals are too "
            "narrow."
        ]
    if evaluation.subjects < FEW_SUBJECTS:
        return [
            f"Only {counted(evaluation.subjects, 'subject')}: other people may give other "
            "numbers, and intervals from so few are too narrow."
        ]
    return []


def _of_metrics(evaluation: Evaluation) -> list[str]:
    if len(evaluation.metrics) <= _FEW_METRICS:
        return []
    return [
        f"{len(evaluation.metrics) - 1} metrics are compared and no interval is corrected for "
        "that: of those that change nothing, about one in 20 seems to."
    ]


def _of_groups(evaluation: GroupEvaluation) -> list[str]:
    without = [line.name for line in evaluation.groups if not line.genuine or not line.impostors]
    if not without:
        return []
    return [
        f"By {evaluation.column}: {', '.join(without)} lack genuine or impostor pairs within the "
        "group, so a rate of theirs is missing."
    ]


def _of_worse_groups(evaluation: GroupEvaluation, metric: str) -> list[str]:
    """Name the groups that pay, whatever the people as a whole gain."""
    paying: dict[tuple[str, str], list[str]] = {}
    for row in group_rows(evaluation):
        worse = row.is_significant and row.difference is not None and row.difference > 0
        if worse and (row.metric, row.kind) == (metric, GROUP) and row.quantity in (FMR, FNMR):
            paying.setdefault((str(row.group), row.quantity), []).append(scientific(row.far))
    return [
        f"By {evaluation.column}, {group}: {metric} has a higher {quantity} than "
        f"{evaluation.metrics[0]}, beyond its interval, at FAR {', '.join(fars)}."
        for (group, quantity), fars in paying.items()
    ]


def _of_record(record: Mapping[str, Any] | None) -> list[str]:
    if record is None:
        return [
            "Nothing is recorded of how these scores were made (no .about.json beside the file), "
            "so model, anchors and overlap cannot be checked."
        ]
    said = []
    if str(record.get("allow_overlap")) == "True":
        said.append(
            "The anchors may show people who are scored (--allow-overlap): each face skips its "
            "own, but the others see them."
        )
    looked = record.get("anchors_looked_at")
    if looked not in (None, "None"):
        said.append(
            f"The anchors were cleared of near-duplicates by looking at {looked}: where that is "
            "what is scored here, the choice of anchors has seen the test."
        )
    return said
