"""damcli's own HDF5 files, and the ``vectors`` + ``image_names`` layout of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from damcli import __version__
from damcli.errors import InputError
from damcli.storage.anchors import Anchors
from damcli.storage.atomic import atomic_output
from damcli.storage.embeddings import BLOCK_ROWS, Embeddings, EmbeddingSource, Rows
from damcli.storage.tables import (
    ID_NAMES,
    NORM_NAMES,
    SUBJECT_NAMES,
    RawTable,
    find_column,
    require_vectors,
)

EMBEDDINGS = "damcli/embeddings"
ANCHORS = "damcli/anchors"
FORMAT_VERSION = 1
_CHUNK_ROWS = 1024
_OWN_ATTRIBUTES = ("format", "format_version")


def read_hdf5(path: Path) -> RawTable:
    """Read either layout; the vectors stay on disk."""
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise _explain(path, error) from error
    columns = [name for name, item in file.items() if isinstance(item, h5py.Dataset)]
    layout = str(file.attrs.get("format", "foreign HDF5"))
    if layout in (EMBEDDINGS, ANCHORS) and file.attrs["format_version"] > FORMAT_VERSION:
        raise InputError(
            str(path),
            f"format version {file.attrs['format_version']}; expected at most {FORMAT_VERSION}",
            hint="pip install --upgrade damcli",
        )
    groups = file.get("group", {})
    return RawTable(
        format=layout,
        vectors=file[require_vectors(columns, str(path))],
        ids=_column(file, find_column(columns, ID_NAMES), path),
        subjects=_column(file, find_column(columns, SUBJECT_NAMES), path),
        norms=_column(file, find_column(columns, NORM_NAMES), path),
        groups={name: _column(groups, name, path) for name in groups},
        attributes={
            name: value.item() if isinstance(value, np.generic) else value
            for name, value in file.attrs.items()
            if name not in _OWN_ATTRIBUTES
        },
    )


def _column(file: Any, name: str | None, path: Path) -> Any:
    if name is None:
        return None
    try:
        dataset = file[name]
        return dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(str(path), f"column '{name}' is damaged ({error})") from error


def _explain(path: Path, error: OSError) -> InputError:
    text = str(error)
    if "truncated" in text:
        return InputError(
            str(path), "a truncated HDF5 file", hint="it was cut short: copy or make it anew"
        )
    if "signature not found" in text:
        return InputError(
            str(path),
            "not an HDF5 file, though its name says so",
            hint="was it saved by another tool? see docs/formats.md for what damcli reads",
        )
    return InputError(str(path), f"cannot be opened ({text})")


def write_embeddings(
    path: Path | str,
    source: EmbeddingSource,
    *,
    rows: Rows | None = None,
    dtype: str = "float32",
    force: bool = False,
    **attributes: str | int | float,
) -> None:
    """Write embeddings, or an anchor set, to damcli's HDF5.

    Parameters
    ----------
    path
        The file to write; it appears whole or not at all.
    source
        What to write; `Anchors` become an anchor file.
    rows
        Which rows of it, in which order; by default all.
    dtype
        ``float32``, or ``float16`` for half the size.
    force
        Replace an existing file.
    **attributes
        More to record about how it was made.

    Raises
    ------
    OutputError
        The file exists or cannot be written.
    """
    chosen = np.arange(len(source), dtype=np.int64) if rows is None else rows
    with (
        atomic_output(Path(path), force=force) as draft,
        h5py.File(draft, "w") as file,
    ):
        file.attrs["format"] = ANCHORS if isinstance(source, Anchors) else EMBEDDINGS
        file.attrs["format_version"] = FORMAT_VERSION
        stated = {**source.attributes, "damcli_version": __version__, **attributes}
        for name, value in stated.items():
            file.attrs[name] = value
        _write_names(file, "id", source.ids[chosen])
        if source.subjects is not None:
            _write_names(file, "subject", source.subjects[chosen])
        for name, column in source.groups.items():
            _write_names(file, f"group/{name}", column[chosen])
        if source.norms is not None:
            file["norm"] = source.norms[chosen]
        vectors = file.create_dataset(
            "embedding",
            shape=(len(chosen), source.dim),
            dtype=dtype,
            chunks=(min(_CHUNK_ROWS, len(chosen)), source.dim),
        )
        for start, block in blocks_of(source, chosen):
            vectors[start : start + len(block)] = block.vectors


def blocks_of(source: EmbeddingSource, rows: Rows) -> Iterator[tuple[int, Embeddings]]:
    """Yield the rows block by block, each with the place where it begins."""
    for start in range(0, len(rows), BLOCK_ROWS):
        yield start, source.take(rows[start : start + BLOCK_ROWS])


def _write_names(file: Any, name: str, values: Any) -> None:
    file.create_dataset(name, data=values, dtype=h5py.string_dtype())
