"""``--group``: error rates of groups of people or pairs, for score and evaluate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from damcli.cli.console import Messages, usage_error

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.evaluation.group_results import GroupEvaluation, Point
    from damcli.scoring.matches import Matches
    from damcli.storage.threshold import Threshold


def check_groups(columns: Sequence[str] | None, option: str = "--group") -> tuple[str, ...]:
    """Refuse a column that was given twice, before any file is read."""
    given = tuple(columns or ())
    twice = next((name for place, name in enumerate(given) if name in given[:place]), None)
    if twice is not None:
        raise usage_error(f"{option} {twice} was given twice")
    return given


def evaluate_by_groups(
    matches: Matches,
    evaluation: Evaluation,
    given: tuple[Threshold, str] | None,
    messages: Messages,
) -> tuple[GroupEvaluation, ...]:
    """Take the rates of each group, at the evaluation's thresholds or at a given one.

    Parameters
    ----------
    matches, evaluation
        The scores, and what was found of them all.
    given
        A threshold, and the metric that it belongs to.
    messages
        Where progress shows.
    """
    if not matches.groupings:
        return ()
    from damcli.evaluation.groups import evaluate_groups

    cut = None
    if given is not None:
        threshold, metric = given
        value = -threshold.threshold if threshold.distance else threshold.threshold
        cut = (metric, value, threshold.far)
    total = evaluation.resamples * len(matches.groupings)
    with messages.progress("groups", total, "resamples") as advance:
        return evaluate_groups(matches, evaluation, given=cut, resampling=advance)


def in_distances(evaluation: GroupEvaluation) -> GroupEvaluation:
    """Give the thresholds back in the user's own unit."""

    def turned(point: Point) -> Point:
        return replace(point, threshold=None if point.threshold is None else -point.threshold)

    return replace(
        evaluation,
        points=tuple(map(turned, evaluation.points)),
        rates=tuple(replace(one, point=turned(one.point)) for one in evaluation.rates),
        spreads=tuple(replace(one, point=turned(one.point)) for one in evaluation.spreads),
        cells=tuple(replace(one, point=turned(one.point)) for one in evaluation.cells),
        is_distance=True,
    )
