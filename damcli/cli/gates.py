"""Gates on the command line: requirements in, one line of why for each that is not met."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages, usage_error
from damcli.errors import UserError

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.evaluation.gates import Verdict
    from damcli.evaluation.requirements import Requirement
    from damcli.evaluation.thresholds import Decisions
    from damcli.protocols.scores import ScoreList
    from damcli.scoring.matches import MatchSpool


def parse(texts: Sequence[str]) -> list[Requirement]:
    """Read the requirements; a wrong one is a usage error."""
    from damcli.evaluation.requirements import parse_requirement

    try:
        return [parse_requirement(text) for text in texts]
    except UserError as error:
        raise usage_error(f"--require {error}") from error


def compared(
    scored: ScoreList, baseline: str, score: str, label: str | None, *, distance: bool
) -> MatchSpool:
    """Read the scores beside those that an older list has for the same pairs."""
    from damcli.protocols.scores import ScoreList
    from damcli.scoring.joined import joined_scores
    from damcli.scoring.listed import matches_of

    older = ScoreList(baseline, [score], label)
    name = f"{score} ({Path(baseline).name})"
    joined = joined_scores(scored, older, score)
    return matches_of(scored, distance=distance, baseline=(name, joined))


def judge_all(
    evaluation: Evaluation,
    requirements: Sequence[Requirement],
    *,
    at_threshold: tuple[str, Decisions] | None,
    not_worse: str | None,
) -> list[Verdict]:
    """Judge all requirements, and ``not_worse`` than the baseline on that score."""
    from damcli.evaluation.gates import judge, judge_not_worse

    verdicts = [judge(evaluation, one, at_threshold=at_threshold) for one in requirements]
    if not_worse is not None:
        verdicts += judge_not_worse(evaluation, not_worse)
    return verdicts


def documents(verdicts: Sequence[Verdict]) -> list[dict[str, Any]]:
    """Make the part of a JSON document that tells of the gates."""
    from damcli.reports.operating_points import reason

    return [{**asdict(one), "why": reason(one)} for one in verdicts]


def report(verdicts: Sequence[Verdict], messages: Messages) -> bool:
    """Say what came of each requirement; return whether all are met."""
    from damcli.reports.operating_points import reason

    for verdict in verdicts:
        if verdict.passed:
            messages.say(f"passed: {reason(verdict)}")
        else:
            print(f"failed: {reason(verdict)}", file=sys.stderr)
    return all(verdict.passed for verdict in verdicts)
