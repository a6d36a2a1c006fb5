"""``damcli calibrate``: labelled development pairs in, a calibration out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import pair_options as shared
from damcli.cli.console import (
    DEFAULT_FAR,
    Messages,
    command_line,
    parse_fars,
    print_json,
    usage_error,
)
from damcli.cli.pair_options import Combine
from damcli.cli.score_output import digests_of
from damcli.cli.sides import check_lid_options, read_sides

if TYPE_CHECKING:
    from damcli.calibration import Calibrated


def calibrate(
    pairs: Annotated[
        str | None,
        typer.Argument(help="Labelled development pairs; - for stdin.", show_default=False),
    ] = None,
    *,
    embeddings: shared.EmbeddingsFile,
    output: Annotated[Path, typer.Option("--output", "-o", help="The calibration, .json.")],
    gallery: shared.GalleryFile = None,
    anchors: Annotated[Path | None, typer.Option("--anchors", "-a", help="Anchor set.")] = None,
    lidr: Annotated[Path | None, typer.Option(help="Fitted regressor instead of anchors.")] = None,
    all_pairs: shared.AllPairsOption = False,
    k: shared.NeighboursOption = None,
    s: shared.ScaleOption = None,
    combine: shared.CombineOption = Combine.SUM,
    prior: Annotated[
        float, typer.Option(help="Share of genuine pairs to be calibrated best at.")
    ] = 0.5,
    folds: Annotated[int, typer.Option(min=3, help="Of the cross-validation.")] = 5,
    far: Annotated[str, typer.Option(help="False accept rates of the table.")] = DEFAULT_FAR,
    resamples: Annotated[int, typer.Option(min=100, help="Of the 95 % intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of folds and resampling.")] = 0,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing/--strict",
            help="Leave out pairs without an embedding, counted; or refuse them.",
        ),
    ] = False,
    allow_overlap: shared.AllowOverlap = False,
    allow_mixed_models: shared.AllowMixedModels = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Fit a log-likelihood ratio on development pairs, and tell what to expect of it.

    Example: damcli calibrate dev.csv -e emb.h5 -a anchors.h5 -o calibration.json
    """
    if (pairs is None) != all_pairs:
        raise usage_error("give either a pair list or --all-pairs")
    if (anchors is None) == (lidr is None):
        raise usage_error("give either --anchors or --lidr")
    if not 0 < prior < 1:
        raise usage_error(f"--prior {prior:g}: expected a fraction between 0 and 1")
    check_lid_options(anchors, lidr, k, s)
    from dataclasses import replace

    from damcli.storage.atomic import check_writable
    from damcli.storage.calibration import write_calibration

    fars = parse_fars(far)
    check_writable(output, force=force)
    messages = Messages(quiet=quiet)
    sides = read_sides(embeddings, gallery, anchors, lidr, k, s, messages)
    found = _calibrate(
        pairs,
        sides,
        messages,
        k=k,
        s=s,
        combine=combine.value,
        prior=prior,
        folds=folds,
        fars=fars,
        resamples=resamples,
        seed=seed,
        skip_missing=skip_missing,
        allow_overlap=allow_overlap,
        allow_mixed_models=allow_mixed_models,
    )
    for text in found.warnings:
        messages.warn(text)
    inputs = digests_of(sides, pairs=pairs)
    about = {**found.calibration.about, "command": command_line(), "inputs": inputs}
    write_calibration(output, replace(found.calibration, about=about), force=force)
    messages.say(f"wrote {output}")
    _print(found, inputs, as_json=as_json)


def _calibrate(
    pairs: str | None, sides: dict[str, Any], messages: Messages, *, folds: int, **options: Any
) -> Calibrated:
    from damcli.calibration import calibrate as calibrate_pairs
    from damcli.protocols.pairs import read_pairs
    from damcli.scoring.all_pairs import all_pairs

    gallery = sides["gallery"]
    source = all_pairs(sides["embeddings"], gallery) if pairs is None else read_pairs(pairs)
    with (
        messages.progress("reading pairs", None, "pairs") as reading,
        messages.progress("LID", len(sides["embeddings"]), "embeddings") as searching,
        messages.progress("cross-validation", folds * (folds + 1) // 2, "models") as progress,
    ):
        return calibrate_pairs(
            source,
            sides["embeddings"],
            sides["anchors"],
            lidr=sides["lidr"],
            gallery=gallery,
            folds=folds,
            reading=reading,
            searching=searching,
            progress=progress,
            **options,
        )


def _print(found: Calibrated, inputs: dict[str, str | None], *, as_json: bool) -> None:
    from damcli.reports.calibration import expected_as_dict, print_expected

    calibration = found.calibration
    if as_json:
        print_json(
            "calibrate",
            {
                "inputs": inputs,
                "form": calibration.form,
                "coefficients": dict(calibration.coefficients),
                "lid": dict(calibration.lid),
                "counts": dict(calibration.counts),
                "expected": expected_as_dict(found.expected),
                "warnings": list(found.warnings),
            },
        )
        return
    counts = calibration.counts
    subjects = f" of {counts['subjects']:,} subjects" if counts["subjects"] else ""
    print(f"{counts['genuine']:,} genuine and {counts['impostors']:,} impostor pairs{subjects}")
    print_expected(found.expected)
