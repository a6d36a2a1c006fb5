"""``damcli compare``: cosine, DAM and other norms side by side on the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import pair_options as shared
from damcli.cli.cluster_option import ClusterOption, check_cluster, workers_of
from damcli.cli.console import (
    DEFAULT_FAR,
    STDOUT,
    Messages,
    evaluate_with_progress,
    parse_fars,
    print_evaluation,
    usage_error,
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
    check_pair_options,
    check_scale,
    read_sides,
    tell_anchors,
)
from damcli.storage.inputs import real_path

if TYPE_CHECKING:
    from damcli.protocols.pairs import PairList
    from damcli.scoring.all_pairs import AllPairScores
    from damcli.scoring.score import ListedScores
    from damcli.storage.anchors import Anchors


def compare(
    context: typer.Context,
    pairs: Annotated[
        str | None,
        typer.Argument(
            help="Labelled pair list, as for damcli score; - for stdin.", show_default=False
        ),
    ] = None,
    *,
    embeddings: shared.EmbeddingsFile,
    gallery: shared.GalleryFile = None,
    anchors: Annotated[
        list[Path] | None,
        typer.Option(
            "--anchors",
            "-a",
            metavar="<path>",
            help="Anchor set: DAM-R, CSLS, norms, NES. Several times for several sets.",
            show_default=False,
        ),
    ] = None,
    lidr: Annotated[Path | None, typer.Option(help="Fitted regressor: DAM-L.")] = None,
    calibration: Annotated[
        Path | None, typer.Option(help="From damcli calibrate: adds the calibrated score.")
    ] = None,
    all_pairs: shared.AllPairsOption = False,
    output: shared.ScoresOutput = None,
    k: Annotated[
        int | None,
        typer.Option(
            "-k", min=1, help="Anchors in LID, CSLS and NES.", show_default="10, or the lidr's"
        ),
    ] = None,
    s: shared.ScaleOption = None,
    cohort_size: Annotated[
        int | None,
        typer.Option(min=2, help="Nearest anchors of each side in AS-norm.", show_default="300"),
    ] = None,
    beta: Annotated[
        float | None,
        typer.Option(help="How much NES takes away, above 0.", show_default="0.35"),
    ] = None,
    nes_steps: Annotated[
        int | None, typer.Option(min=1, help="How often NES does.", show_default="3")
    ] = None,
    far: Annotated[str, typer.Option(help="False accept rates of the table.")] = DEFAULT_FAR,
    resamples: shared.Resamples = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    skip_missing: shared.SkipMissing = False,
    allow_overlap: shared.AllowOverlap = False,
    allow_mixed_models: shared.AllowMixedModels = False,
    cluster: ClusterOption = None,
    escape_formulas: shared.EscapeFormulas = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the tables as CSV.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Hold DAM, CSLS, Z/T/S/AS-norm and negative embedding subtraction (NES) against cosine.

    Example: damcli compare pairs.csv -e emb.h5 -a real.h5 -a fake.h5 --far 1e-4,1e-3
    """
    check_pair_options(pairs, all_pairs, output, as_json, as_csv, skip_missing)
    check_cluster(cluster)
    if escape_formulas:
        shared.check_escaping(output)
    paths = anchors or []
    norms = {"cohort_size": cohort_size, "beta": beta, "nes_steps": nes_steps}
    _check_usage(paths, lidr, s, norms)
    from damcli.scoring.compare import BETA, COHORT_SIZE, NES_STEPS, set_names
    from damcli.storage.calibration import read_calibration
    from damcli.storage.embeddings import MODEL_DIGEST

    fars = parse_fars(far)
    if output is not None and output != STDOUT:
        check_output(Path(output), force, skip_missing)
    messages = Messages(quiet=quiet)
    listed = None if pairs is None else _open_labelled(pairs)
    sides = read_sides(embeddings, gallery, None, lidr, k, s, messages)
    learnt = sides["lidr"]
    used_k = k if k is not None else 10 if learnt is None else learnt.k
    sets = _read_sets(paths, used_k, messages)
    calibrated = None if calibration is None else read_calibration(calibration)
    defaults = {"cohort_size": COHORT_SIZE, "beta": BETA, "nes_steps": NES_STEPS}
    chosen = {name: defaults[name] if value is None else value for name, value in norms.items()}
    settings = {
        "k": used_k,
        "s": s if s is not None else 1.0 if learnt is None else learnt.s,
        **(chosen if sets else {}),
        **({} if calibrated is None else {"calibration_form": calibrated.form}),
    }
    names = (f"anchors ({name})" if name else "anchors" for name in set_names(sets))
    roles = dict(zip(names, sets, strict=True))
    digests = digests_of({**sides, **roles}, pairs=pairs, calibration=calibration)
    scores = _score(
        listed,
        sides,
        sets,
        messages,
        k=k,
        s=s,
        calibration=calibrated,
        skip_missing=skip_missing,
        allow_overlap=allow_overlap,
        allow_mixed_models=allow_mixed_models,
        workers=workers_of(
            context, cluster, messages, sides["embeddings"], sides["gallery"], *sets
        ),
        **chosen,
    )
    tell_left_out(scores, messages)
    model = {"model": sides["embeddings"].attributes.get(MODEL_DIGEST)}
    made_with = {
        "anchors": "+".join(str(one.digest) for one in sets) or None,
        "combine": None if calibrated is None else calibrated.combine,
    }
    about: dict[str, Any] = {"digests": digests, "settings": settings, "model": model}
    about["made_with"] = made_with
    about["anchor sets"] = about_anchors(sets, allow_overlap)
    matches = write_and_match(scores, output, force, about, messages, escape=escape_formulas)
    if output is not None and output != STDOUT:
        list_missing(scores, Path(output), force, messages, escape=escape_formulas)
    print_evaluation(
        evaluate_with_progress(matches, fars, resamples, seed, messages),
        command="compare",
        inputs=digests,
        settings=settings,
        as_json=as_json,
        as_csv=as_csv,
        to_stderr=output == STDOUT,
        more={"left_out": left_out(scores)},
    )


