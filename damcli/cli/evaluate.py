"""``damcli evaluate``: the tables of scores that exist, whoever made them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from damcli.cli.console import (
    DEFAULT_FAR,
    Messages,
    parse_number_list,
    print_evaluation,
    usage_error,
)

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation


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
    resamples: Annotated[
        int, typer.Option(min=0, help="Of the 95 % intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the tables as CSV.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Print TAR@FAR, EER, AUC and accuracy of labelled scores, whoever made them.

    Example: damcli evaluate scores.csv --score cosine --score score --far 1e-4,1e-3
    """
    if as_json and as_csv:
        raise usage_error("--json and --csv exclude each other")
    from pathlib import Path

    from damcli.evaluation import check_fars
    from damcli.evaluation import evaluate as evaluate_matches
    from damcli.protocols.scores import ScoreList
    from damcli.scoring.listed import matches_of
    from damcli.storage.digests import file_digest

    messages = Messages(quiet=quiet)
    fars = parse_number_list(far, "--far")
    check_fars(fars)
    scored = ScoreList(scores, score or (), label)
    matches = matches_of(scored, distance=distance)
    if scored.subjects is None:
        messages.say("no columns probe_subject and reference_subject: pairs are resampled")
    with messages.progress("evaluating", matches.impostor_count, "pairs") as advance:
        found = evaluate_matches(
            matches, fars=fars, resamples=resamples, seed=seed, progress=advance
        )
    if distance:
        found = _in_distances(found)
    digest = None if scores == "-" else file_digest(Path(scores))
    print_evaluation(
        found,
        command="evaluate",
        inputs={"scores": digest},
        settings={"scores": list(scored.metrics), "distance": distance},
        as_json=as_json,
        as_csv=as_csv,
    )


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
