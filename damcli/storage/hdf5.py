"""damcli's own HDF5 files, and the ``vectors`` + ``image_names`` layout of others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from damcli import __version__
from damcli.errors import InputError, OutputError
from damcli.storage.anchors import Anchors
from damcli.storage.drafts import hdf5_output
from damcli.storage.embeddings import (
    BLOCK_ROWS,
    Embeddings,
    EmbeddingSource,
    Rows,
    check_unique,
)
from damcli.storage.locks import open_for_reading
from damcli.storage.memory import require_memory
from damcli.storage.tables import (
    ID_NAMES,
    NORM_NAMES,
    SUBJECT_NAMES,
    VECTOR_NAMES,
    RawTable,
    find_column,
    reading,
    require_vectors,
)
from damcli.storage.unit import check_table

EMBEDDINGS = "damcli/embeddings"
ANCHORS = "damcli/anchors"
LIDR = "damcli/lidr"
FORMAT_VERSION = 1
OWN_SUFFIXES = (".h5", ".hdf5")
_CHUNK_ROWS = 1024
_OPTIONS = {LIDR: "a fitted regressor goes with --lidr"}
_OWN_ATTRIBUTES = ("format", "format_version")


def read_hdf5(path: Path) -> RawTable:
    """Read either layout; the vectors stay on disk."""
    try:
        file = open_for_reading(path)
    except OSError as error:
        raise explain_damage(path, error) from error
    try:
        with reading(str(path), "a damaged HDF5 file", hint="copy or make it anew"):
            return _read_table(file, str(path))
    except InputError:
        file.close()
        raise


def _read_table(file: Any, origin: str) -> RawTable:
    layout = _layout(file, origin)
    columns = [name for name in file if not _is_group(file, name)]
    vectors = open_dataset(
        file, find_column(columns, VECTOR_NAMES) or require_vectors(list(file), origin), origin
    )
    check_table(vectors, origin)
    rows = len(vectors)
    ids, subjects, norms = (
        None if (name := find_column(columns, known)) is None else _column(file, name, rows, origin)
        for known in (ID_NAMES, SUBJECT_NAMES, NORM_NAMES)
    )
    if _is_link(file, "group"):
        raise _elsewhere(origin, "group")
    groups = file["group"] if _is_group(file, "group") else {}
    return RawTable(
        format=layout,
        vectors=vectors,
        ids=ids,
        subjects=subjects,
        norms=norms,
        groups={name: _column(groups, name, rows, origin) for name in groups},
        attributes=plain_attributes(file),
    )


def _layout(file: Any, origin: str) -> str:
    layout = plain(file.attrs.get("format", "foreign HDF5"))
    if not isinstance(layout, str) or not layout.startswith("damcli/"):
        return "foreign HDF5"
    if layout not in (EMBEDDINGS, ANCHORS):
        raise InputError(
            origin, f"holds {layout}; expected embeddings or anchors", hint=_OPTIONS.get(layout)
        )
    check_version(file, origin)
    return layout


def check_version(file: Any, origin: str) -> None:
    """Refuse a file whose layout is newer than this damcli, or has no sound version."""
    version = plain(file.attrs.get("format_version"))
    if not isinstance(version, int) or version < 1:
        raise InputError(origin, f"format version {version}; expected {FORMAT_VERSION}")
    if version > FORMAT_VERSION:
        raise InputError(
            origin,
            f"format version {version}; expected at most {FORMAT_VERSION}",
            hint="pip install --upgrade damcli",
        )


def _is_group(file: Any, name: str) -> bool:
    """Whether a group of this very file stands there; links are not followed."""
    return not _is_link(file, name) and file.get(name, getclass=True) is h5py.Group


def _is_link(parent: Any, name: str) -> bool:
    return isinstance(parent.get(name, getlink=True), h5py.SoftLink | h5py.ExternalLink)


def _elsewhere(origin: str, name: str) -> InputError:
    return InputError(
        origin,
        f"'{name}' is kept elsewhere (a link, external storage or a virtual dataset); "
        "expected the data in the file itself",
        hint="copy the data into one file, for example with h5py: new['embedding'] = old[...]",
    )


def open_dataset(parent: Any, name: str, origin: str) -> Any:
    """Open a dataset of which every byte lies in this file.

    A link could name any file of the reader's, and an output would then carry its bytes.
    """
    if _is_link(parent, name):
        raise _elsewhere(origin, name)
    dataset = parent[name]
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(
            origin, f"'{name}' is a {type(dataset).__name__.lower()}; expected a dataset"
        )
    if dataset.is_virtual or dataset.external:
        raise _elsewhere(origin, name)
    # HDF5 would make up zeros for what was never written, and for any number of rows.
    if dataset.shape is None or (dataset.size and not dataset.id.get_storage_size()):
        raise InputError(origin, f"'{name}' is empty; expected a row for each embedding")
    return dataset


def _column(parent: Any, name: str, rows: int, origin: str) -> Any:
    dataset = open_dataset(parent, name, origin)
    if dataset.shape != (rows,):
        raise InputError(
            origin, f"'{name}' of shape {dataset.shape} for {rows} embeddings; expected ({rows},)"
        )
    require_memory(8 * rows, origin, f"the {rows:,} cells of '{name}'")
    with reading(origin, f"column '{name}' is damaged", hint="copy or make the file anew"):
        return dataset.asstr()[:] if h5py.check_string_dtype(dataset.dtype) else dataset[:]


def plain_attributes(file: Any) -> dict[str, str | int | float | bool]:
    """Return the attributes that are single values; others are not about embeddings."""
    values = {name: plain(file.attrs[name]) for name in file.attrs if name not in _OWN_ATTRIBUTES}
    return {n: value for n, value in values.items() if isinstance(value, str | int | float)}


def plain(value: Any) -> Any:
    """Turn an attribute into the Python value that it stands for."""
    value = value.item() if isinstance(value, np.generic) else value
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def explain_damage(path: Path, error: OSError) -> InputError:
    """Say in a user's words why HDF5 would not open a file."""
    text = " ".join(str(error).split())
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
    said = re.search(r"error message = '([^']+)'", text)
    return InputError(
        str(path),
        f"cannot be opened ({said.group(1) if said else text})",
        hint="check its rights, and whether something else is writing to it",
    )


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
        What to write; an anchor set stays one.
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
    InputError
        No row is chosen, an id stands twice among them, or a row has no direction.
    OutputError
        The file exists or cannot be written, or its name does not end in .h5 or .hdf5.
    """
    check_own_suffix(Path(path))
    chosen = np.arange(len(source), dtype=np.int64) if rows is None else rows
    check_chosen(source, chosen)
    with hdf5_output(Path(path), force=force, private=True) as file:
        for name, value in {**source.attributes, **attributes}.items():
            file.attrs[name] = storable(value)
        file.attrs["damcli_version"] = __version__
        file.attrs["format"] = ANCHORS if _is_anchors(source) else EMBEDDINGS
        file.attrs["format_version"] = FORMAT_VERSION
        _write_names(file, "id", source.ids[chosen])
        if source.subjects is not None:
            _write_names(file, "subject", source.subjects[chosen])
        for name, column in source.groups.items():
            _write_names(file, f"group/{name}", column[chosen])
        vectors = file.create_dataset(
            "embedding",
            shape=(len(chosen), source.dim),
            dtype=dtype,
            chunks=(min(_CHUNK_ROWS, len(chosen)), source.dim),
        )
        for start, block in blocks_of(source, chosen):
            vectors[start : start + len(block)] = block.vectors
            if block.norms is not None:
                norms = file.require_dataset("norm", (len(chosen),), "float32")
                norms[start : start + len(block)] = block.norms
            file.check()


def check_own_suffix(path: Path) -> None:
    """Refuse a name under which the file would be read as something else."""
    if path.suffix.lower() not in OWN_SUFFIXES:
        raise OutputError(
            f"{path}: unknown ending '{path.suffix}'; expected .h5 or .hdf5",
            hint="name it .h5; damcli convert writes other layouts from that",
        )


def check_chosen(source: EmbeddingSource, rows: Rows) -> None:
    """Raise before anything is written, if these rows would not make a sound file."""
    if len(rows) == 0:
        raise InputError(source.origin, "no rows are left to write; expected at least one")
    check_unique(source.ids[rows], source.origin)
    for name in source.groups:
        if name in ("", ".", "..") or "/" in name or "\0" in name:
            raise InputError(
                source.origin,
                f"a group is named {name!r}; expected a name without a slash",
                hint="rename that column",
            )


def blocks_of(source: EmbeddingSource, rows: Rows) -> Iterator[tuple[int, Embeddings]]:
    """Yield the rows block by block, each with the place where it begins."""
    for start in range(0, len(rows), BLOCK_ROWS):
        yield start, source.take(rows[start : start + BLOCK_ROWS])


def _is_anchors(source: EmbeddingSource) -> bool:
    return isinstance(source, Anchors) or getattr(source, "format", None) == ANCHORS


def storable(value: Any) -> Any:
    """Escape what HDF5 text cannot hold, such as a file name in a command that is no UTF-8."""
    if not isinstance(value, str):
        return value
    return value.replace("\0", r"\0").encode(errors="backslashreplace").decode()


def _write_names(file: Any, name: str, values: Any) -> None:
    file.create_dataset(name, data=values, dtype=h5py.string_dtype())
