"""``damcli pool``: embeddings of images to templates."""

from __future__ import annotations

import re
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import pair_options as shared
from damcli.cli.console import STDOUT, Messages, command_line, print_json, usage_error
from damcli.cli.sides import check_lid_options, tell_anchors, tell_lidr

if TYPE_CHECKING:
    from damcli.pooling.pool import Pooled
    from damcli.protocols.templates import TemplateList
    from damcli.storage.embeddings import EmbeddingSource


class By(StrEnum):
    """What the embeddings themselves make templates of."""

    VIDEO = "video"
    SUBJECT = "subject"


class Half(StrEnum):
    """What is pooled of an image and its mirror image."""

    WHOLE = "whole"
    SUM = "sum"
    FIRST = "first"


def pool(
    embeddings: Annotated[Path, typer.Argument(help="Embeddings of images.", show_default=False)],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Templates: .h5.")],
    templates: Annotated[
        str | None,
        typer.Option(
            "--templates",
            "-t",
            help="IJB's *_face_tid_mid.txt, or a list template_id,media_id,id[,weight]; CSV, .gz, "
            ".zst, Parquet; - for stdin.",
        ),
    ] = None,
    by: Annotated[
        By | None,
        typer.Option(help="Instead of a list: the folders of frames, or the subjects."),
    ] = None,
    mode: Annotated[
        str | None,
        typer.Option(
            metavar="N0D0F0…N1D1F1",
            help="insightface's: raw norms, detector scores, flip test; 0 or 1 each.",
        ),
    ] = None,
    raw_norm: Annotated[
        bool | None,
        typer.Option(
            "--raw-norm/--unit-norm",
            help="Pool vectors of the length that the network gave them.",
            show_default="unit-norm",
        ),
    ] = None,
    weighted: Annotated[
        bool | None,
        typer.Option(
            "--weighted/--unweighted",
            help="Multiply by the list's weights.",
            show_default="weighted if there are any",
        ),
    ] = None,
    detector_scores: Annotated[
        Path | None,
        typer.Option(
            help="Weights: image x1 y1 … x5 y5 score.",
            show_default="IJB's *_name_5pts_score.txt beside the list, for D1",
        ),
    ] = None,
    halves: Annotated[
        Half | None,
        typer.Option(
            help="Of embeddings made with embed --flip concat.", show_default="whole, or the mode's"
        ),
    ] = None,
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", "-a", help="Store pooled LIDs too, for score --lid pooled."),
    ] = None,
    lidr: Annotated[
        Path | None, typer.Option(help="Fitted regressor instead of anchors, for pooled LIDs.")
    ] = None,
    k: shared.NeighboursOption = None,
    s: shared.ScaleOption = None,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing/--strict",
            help="Leave out images without an embedding, counted and named; or refuse them.",
        ),
    ] = False,
    allow_overlap: shared.AllowOverlap = False,
    allow_mixed_models: shared.AllowMixedModels = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Pool embeddings of images to templates: mean per medium, sum over media, L2.

    Example: damcli pool emb.h5 --templates ijbc_face_tid_mid.txt --mode N1D1F1 -o templates.h5
    """
    if (templates is None) == (by is None):
        raise usage_error("give either --templates FILE or --by")
    check_lid_options(anchors, lidr, k, s)
    from damcli.pooling.modes import MODE, switches
    from damcli.pooling.pool import pool as pool_templates
    from damcli.protocols.templates import templates_by
    from damcli.storage.atomic import check_writable
    from damcli.storage.files import open_embeddings, read_anchors
    from damcli.storage.hdf5 import check_own_suffix, write_embeddings
    from damcli.storage.inputs import real_path
    from damcli.storage.lidr import read_lidr
    from damcli.storage.provenance import commands

    if mode is not None and not re.fullmatch(MODE, mode.upper()):
        raise usage_error(f"--mode {mode}: expected N0 or N1, D0 or D1, F0 or F1, as in N1D1F1")
    weighing = switches(mode).weighted if weighted is None else weighted
    if detector_scores is not None and weighing is False:
        raise usage_error("--detector-scores are weights, which --unweighted and D0 leave out")
    check_own_suffix(output)
    if output.exists() and any(
        one is not None and real_path(output) == real_path(one)
        for one in (embeddings, anchors, lidr)
    ):
        raise usage_error(f"-o {output} is an input too; expected another name")
    for target in (output, _rejects_path(output)) if skip_missing else (output,):
        check_writable(target, force=force)
    messages = Messages(quiet=quiet)
    source = open_embeddings(embeddings)
    listed = (
        templates_by(source, by.value)
        if by is not None
        else _read_list(str(templates), detector_scores, bool(weighing), messages)
    )
    sides: dict[str, Any] = {
        "anchors": None if anchors is None else read_anchors(anchors),
        "lidr": None if lidr is None else read_lidr(lidr),
    }
    if sides["anchors"] is not None:
        tell_anchors(sides["anchors"], 10 if k is None else k, messages)
    if sides["lidr"] is not None:
        tell_lidr(sides["lidr"], k, s, messages)
    with messages.progress("pooling", len(source), "images") as advance:
        pooled = pool_templates(
            source,
            listed,
            mode=mode,
            raw_norm=raw_norm,
            weighted=weighted,
            halves=None if halves is None else halves.value,
            **sides,
            k=k,
            s=s,
            skip_missing=skip_missing,
            allow_overlap=allow_overlap,
            allow_mixed_models=allow_mixed_models,
            progress=advance,
        )
    _tell(pooled, listed, source, messages)
    made = pooled.templates
    write_embeddings(output, made, force=force, **commands(source.attributes, command_line()))
    messages.say(f"wrote {len(made):,} templates of dimension {made.dim} to {output}")
    if skip_missing:
        _list_missing(pooled, _rejects_path(output), force, messages)
    if as_json:
        print_json("pool", _document(pooled, listed, source, sides))


def _read_list(
    path: str, detector_scores: Path | None, wants_weights: bool, messages: Messages
) -> TemplateList:
    """Read the list, with a detector's scores where they are named or lie beside it."""
    from damcli.protocols.template_lists import read_templates
    from damcli.protocols.templates import weighted
    from damcli.sources.landmarks import read_landmarks

    listed = read_templates(path)
    beside = Path(path.replace("_face_tid_mid", "_name_5pts_score"))
    if detector_scores is None:
        if not wants_weights or listed.weights is not None or str(beside) == path:
            return listed
        if path == STDOUT or not beside.is_file():
            return listed
        detector_scores = beside
    found = read_landmarks(detector_scores)
    if found.scores is None:
        from damcli.errors import InputError

        raise InputError(
            found.origin,
            "five landmarks an image without a score; expected image x1 y1 … x5 y5 score",
            hint="a list of templates may have a column weight instead",
        )
    found.check(listed.images.names)
    rows = [found.row_of(name) for name in listed.images.names]
    messages.say(f"weights from {found.origin}")
    scores = [None if row is None else float(found.scores[row]) for row in rows]
    return weighted(listed, scores, found.origin)