def _check_usage(
    anchors: Sequence[Path], lidr: Path | None, s: float | None, norms: dict[str, Any]
) -> None:
    """Refuse options that do not go together, before any file is read."""
    check_scale(s)
    if not anchors and lidr is None:
        raise usage_error("give what cosine is to be compared with: --anchors, --lidr or both")
    for option, value in norms.items():
        if value is not None and not anchors:
            raise usage_error(f"--{option.replace('_', '-')} is about anchors: give --anchors")
    beta = norms["beta"]
    if beta is not None and not 0 < beta < float("inf"):
        raise usage_error(f"--beta {beta:g}: expected a number above 0")
    seen: set[Path] = set()
    for path in anchors:
        if real_path(path) in seen:
            raise usage_error(f"--anchors {path} is given twice")
        seen.add(real_path(path))


def _open_labelled(pairs: str) -> PairList:
    from damcli.errors import InputError
    from damcli.protocols.pairs import read_pairs

    listed = read_pairs(pairs)
    if not listed.labelled:
        raise InputError(
            listed.origin,
            "carries no labels; expected genuine and impostor pairs, to compare scores by",
            hint="add a column label, or write scores alone with damcli score -o FILE",
        )
    return listed


def _read_sets(paths: Sequence[Path], k: int, messages: Messages) -> list[Anchors]:
    from damcli.storage.files import read_anchors

    sets = [read_anchors(path) for path in paths]
    for found in sets:
        tell_anchors(found, k, messages)
    return sets


def _score(
    listed: PairList | None,
    sides: dict[str, Any],
    sets: list[Anchors],
    messages: Messages,
    **options: Any,
) -> ListedScores | AllPairScores:
    from damcli.scoring.all_pairs import all_pairs
    from damcli.scoring.compare import compare as compare_pairs

    embeddings, gallery = sides["embeddings"], sides["gallery"]
    rows = len(embeddings) + (0 if gallery is None else len(gallery))
    passes = len(sets) * (2 + options["nes_steps"]) + (sides["lidr"] is not None)
    with (
        messages.progress("reading pairs", None, "pairs") as reading,
        messages.progress("neighbours", rows * passes, "embeddings") as searching,
    ):
        return compare_pairs(
            all_pairs(embeddings, gallery) if listed is None else listed,
            embeddings,
            sets,
            lidr=sides["lidr"],
            gallery=gallery,
            reading=reading,
            searching=searching,
            **options,
        )
