"""Options that the commands about pairs have in common."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from damcli.cli.console import usage_error


class Combine(StrEnum):
    """How the two LIDs meet."""

    SUM = "sum"
    PRODUCT = "product"


class LidOf(StrEnum):
    """Whose LIDs are taken."""

    OWN = "own"
    POOLED = "pooled"


EmbeddingsFile = Annotated[
    Path, typer.Option("--embeddings", "-e", help="Embeddings of the probes.")
]
GalleryFile = Annotated[
    Path | None, typer.Option(help="Embeddings of the references, if in another file.")
]
AllPairsOption = Annotated[
    bool, typer.Option("--all-pairs", help="All pairs, labelled by the subjects.")
]
ScaleOption = Annotated[
    float | None,
    typer.Option("-s", help="Scale of Eq. 3, above 0.", show_default="1, or the lidr's"),
]
NeighboursOption = Annotated[
    int | None,
    typer.Option("-k", min=1, help="Anchors in the LID.", show_default="10, or the lidr's"),
]
ScoresOutput = Annotated[
    str | None,
    typer.Option("--output", "-o", help="Scores: .csv, .csv.gz, .parquet; - for stdout."),
]
Resamples = Annotated[int, typer.Option(min=0, help="Of the 95 % intervals; 0 for none.")]
GroupOption = Annotated[
    list[str] | None,
    typer.Option(
        "--group",
        metavar="COLUMN",
        help="Also print error rates by this column of the pairs, or of the embeddings' groups; "
        "repeatable.",
        show_default=False,
    ),
]
SkipMissing = Annotated[
    bool,
    typer.Option(
        "--skip-missing/--strict",
        help="Leave out pairs without an embedding, counted and named; or refuse them.",
    ),
]
EscapeFormulas = Annotated[
    bool,
    typer.Option(
        "--escape-formulas",
        help="For spreadsheets: a ' before text in the CSV that begins with = + - @ or '.",
    ),
]
AllowOverlap = Annotated[
    bool,
    typer.Option("--allow-overlap", help="Anchors may show scored people; each skips its own."),
]
AllowMixedModels = Annotated[
    bool, typer.Option("--allow-mixed-models", help="The files may be of different models.")
]
CombineOption = Annotated[Combine, typer.Option(help="Eq. 3, or the product form of Sec. 4.6.")]


def check_escaping(output: str | None) -> None:
    """Refuse to escape formulas where no CSV is written."""
    if output is None or output.lower().endswith((".parquet", ".pq")):
        raise usage_error("--escape-formulas goes with a CSV: say where to write it with -o")
