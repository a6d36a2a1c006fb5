"""``damcli build-anchors``: the anchor set that LIDs are taken from."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli.console import Messages, command_line, print_json, usage_error
from damcli.errors import InputError

if TYPE_CHECKING:
    from damcli.anchors import Dropped, NearDuplicates
    from damcli.storage.anchors import Anchors
    from damcli.storage.embeddings import Embeddings
    from damcli.storage.files import EmbeddingFile

ALL = "all"


class Kind(StrEnum):
    """Where the anchors come from."""

    REAL_DB = "real-db"
    FAKE_DB = "fake-db"
    FC_WEIGHTS = "fc-weights"


class FloatType(StrEnum):
    """How vectors are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


def build_anchors(
    source: Annotated[
        Path,
        typer.Argument(
            help="Embeddings (.h5, .npy, .npz, .parquet); with fc-weights a checkpoint "
            "(.pt, .pth, .safetensors, .onnx, .npy, .npz).",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Anchor file to write, .h5.")],
    kind: Annotated[
        Kind,
        typer.Option(
            help="real-db: training faces; fake-db: generated faces; "
            "fc-weights: the classifier's class centres."
        ),
    ] = Kind.REAL_DB,
    per_subject: Annotated[
        str | None,
        typer.Option(
            metavar="N|all",
            help="Samples of each subject; of fc-weights: 1 averages sub-centres, all keeps them.",
            show_default="1",
        ),
    ] = None,
    size: Annotated[int, typer.Option(min=1, help="Anchors to draw at most.")] = 50_000,
    seed: Annotated[int, typer.Option(min=0, help="Of all draws.")] = 0,
    exclude_ids: Annotated[
        Path | None,
        typer.Option(help="Ids to leave out: one a line, or the ids of an embeddings file."),
    ] = None,
    exclude_subjects: Annotated[
        Path | None, typer.Option(help="Subjects to leave out, in the same way.")
    ] = None,
    min_norm: Annotated[
        float | None, typer.Option(help="Shortest embedding before normalisation.")
    ] = None,
    max_similarity_to: Annotated[
        str | None,
        typer.Option(
            metavar="EMBEDDINGS:0.5",
            help="Leave out near-duplicates of an evaluation set, above that cosine.",
        ),
    ] = None,
    ids: Annotated[
        Path | None, typer.Option(help="The ids of an .npy: id[,subject] lines.")
    ] = None,
    tensor: Annotated[str | None, typer.Option(help="fc-weights: name of the matrix.")] = None,
    dim: Annotated[
        int | None, typer.Option(min=2, help="fc-weights: dimension of the embeddings.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="fc-weights: class labels, one a line or index,label.")
    ] = None,
    sub_centers: Annotated[
        int | None, typer.Option(min=1, help="fc-weights: centres per class (ArcFace's K).")
    ] = None,
    dtype: Annotated[FloatType, typer.Option(help="float16 halves the file.")] = FloatType.FLOAT32,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    """Choose the anchors: embeddings that stand for other people than those you will score.

    Example: damcli build-anchors train.h5 -o anchors.h5 --kind real-db --exclude-subjects test.h5
    """
    for_centres = {
        "--tensor": tensor,
        "--dim": dim,
        "--labels": labels,
        "--sub-centers": sub_centers,
    }
    _check_options(kind, per_subject, for_centres, {"--min-norm": min_norm, "--ids": ids})
    count = _per_subject(per_subject)
    from damcli.anchors import build_anchors as choose
    from damcli.storage.atomic import check_writable
    from damcli.storage.hdf5 import check_own_suffix, write_embeddings
    from damcli.storage.provenance import commands

    check_own_suffix(output)
    check_writable(output, force=force)
    messages = Messages(quiet=quiet)
    embeddings = _open(source, kind, count, ids, messages, **_named(for_centres))
    near = None if max_similarity_to is None else _near_duplicates(max_similarity_to)
    with messages.progress("comparing", len(embeddings), "embeddings") as advance:
        anchors, dropped = choose(
            embeddings,
            kind.value,
            size=size,
            seed=seed,
            per_subject=count,
            exclude_ids=_excluded(exclude_ids, "ids", embeddings, messages),
            exclude_subjects=_excluded(exclude_subjects, "subjects", embeddings, messages),
            min_norm=min_norm,
            near_duplicates=near,
            progress=advance,
        )
    made_by = commands(anchors.attributes, command_line())
    write_embeddings(output, anchors, dtype=dtype.value, force=force, **made_by)
    _report(embeddings, anchors, dropped, size, near, output, messages)
    if as_json:
        print_json("build-anchors", _summary(anchors, dropped, output))


def _check_options(
    kind: Kind,
    per_subject: str | None,
    for_centres: dict[str, Any],
    for_embeddings: dict[str, Any],
) -> None:
    """Refuse options that the kind would not look at."""
    foreign = for_embeddings if kind is Kind.FC_WEIGHTS else for_centres
    for option, value in foreign.items():
        if value is not None:
            raise usage_error(f"{option} does not go with --kind {kind.value}")
    if kind is Kind.FAKE_DB and per_subject not in (None, ALL):
        raise usage_error("--per-subject does not go with --kind fake-db: it has no subjects")


def _per_subject(text: str | None) -> int | None:
    if text == ALL:
        return None
    try:
        count = int(text or 1)
    except ValueError:
        count = 0
    if count < 1:
        raise usage_error(f"--per-subject {text}: expected a number above 0, or all")
    return count


def _named(options: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("--").replace("-", "_"): value for name, value in options.items()}


def _open(
    source: Path,
    kind: Kind,
    per_subject: int | None,
    ids: Path | None,
    messages: Messages,
    **for_centres: Any,
) -> Embeddings | EmbeddingFile:
    from damcli.anchors.centres import open_class_centres
    from damcli.storage.embeddings import check_unique
    from damcli.storage.files import open_embeddings

    if kind is not Kind.FC_WEIGHTS:
        opened = open_embeddings(source, ids)
        check_unique(opened.ids, opened.origin)
        if kind is Kind.FAKE_DB and opened.subjects is not None:
            messages.warn(f"{source}: its subjects are left out, since generated faces have none")
        return opened
    embeddings, centres = open_class_centres(source, per_subject=per_subject, **for_centres)
    rows, width = centres.vectors.shape
    layout = f"{width} × {rows}, transposed" if centres.transposed else f"{rows} × {width}"
    sub = f", {centres.sub_centers} sub-centres a class" if centres.sub_centers > 1 else ""
    messages.say(
        f"class centres from '{centres.tensor}' ({layout}{sub}): "
        f"{rows // centres.sub_centers:,} classes of dimension {width}"
    )
    return embeddings


def _near_duplicates(text: str) -> NearDuplicates:
    from damcli.anchors import NearDuplicates
    from damcli.storage.files import read_embeddings

    name, _, limit = text.rpartition(":")
    try:
        above = float(limit)
    except ValueError:
        name = ""
    if not name:
        raise usage_error(
            f"--max-similarity-to {text}: expected a file, a colon and a cosine, as in emb.h5:0.5"
        )
    return NearDuplicates(read_embeddings(name), above)


def _excluded(
    path: Path | None, what: str, source: Embeddings | EmbeddingFile, messages: Messages
) -> Collection[str]:
    """Read what is to be left out, and say what of it is not there anyway."""
    if path is None:
        return ()
    from damcli.storage.files import READABLE_SUFFIXES, open_embeddings
    from damcli.storage.foreign import read_id_list

    if path.suffix.lower() in READABLE_SUFFIXES:
        other = open_embeddings(path)
        listed = other.ids if what == "ids" else other.subjects
        if listed is None:
            raise InputError(str(path), "carries no subjects; expected some to exclude")
    else:
        listed, _ = read_id_list(path)
    names = dict.fromkeys(listed)
    column = source.ids if what == "ids" else source.subjects
    there = set() if column is None else set(column)
    missing = [name for name in names if name not in there]
    messages.say(f"{path}: {len(names) - len(missing):,} of {len(names):,} {what} found to exclude")
    if missing and path.suffix.lower() not in READABLE_SUFFIXES:
        first = ", ".join(f"'{name}'" for name in missing[:3])
        messages.warn(f"{path}: {len(missing):,} {what} are not in {source.origin}: {first}")
    return names


def _report(
    source: Embeddings | EmbeddingFile,
    anchors: Anchors,
    dropped: list[Dropped],
    size: int,
    near: NearDuplicates | None,
    output: Path,
    messages: Messages,
) -> None:
    messages.say(f"{source.origin}: {len(source):,} embeddings of dimension {source.dim}")
    for drop in dropped:
        first = ", ".join(f"'{name}'" for name in drop.first)
        named = f" (first: {first})" if drop.count else ""
        messages.say(f"  {drop.rule}: {drop.count:,} left out{named}")
    if near is not None:
        messages.say("  the evaluation set was looked at for this, which the anchors record")
    if len(anchors) < size:
        messages.say(f"  {len(anchors):,} are all that is left; {size:,} were asked for")
    messages.say(f"wrote {len(anchors):,} {anchors.kind} anchors to {output}")


def _summary(anchors: Anchors, dropped: list[Dropped], output: Path) -> dict[str, Any]:
    from damcli.storage.files import open_embeddings

    written = open_embeddings(output)
    return {
        "output": str(output),
        "output_sha256": written.digest,
        "kind": anchors.kind,
        "anchors": len(anchors),
        "dim": anchors.dim,
        "dropped": [
            {"rule": drop.rule, "count": drop.count, "first": list(drop.first)} for drop in dropped
        ],
        "attributes": written.attributes,
    }