def _tell(
    pooled: Pooled, listed: TemplateList, source: EmbeddingSource, messages: Messages
) -> None:
    """Say how it was done, and warn of what was left out."""
    how = pooled.pooling
    weights = listed.weighted_by if how.weighted else "none"
    messages.say(
        f"images found in {source.origin} by {pooled.found_by}; norms {_norm(how)}, weights: "
        f"{weights}, halves: {how.halves}"
    )
    if listed.weights is not None and not how.weighted:
        messages.warn(f"{listed.origin}: its weights are left out, as was asked for")
    if pooled.dropped:
        messages.warn(
            f"{source.origin}: groups {', '.join(pooled.dropped)} differ within templates: left out"
        )
    if pooled.missing:
        some = ", ".join(f"'{one.image_id}' (row {one.row})" for one in pooled.missing[:3])
        messages.warn(
            f"{listed.origin}: {len(pooled.missing):,} of {len(listed):,} images left out for want "
            f"of an embedding: {some}{' …' if len(pooled.missing) > 3 else ''}"
        )
    if pooled.empty:
        some = ", ".join(f"'{name}'" for name in pooled.empty[:3])
        messages.warn(
            f"{listed.origin}: no image is left of {len(pooled.empty):,} of "
            f"{len(listed.templates.names):,} templates: {some}"
            f"{' …' if len(pooled.empty) > 3 else ''}"
        )


def _norm(how: Any) -> str:
    return "raw" if how.raw_norm else "unit"


def _rejects_path(output: Path) -> Path:
    return output.with_suffix(".rejects.csv")


def _list_missing(pooled: Pooled, rejects: Path, force: bool, messages: Messages) -> None:
    """List the images left out; a list of an older run goes."""
    import csv

    from damcli.storage.atomic import atomic_output

    if not pooled.missing:
        if force:
            rejects.unlink(missing_ok=True)
        return
    with (
        atomic_output(rejects, force=force) as draft,
        draft.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("row", "template_id", "image_id"))
        writer.writerows(pooled.missing)
    messages.say(f"they are listed in {rejects}")


def _document(
    pooled: Pooled, listed: TemplateList, source: EmbeddingSource, sides: dict[str, Any]
) -> dict[str, Any]:
    inputs = {"embeddings": source, "templates": listed, **sides}
    how = pooled.pooling
    return {
        "inputs": {role: side.digest for role, side in inputs.items() if side is not None},
        "settings": {
            "norm": _norm(how),
            "weights": listed.weighted_by if how.weighted else "none",
            "halves": how.halves,
            "ids_found_by": pooled.found_by,
        },
        "templates": len(pooled.templates),
        "images": len(listed) - len(pooled.missing),
        "missing_images": len(pooled.missing),
        "empty_templates": pooled.empty,
        "dropped_groups": pooled.dropped,
    }
