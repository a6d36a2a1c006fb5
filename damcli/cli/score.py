"""``damcli score``: pairs in, scores and the ROC/TAR tables out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import operating_points
from damcli.cli import pair_options as shared
from damcli.cli.calibrated import (
    check_calibration_options,
    quality_of_matches,
    read_for,
    settings_of,
)
from damcli.cli.cluster_option import ClusterOption, check_cluster, workers_of
from damcli.cli.console import (
    DEFAULT_FAR,
    STDOUT,
    Messages,
    evaluate_with_progress,
    print_evaluation,
    usage_error,
)
from damcli.cli.groups import check_groups, evaluate_by_groups
from damcli.cli.pair_options import Combine, LidOf
from damcli.cli.protocol_options import (
    ProtocolOption,
    RootOption,
    about_protocol,
    check_protocol_options,
    fars_of,
    fit,
    ids_left_out,
    in_own_metric,
    open_official,
    pairs_digest,
)
from damcli.cli.score_output import (
    about_anchors,
    check_output,
    digests_of,
    left_out,
    list_missing,
    tell_left_out,
    write_and_match,
)
from damcli.cli.sides import (
    check_lid_options,
    check_pair_options,
    pooled_from,
    read_sides,
    source_of,
)

if TYPE_CHECKING:
    from damcli.protocols.pairs import PairList, PairSource
    from damcli.scoring.all_pairs import AllPairScores
    from damcli.scoring.score import ListedScores


def score(
    context: typer.Context,
    pairs: Annotated[
        str | None,
        typer.Argument(
            help="Pair list: probe_id,reference_id[,label]; CSV, .gz, .zst, Parquet, "
            "speaker trials; - for stdin.",
            show_default=False,
        ),
    ] = None,
    *,
    embeddings: shared.EmbeddingsFile,
    gallery: shared.GalleryFile = None,
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", "-a", help="Anchor set: DAM-R. Without it or --lidr: cosine."),
    ] = None,
    lidr: Annotated[
        Path | None, typer.Option(help="Fitted regressor instead of anchors: DAM-L.")
    ] = None,
    lid: Annotated[
        LidOf,
        typer.Option(help="Of the embeddings, or those stored with templates by damcli pool."),
    ] = LidOf.OWN,
    all_pairs: shared.AllPairsOption = False,
    protocol: ProtocolOption = None,
    root: RootOption = None,
    output: shared.ScoresOutput = None,
    k: shared.NeighboursOption = None,
    s: shared.ScaleOption = None,
    combine: shared.CombineOption = Combine.SUM,
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
    far: Annotated[
        str | None,
        typer.Option(
            help="False accept rates of the table.",
            show_default=f"{DEFAULT_FAR}; of ijbb and ijbc to 1e-1",
        ),
    ] = None,
    resamples: shared.Resamples = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    threshold: Annotated[
        Path | None,
        typer.Option(help="A threshold of damcli evaluate --threshold-at: adds a column accept."),
    ] = None,
    group: shared.GroupOption = None,
    skip_missing: shared.SkipMissing = False,
    allow_overlap: shared.AllowOverlap = False,
    allow_mixed_models: shared.AllowMixedModels = False,
    chunk_size: Annotated[int, typer.Option(min=1, help="Pairs in memory at a time.")] = 1 << 19,
    keep_lids: Annotated[
        bool, typer.Option("--keep-lids", help="Keep LIDs beside the embeddings, to be used again.")
    ] = False,
    cluster: ClusterOption = None,
    escape_formulas: shared.EscapeFormulas = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the tables as CSV.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Score pairs by cosine and DAM; with labels, print TAR@FAR, EER and accuracy of both.

    Example: damcli score pairs.csv -e emb.h5 -a anchors.h5 -o scores.csv
    """
    check_pair_options(
        pairs,
        all_pairs,
        output,
        as_json,
        as_csv,
        skip_missing,
        protocol=protocol,
        ways="a pair list, --all-pairs or --protocol",
    )
    check_protocol_options(protocol, root)
    check_cluster(cluster)
    pooled = lid is LidOf.POOLED
    check_lid_options(
        *(anchors, lidr, k, s), product=combine is Combine.PRODUCT, linear=linear, pooled=pooled
    )
    if escape_formulas:
        shared.check_escaping(output)
    if keep_lids and (anchors is None or pooled):
        raise usage_error("--keep-lids keeps LIDs that are taken from --anchors")
    columns = check_groups(group)
    check_calibration_options(calibration, probability, prior)
    from damcli.scoring.kept_lids import KeepingWorkers, KeptLids
    from damcli.storage.embeddings import MODEL_DIGEST
    from damcli.storage.threshold import read_threshold

    fars = fars_of(protocol, far)
    if output is not None and output != STDOUT:
        check_output(Path(output), force, skip_missing)
    given = None if threshold is None else read_threshold(threshold)
    messages = Messages(quiet=quiet)
    official = open_official(protocol, root)
    listed = None if pairs is None else _open_pairs(pairs, as_json, as_csv)
    if probability and output is None and (all_pairs or official or (listed and listed.labelled)):
        raise usage_error("--probability adds a column to the scores: say where with -o")
    sides = read_sides(embeddings, gallery, anchors, lidr, k, s, messages)
    fitted = None if official is None else fit(official, sides, skip_missing, messages)
    source = source_of(sides, k, s, lid.value)
    calibrated = None if calibration is None else read_for(calibration, prior)
    settings = {
        "k": None if source is None else source.k,
        "s": None if source is None else source.s,
        "combine": None if source is None else combine.value,
        "linear": None if source is None else linear,
        **({"lid": lid.value} if pooled else {}),
        **settings_of(calibrated),
        **about_protocol(protocol, fitted),
    }
    model = {"model": sides["embeddings"].attributes.get(MODEL_DIGEST)}
    digests = digests_of(sides, pairs=pairs, calibration=calibration, threshold=threshold)
    digests |= pairs_digest(fitted) | pooled_from(source)
    if given is not None:
        operating_points.check_given(given, {**digests, **settings, **model}, messages)
    kept = KeptLids(messages.say)
    scores = _score(
        fitted or listed,
        sides,
        messages,
        lid=lid.value,
        k=k,
        s=s,
        combine=combine.value,
        linear=linear,
        calibration=calibrated,
        groups=columns,
        skip_missing=skip_missing,
        allow_overlap=allow_overlap,
        allow_mixed_models=allow_mixed_models,
        chunk_pairs=chunk_size,
        workers=KeepingWorkers(
            workers_of(
                *(context, cluster, messages),
                *(sides[role] for role in ("embeddings", "gallery", "anchors")),
            ),
            kept,
        ),
    )
    if keep_lids:
        kept.save()
    accept, judged = operating_points.acceptance(given, scores)
    tell_left_out(scores, messages)
    about: dict[str, Any] = {"digests": digests, "settings": settings, "model": model}
    sets = [] if sides["anchors"] is None else [sides["anchors"]]
    known = {} if source is None else source.describe()
    about["lid source"] = {name: known.get(name) for name in ("anchor_kind", "anchor_count")}
    about["anchors"] = about_anchors(sets, allow_overlap)
    matches = write_and_match(
        *(scores, output, force, about, messages, accept),
        prior=prior if probability else None,
        escape=escape_formulas,
    )
    if output is not None and output != STDOUT:
        list_missing(scores, Path(output), force, messages, escape=escape_formulas)
    if matches is None:
        return
    evaluation = evaluate_with_progress(matches, fars, resamples, seed, messages)
    evaluation = in_own_metric(evaluation, protocol, scores)
    cut = None if given is None else (given, judged)
    groups = evaluate_by_groups(matches, evaluation, cut, messages)
    decisions, more = None, {"left_out": left_out(scores) | ids_left_out(fitted)}
    if given is not None:
        decisions = operating_points.decide(given, matches, judged, resamples, seed)
        more["operating_point"] = operating_points.document(given, decisions)
    print_evaluation(
        evaluation,
        command="score",
        inputs=digests,
        settings=settings,
        as_json=as_json,
        as_csv=as_csv,
        to_stderr=output == STDOUT,
        more=more,
        quality=None if calibrated is None else quality_of_matches(matches, calibrated),
        groups=groups,
    )
    if given is not None and not as_json:
        operating_points.show(given, decisions, "these pairs", to_stderr=output == STDOUT or as_csv)


def _open_pairs(pairs: str, as_json: bool, as_csv: bool) -> PairList:
    """Open the list, and refuse options that it does not bear."""
    from damcli.errors import InputError
    from damcli.protocols.pairs import read_pairs

    listed = read_pairs(pairs)
    if (as_json or as_csv) and not listed.labelled:
        raise InputError(
            listed.origin,
            "carries no labels, so there are no tables for --json or --csv",
            hint="write the scores with -o FILE, or add a column label",
        )
    return listed


def _score(
    listed: PairSource | None, sides: dict[str, Any], messages: Messages, **options: Any
) -> ListedScores | AllPairScores:
    from damcli.scoring.all_pairs import all_pairs
    from damcli.scoring.score import score as score_pairs

    gallery = sides["gallery"]
    source = all_pairs(sides["embeddings"], gallery) if listed is None else listed
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
