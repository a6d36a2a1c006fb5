"""``damcli evaluate``: the tables of scores that exist, whoever made them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import gates, operating_points
from damcli.cli import pair_options as shared
from damcli.cli.console import (
    DEFAULT_FAR,
    STDOUT,
    Messages,
    evaluate_with_progress,
    parse_fars,
    print_evaluation,
    usage_error,
)
from damcli.cli.groups import check_groups, evaluate_by_groups, in_distances

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.evaluation.requirements import Requirement
    from damcli.evaluation.thresholds import Decisions
    from damcli.protocols.scores import ScoreList
    from damcli.scoring.matches import MatchSpool
    from damcli.storage.threshold import Threshold


def evaluate(
    scores: Annotated[
        str,
        typer.Argument(help="Scores with labels: CSV, .gz, .zst or Parquet; - for stdin."),
    ],
    *,
    score: Annotated[
        list[str] | None,
        typer.Option(
            help="Score column; repeat it to compare, baseline first. "
            "By default cosine and score, as far as they are there.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label column, 1 or 0.", show_default="by its name")
    ] = None,
    distance: Annotated[bool, typer.Option("--distance", help="Lower is more similar.")] = False,
    far: Annotated[str, typer.Option(help="False accept rates of the table.")] = DEFAULT_FAR,
    resamples: shared.Resamples = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    threshold_at: Annotated[
        float | None,
        typer.Option(help="Pick the threshold for this FAR, and write it to -o.", metavar="FAR"),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The threshold that is picked: .json.")
    ] = None,
    threshold: Annotated[
        Path | None, typer.Option(help="A picked threshold, to hold against these scores.")
    ] = None,
    group: shared.GroupOption = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            help='Exit with 1 unless met: "TAR@1e-4 >= 0.95", "cosine:EER <= 2%"; repeatable.',
            show_default=False,
        ),
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(help="Older scores of the same pairs: the Δ is to these, paired."),
    ] = None,
    not_worse: Annotated[
        bool,
        typer.Option(
            "--not-worse", help="Exit with 1 where the Δ's interval lies on the worse side of 0."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the tables as CSV.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Print TAR@FAR, EER, AUC and accuracy of labelled scores, whoever made them.

    Example: damcli evaluate scores.csv --require "TAR@1e-4 >= 0.95" --far 1e-4,1e-3
    """
    if as_json and as_csv:
        raise usage_error("--json and --csv exclude each other")
    if (threshold_at is None) != (output is None):
        raise usage_error("--threshold-at FAR and -o FILE go together")
    if threshold_at is not None and threshold is not None:
        raise usage_error("--threshold-at picks a threshold, --threshold applies one; give one")
    if not_worse and (baseline is None or not resamples):
        raise usage_error("--not-worse needs --baseline OLD, and --resamples above 0")
    if baseline == STDOUT == scores:
        raise usage_error("only one of the two lists can come from stdin")
    columns = check_groups(group)
    requirements = gates.parse(require or ())
    from damcli.evaluation.thresholds import main_score
    from damcli.protocols.scores import ScoreList
    from damcli.storage.atomic import check_writable
    from damcli.storage.threshold import read_threshold

    messages = Messages(quiet=quiet)
    fars = parse_fars(far)
    if threshold_at is not None:
        parse_fars(str(threshold_at), "--threshold-at")
    if output is not None:
        check_writable(output, force=force)
    given = None if threshold is None else read_threshold(threshold)
    scored = ScoreList(scores, check_groups(score, "--score"), label, columns)
    main = main_score(scored.metrics)
    _check_requirements(requirements, scored, given)
    if given is not None:
        _check_threshold(given, scored, scores, distance, messages)
    matches = _read(scored, baseline, main, label, distance, messages)
    point = _Point(resamples, seed, distance)
    if given is not None:
        point.apply(given, matches)
    elif threshold_at is not None:
        point.pick(threshold_at, matches, main, scores, messages)
    found = evaluate_with_progress(
        matches, _all_fars(fars, requirements), resamples, seed, messages
    )
    cut = None if given is None else (given, given.score)
    groups = evaluate_by_groups(matches, found, cut, messages)
    at_threshold = None
    if point.threshold is not None and point.decisions is not None:
        at_threshold = (point.threshold.score, point.decisions)
    verdicts = gates.judge_all(
        found, requirements, at_threshold=at_threshold, not_worse=main if not_worse else None
    )
    if distance:
        found = _in_distances(found)
        groups = tuple(map(in_distances, groups))
    print_evaluation(
        found,
        command="evaluate",
        inputs=_digests({"scores": scores, "baseline": baseline, "threshold": threshold}),
        settings={"scores": list(scored.metrics), "distance": distance},
        as_json=as_json,
        as_csv=as_csv,
        more={**point.document(), "gates": gates.documents(verdicts)},
        groups=groups,
    )
    if not as_json:
        point.show(scored.origin, to_stderr=as_csv)
    if not gates.report(verdicts, messages):
        raise typer.Exit(1)
    if output is not None and point.threshold is not None:
        operating_points.write(output, point.threshold, force, messages)


