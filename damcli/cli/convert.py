"""``damcli convert``: embeddings from one layout to another."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damcli.cli.anchor_options import FloatType
from damcli.cli.console import Messages, command_line, usage_error
from damcli.errors import InputError

if TYPE_CHECKING:
    from damcli.storage.embeddings import Names, Rows
    from damcli.storage.files import EmbeddingFile


def convert(
    source: Annotated[
        Path,
        typer.Argument(
            help=".h5, .npy with .ids.csv, .npz, .parquet, HDF5 with vectors and image_names.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help=".h5 holds everything, .npz and .parquet no attributes, .npy no norms and "
            "groups either, .vectors.h5 ids alone.",
        ),
    ],
    ids: Annotated[
        Path | None, typer.Option(help="The ids of an .npy: id[,subject] lines.")
    ] = None,
    subject_from_id: Annotated[
        str | None,
        typer.Option(
            metavar="REGEX", help="Take subjects from ids: the first group, as in '^([^/]+)/'."
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            help="The file of the model that made them, whose SHA-256 is recorded: files of two "
            "models are then refused together."
        ),
    ] = None,
    drop_invalid: Annotated[
        bool, typer.Option("--drop-invalid", help="Leave out zero and non-finite vectors.")
    ] = False,
    drop_duplicates: Annotated[
        bool, typer.Option("--drop-duplicates", help="Keep the first row of each id.")
    ] = False,
    dtype: Annotated[
        FloatType, typer.Option(help="float16 halves an .h5 file.")
    ] = FloatType.FLOAT32,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    """Convert embeddings between layouts; rows come out with unit length.

    Example: damcli convert faces.npz -o emb.h5 --subject-from-id '^([^/]+)/'
    """
    from damcli.storage.atomic import check_writable
    from damcli.storage.embeddings import check_unique
    from damcli.storage.files import open_embeddings
    from damcli.storage.foreign_output import (
        check_layout,
        is_vectors_h5,
        lost_columns,
        write_foreign,
    )
    from damcli.storage.hdf5 import OWN_SUFFIXES, write_embeddings
    from damcli.storage.provenance import commands

    own = output.suffix.lower() in OWN_SUFFIXES and not is_vectors_h5(output)
    if model is not None and not own:
        raise usage_error("--model is recorded in an .h5 output only")
    if dtype is FloatType.FLOAT16 and not own:
        raise usage_error("--dtype float16 goes with an .h5 output only")
    if not own:
        check_layout(output)
    check_writable(output, force=force)
    messages = Messages(quiet=quiet)
    embeddings = open_embeddings(source, ids)
    if subject_from_id is not None:
        embeddings.subjects = _subjects(embeddings, subject_from_id)
    rows = _kept_rows(
        embeddings, invalid=drop_invalid, duplicates=drop_duplicates, messages=messages
    )
    check_unique(embeddings.ids[rows], embeddings.origin)
    if own:
        write_embeddings(
            output,
            embeddings,
            rows=rows,
            dtype=dtype.value,
            force=force,
            converted_from=embeddings.origin,
            converted_from_sha256=embeddings.digest,
            **commands(embeddings.attributes, command_line()),
            **({} if model is None else _model(model)),
        )
    else:
        lost = lost_columns(output, embeddings)
        write_foreign(output, embeddings, rows, force=force)
        if lost:
            messages.warn(f"{output} has no place for {', '.join(lost)}: left out")
    messages.say(f"wrote {len(rows):,} embeddings of dimension {embeddings.dim} to {output}")


def _model(path: Path) -> dict[str, str]:
    from damcli.storage.digests import file_digest
    from damcli.storage.embeddings import MODEL_DIGEST

    if not path.is_file():
        raise InputError(str(path), "no such file; expected that of the model")
    return {"model_name": path.name, MODEL_DIGEST: file_digest(path)}


def _subjects(embeddings: EmbeddingFile, pattern: str) -> Names:
    from damcli.storage.embeddings import as_names

    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise usage_error(f"--subject-from-id {pattern}: {error}") from error
    if wanted.groups < 1:
        raise usage_error(f"--subject-from-id {pattern}: expected a group, as in '^([^/]+)/'")
    found = []
    for row, name in enumerate(embeddings.ids, start=1):
        match = wanted.search(name)
        if match is None or not match[1]:
            raise InputError(
                embeddings.origin,
                f"id '{name}' does not match {pattern}; expected a subject in it",
                row=row,
                hint="mend the expression given to --subject-from-id",
            )
        found.append(match[1])
    return as_names(found)


def _kept_rows(
    embeddings: EmbeddingFile, *, invalid: bool, duplicates: bool, messages: Messages
) -> Rows:
    """Leave out what was asked for, counted and named."""
    import numpy as np

    keep = np.ones(len(embeddings), dtype=bool)
    for wanted, what, find in (
        (invalid, "without a direction", embeddings.invalid),
        (duplicates, "of an id that came before", embeddings.duplicates),
    ):
        if not wanted:
            continue
        gone = find()
        keep[gone] = False
        first = ", ".join(f"'{embeddings.ids[row]}' (row {row + 1})" for row in gone[:3])
        messages.warn(f"{len(gone):,} rows {what} left out{': ' + first if len(gone) else ''}")
    rows = np.flatnonzero(keep).astype(np.int64)
    if not len(rows):
        raise InputError(embeddings.origin, "no row is left to write")
    return rows
