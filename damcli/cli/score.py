"""``damcli score``: pairs in, scores and the ROC/TAR tables out."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import operating_points
from damcli.cli.calibrated import (
    check_calibration_options,
    quality_of_matches,
    read_for,
    settings_of,
)
from damcli.cli.console import (
    DEFAULT_FAR,
    STDOUT,
    Messages,
    parse_number_list,
    print_evaluation,
    usage_error,
)
from damcli.cli.score_output import check_output, digests_of, report_missing, write_and_match
from damcli.cli.sides import check_lid_options, read_sides, source_of

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.scoring.all_pairs import AllPairScores
    from damcli.scoring.score import ListedScores
    from damcli.scoring.table import Accept
    from damcli.storage.threshold import Threshold


class Combine(StrEnum):
    """How the two LIDs meet."""

    SUM = "sum"
    PRODUCT = "product"


def score(
    pairs: Annotated[
        str | None,
        typer.Argument(
            help="Pair list: probe_id,reference_id[,label]; CSV, .gz, .zst, Parquet, "
            "speaker trials; - for stdin.",
            show_default=False,
        ),
    ] = None,
    *,
    embeddings: Annotated[
        Path, typer.Option("--embeddings", "-e", help="Embeddings of the probes.")
    ],
    gallery: Annotated[
        Path | None, typer.Option(help="Embeddings of the references, if in another file.")
    ] = None,
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", "-a", help="Anchor set: DAM-R. Without it or --lidr: cosine."),
    ] = None,
    lidr: Annotated[
        Path | None, typer.Option(help="Fitted regressor instead of anchors: DAM-L.")
    ] = None,
    all_pairs: Annotated[
        bool, typer.Option("--all-pairs", help="All pairs, labelled by the subjects.")
    ] = False,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="Scores: .csv, .csv.gz, .parquet; - for stdout."),
    ] = None,
    k: Annotated[
        int | None,
        typer.Option("-k", min=1, help="Anchors in the LID.", show_default="10, or the lidr's"),
    ] = None,
    s: Annotated[
        float | None,
        typer.Option("-s", help="Scale of Eq. 3, above 0.", show_default="1, or the lidr's"),
    ] = None,
    combine: Annotated[
        Combine, typer.Option(help="Eq. 3, or the product form of Sec. 4.6.")
    ] = Combine.SUM,
    linear: Annotated[
        bool, typer.Option("--linear", help="Write Eq. 3 itself, not its logarithm.")
    ] = False,
    calibration: Annotated[
        Path | None,
        typer.Option(help="From damcli calibrate: adds a log-likelihood ratio (llr)."),
    ] = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="Add a column of probabilities; needs --prior.")
    ] = False,
    prior: Annotated[
        float | None,
        typer.Option(
            help="Share of genuine pairs where the llr is used.", show_default="the calibration's"
        ),
    ] = None,
    far: Annotated[str, typer.Option(help="False accept rates of the table.")] = DEFAULT_FAR,
    resamples: Annotated[
        int, typer.Option(min=0, help="Of the 95 % intervals; 0 for none.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    threshold: Annotated[
        Path | None,
        typer.Option(help="A threshold of damcli evaluate --threshold-at: adds a column accept."),
    ] = None,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing/--strict",
            help="Leave out pairs without an embedding, counted and named; or refuse them.",
        ),
    ] = False,
    allow_overlap: Annotated[
        bool,
        typer.Option("--allow-overlap", help="Anchors may show scored people; each skips its own."),
    ] = False,
    allow_mixed_models: Annotated[
        bool, typer.Option("--allow-mixed-models", help="The files may be of different models.")
    ] = False,
    chunk_size: Annotated[int, typer.Option(min=1, help="Pairs in memory at a time.")] = 1 << 18,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the tables as CSV.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Score pairs by cosine and DAM; with labels, print TAR@FAR, EER and accuracy of both.

    Example: damcli score pairs.csv -e emb.h5 -a anchors.h5 -o scores.csv
    """
    if (pairs is None) != all_pairs:
        raise usage_error("give either a pair list or --all-pairs")
    if as_json and as_csv:
        raise usage_error("--json and --csv exclude each other")
    if output == STDOUT and (as_json or as_csv):
        raise usage_error("-o - and --json or --csv would both write to stdout")
    check_lid_options(anchors, lidr, s)
    check_calibration_options(calibration, probability, prior)
    from damcli.evaluation import check_fars, require_both_classes
    from damcli.storage.embeddings import MODEL_DIGEST
    from damcli.storage.threshold import read_threshold

    fars = parse_number_list(far, "--far")
    check_fars(fars)
    if output is not None and output != STDOUT:
        check_output(Path(output), force)
    given = None if threshold is None else read_threshold(threshold)
    messages = Messages(quiet=quiet)
    sides = read_sides(embeddings, gallery, anchors, lidr, k, s, messages)
    source = source_of(sides, k, s)
    calibrated = None if calibration is None else read_for(calibration, prior)
    settings = {
        "k": None if source is None else source.k,
        "s": None if source is None else source.s,
        "combine": combine.value,
        "linear": linear,
        **settings_of(calibrated),
    }
    model = {"model": sides["embeddings"].attributes.get(MODEL_DIGEST)}
    digests = digests_of(sides, calibration=calibration, threshold=threshold)
    if given is not None:
        _check_threshold(given, {**digests, **settings, **model}, messages)
    scores = _score(
        pairs,
        sides,
        messages,
        k=k,
        s=s,
        combine=combine.value,
        linear=linear,
        calibration=calibrated,
        skip_missing=skip_missing,
        allow_overlap=allow_overlap,
        allow_mixed_models=allow_mixed_models,
        chunk_pairs=chunk_size,
    )
    if probability and output is None and scores.labelled:
        raise usage_error("--probability adds a column to the scores: say where with -o")
    if scores.labelled:
        require_both_classes(scores.genuine_count, len(scores) - scores.genuine_count)
    accept, judged = _acceptance(given, scores)
    report_missing(scores, output, force, messages)
    digests |= digests_of({}, pairs=pairs)
    about: dict[str, Any] = {"digests": digests, "settings": settings, "model": model}
    matches = write_and_match(
        scores, output, force, about, messages, accept, prior=prior if probability else None
    )
    if matches is None:
        return
    evaluation = _evaluate(matches, fars, resamples, seed, messages)
    decisions, more = None, None
    if given is not None:
        decisions = operating_points.decide(given, matches, judged, resamples, seed)
        more = {"operating_point": operating_points.document(given, decisions)}
    print_evaluation(
        evaluation,
        command="score",
        inputs=about["digests"],
        settings=about["settings"],
        as_json=as_json,
        as_csv=as_csv,
        to_stderr=output == STDOUT,
        more=more,
        quality=None if calibrated is None else quality_of_matches(matches, calibrated),
    )
    if given is not None and not as_json:
        operating_points.show(given, decisions, "these pairs", to_stderr=output == STDOUT or as_csv)


