"""The options of ``damcli build-anchors``, and what their texts mean."""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli.console import Messages, usage_error
from damcli.errors import InputError

if TYPE_CHECKING:
    from damcli.anchors import NearDuplicates
    from damcli.storage.embeddings import Embeddings
    from damcli.storage.files import EmbeddingFile

ALL = "all"
CENTRES = "Class centres (--kind fc-weights)"


class Kind(StrEnum):
    """Where the anchors come from."""

    REAL_DB = "real-db"
    FAKE_DB = "fake-db"
    FC_WEIGHTS = "fc-weights"


class FloatType(StrEnum):
    """How vectors are stored."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"


SourceFile = Annotated[
    Path | None,
    typer.Argument(
        help="Embeddings (.h5, .npy, .npz, .parquet); with fc-weights a checkpoint "
        "(.pt, .pth, .safetensors, .onnx, .npy, .npz) or a run of damcli train. "
        "Left out with --generator.",
        show_default=False,
    ),
]
OutputFile = Annotated[Path, typer.Option("--output", "-o", help="Anchor file to write, .h5.")]
KindOption = Annotated[
    Kind,
    typer.Option(
        help="real-db: training faces; fake-db: generated faces; "
        "fc-weights: the classifier's class centres."
    ),
]
PerSubject = Annotated[
    str | None,
    typer.Option(
        metavar="N|all",
        help="Samples of each subject; of fc-weights: 1 averages sub-centres, all keeps them.",
        show_default="1",
    ),
]
Size = Annotated[
    int, typer.Option(min=1, help="Anchors to draw at most; with --generator, faces to generate.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of all draws, latents included.")]
ExcludeIds = Annotated[
    Path | None,
    typer.Option(help="Ids to leave out: one a line, or the ids of an embeddings file."),
]
ExcludeSubjects = Annotated[
    Path | None, typer.Option(help="Subjects to leave out, in the same way.")
]
MinNorm = Annotated[float | None, typer.Option(help="Shortest embedding before normalisation.")]
MaxSimilarityTo = Annotated[
    str | None,
    typer.Option(
        metavar="EMBEDDINGS:0.5",
        help="Leave out near-duplicates of an evaluation set, above that cosine.",
    ),
]
AllowMixedModels = Annotated[
    bool,
    typer.Option("--allow-mixed-models", help="The evaluation set may be of another model."),
]
Ids = Annotated[Path | None, typer.Option(help="The ids of an .npy: id[,subject] lines.")]
TensorName = Annotated[
    str | None, typer.Option(help="Name of the matrix.", rich_help_panel=CENTRES)
]
Dim = Annotated[
    int | None,
    typer.Option(min=2, help="Dimension of the embeddings.", rich_help_panel=CENTRES),
]
Labels = Annotated[
    Path | None,
    typer.Option(help="Class labels, one a line or index,label.", rich_help_panel=CENTRES),
]
SubCenters = Annotated[
    int | None,
    typer.Option(min=1, help="Centres per class (ArcFace's K).", rich_help_panel=CENTRES),
]
StripIds = Annotated[
    bool,
    typer.Option(
        "--strip-ids", help="Write no ids, subjects and groups: row numbers in their place."
    ),
]
DType = Annotated[FloatType, typer.Option(help="float16 halves the file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")]
Force = Annotated[bool, typer.Option("--force", help="Replace an existing output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")]


def check_options(
    kind: Kind,
    per_subject: str | None,
    for_centres: dict[str, Any],
    for_embeddings: dict[str, Any],
) -> None:
    """Refuse options that the kind would not look at."""
    min_norm = for_embeddings["--min-norm"]
    if min_norm is not None and not min_norm > 0:
        raise usage_error(f"--min-norm {min_norm:g}: expected a number above 0")
    foreign = for_embeddings if kind is Kind.FC_WEIGHTS else for_centres
    for option, value in foreign.items():
        if value is not None:
            raise usage_error(f"{option} does not go with --kind {kind.value}")
    if kind is Kind.FAKE_DB and per_subject not in (None, ALL):
        raise usage_error("--per-subject does not go with --kind fake-db: it has no subjects")


def refuse_for_run(run: Path, for_centres: dict[str, Any]) -> None:
    """Refuse options that say what a run of ``damcli train`` says by itself."""
    for name, value in for_centres.items():
        if value is not None:
            option = f"--{name.replace('_', '-')}"
            raise usage_error(f"{option} does not go with {run}: a run knows its class centres")


def parse_per_subject(text: str | None) -> int | None:
    """Read ``--per-subject``: a number, or None for all."""
    if text == ALL:
        return None
    try:
        count = int(text or 1)
    except ValueError:
        count = 0
    if count < 1:
        raise usage_error(f"--per-subject {text}: expected a number above 0, or all")
    return count


def near_duplicates(text: str | None, allow_mixed_models: bool) -> NearDuplicates | None:
    """Read ``--max-similarity-to``, and the file that it names."""
    if text is None:
        return None
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
    if not -1 < above < 1:
        raise usage_error(f"--max-similarity-to {text}: expected a cosine between -1 and 1")
    return NearDuplicates(read_embeddings(name), above, allow_mixed_models)


def nameless(anchors: Path | str) -> str:
    """Say what anchors without names cannot do."""
    return (
        f"{anchors}: its ids and subjects were stripped, so that no anchor of a scored person can "
        "be told and left out; anchors of these people must not be in it (--exclude-subjects)"
    )


def excluded(
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