@dataclass
class _Point:
    """The threshold that was picked or given, and what it accepts of the scores."""

    resamples: int
    seed: int
    distance: bool
    threshold: Threshold | None = None
    decisions: Decisions | None = None
    is_given: bool = False

    def pick(
        self, far: float, matches: MatchSpool, score: str, scores: str, messages: Messages
    ) -> None:
        from damcli.storage.digests import file_digest
        from damcli.storage.made_with import read_about

        known = scores != STDOUT
        picked = operating_points.pick(matches, far, score, self.resamples, self.seed, messages)
        self.decisions = picked.decisions
        self.threshold = operating_points.in_file(
            picked,
            distance=self.distance,
            scores_sha256=file_digest(Path(scores)) if known else None,
            made_with=read_about(Path(scores)) if known else None,
        )

    def apply(self, given: Threshold, matches: MatchSpool) -> None:
        self.threshold, self.is_given = given, True
        self.decisions = operating_points.decide(
            given, matches, given.score, self.resamples, self.seed
        )

    def document(self) -> dict[str, Any]:
        if self.threshold is None:
            return {}
        return {"operating_point": operating_points.document(self.threshold, self.decisions)}

    def show(self, name: str, *, to_stderr: bool) -> None:
        if self.threshold is not None:
            decisions = self.decisions if self.is_given else None
            operating_points.show(self.threshold, decisions, name, to_stderr=to_stderr)


def _check_requirements(
    requirements: Sequence[Requirement], scored: ScoreList, given: Threshold | None
) -> None:
    from damcli.evaluation.gates import check_requirement

    for requirement in requirements:
        check_requirement(requirement, scored.metrics, None if given is None else given.score)


def _check_threshold(
    given: Threshold, scored: ScoreList, scores: str, distance: bool, messages: Messages
) -> None:
    from damcli.errors import InputError
    from damcli.storage.made_with import read_about

    operating_points.place_of(given, scored.metrics, scored.origin)
    if given.distance != distance:
        kinds = {True: "distances", False: "similarities"}
        raise InputError(
            given.origin,
            f"picked on {kinds[given.distance]}; expected {kinds[distance]}",
            hint="give --distance where the scores are distances, and only there",
        )
    made_with = None if scores == STDOUT else read_about(Path(scores))
    operating_points.check(given, made_with, scored.origin, messages)


def _read(
    scored: ScoreList,
    baseline: str | None,
    main: str,
    label: str | None,
    distance: bool,
    messages: Messages,
) -> MatchSpool:
    from damcli.scoring.listed import matches_of

    if scored.subjects is None:
        messages.say("no columns probe_subject and reference_subject: pairs are resampled")
    if baseline is None:
        return matches_of(scored, distance=distance)
    return gates.compared(scored, baseline, main, label, distance=distance)


def _all_fars(fars: tuple[float, ...], requirements: Sequence[Requirement]) -> tuple[float, ...]:
    from damcli.evaluation.gates import fars_of

    return (*fars, *(far for far in fars_of(requirements) if far not in fars))


def _digests(files: dict[str, Any]) -> dict[str, str | None]:
    from damcli.storage.digests import file_digest

    return {
        role: None if str(file) == STDOUT else file_digest(Path(file))
        for role, file in files.items()
        if file is not None
    }


def _in_distances(evaluation: Evaluation) -> Evaluation:
    """Give the thresholds back in the user's own unit."""
    return replace(
        evaluation,
        metrics=tuple(
            replace(
                metric,
                points=tuple(
                    replace(p, threshold=None if p.threshold is None else -p.threshold)
                    for p in metric.points
                ),
                eer_threshold=-metric.eer_threshold,
                best_threshold=-metric.best_threshold,
            )
            for metric in evaluation.metrics
        ),
        is_distance=True,
    )