def _check_threshold(given: Threshold, about: dict[str, Any], messages: Messages) -> None:
    from damcli.errors import InputError
    from damcli.storage.made_with import MadeWith

    if given.distance:
        raise InputError(
            given.origin,
            "picked on distances; expected similarities, as damcli score gives them",
            hint=f"pick it on scores of damcli score: {operating_points.PICK_ANEW}",
        )
    if given.made_with is None:
        raise InputError(
            given.origin,
            "picked on scores of unknown origin; expected those of damcli score",
            hint="pick it on a scores file that damcli score wrote, its .about.json beside it; "
            "or hold it against written scores: damcli evaluate scores.csv --threshold FILE",
        )
    operating_points.check(given, MadeWith.of(about), "these pairs", messages)


def _acceptance(
    given: Threshold | None, scores: ListedScores | AllPairScores
) -> tuple[Accept | None, str]:
    """Say by which score to accept, and what tables call it."""
    from damcli.scoring.table import Accept

    if given is None:
        return None, ""
    place = operating_points.place_of(given, scores.scorer.columns, "these pairs")
    return Accept(place, given.threshold), scores.metrics[place]


def _score(
    pairs: str | None, sides: dict[str, Any], messages: Messages, **options: Any
) -> ListedScores | AllPairScores:
    from damcli.protocols.pairs import read_pairs
    from damcli.scoring.all_pairs import all_pairs
    from damcli.scoring.score import score as score_pairs

    gallery = sides["gallery"]
    source = all_pairs(sides["embeddings"], gallery) if pairs is None else read_pairs(pairs)
    with (
        messages.progress("reading pairs", None, "pairs") as reading,
        messages.progress("LID", len(sides["embeddings"]), "embeddings") as searching,
    ):
        return score_pairs(
            source,
            sides["embeddings"],
            sides["anchors"],
            lidr=sides["lidr"],
            gallery=gallery,
            reading=reading,
            searching=searching,
            **options,
        )


def _evaluate(
    matches: Any, fars: tuple[float, ...], resamples: int, seed: int, messages: Messages
) -> Evaluation:
    from damcli.evaluation import evaluate

    with messages.progress("evaluating", matches.impostor_count, "pairs") as advance:
        return evaluate(matches, fars=fars, resamples=resamples, seed=seed, progress=advance)
