"""Other people's layouts: ``.npy`` with ids, ``.npz``, Parquet, and writing them.

Nothing here unpickles: numpy object arrays are refused.
"""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from damcli.errors import InputError
from damcli.storage.atomic import atomic_output
from damcli.storage.embeddings import EmbeddingSource, Names, Rows, as_names
from damcli.storage.hdf5 import blocks_of
from damcli.storage.tables import (
    ID_NAMES,
    NORM_NAMES,
    SUBJECT_NAMES,
    RawTable,
    find_column,
    require_vectors,
)


def read_npy(path: Path, ids_file: Path | None = None) -> RawTable:
    """Read an ``.npy`` and the list of ids beside it, if there is one."""
    try:
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise InputError(str(path), f"not a readable .npy of numbers ({error})") from error
    beside = (path.with_suffix(".ids.csv"), path.with_suffix(".ids.txt"))
    listed = ids_file or next((name for name in beside if name.exists()), None)
    if listed is None:
        return RawTable("npy", vectors)
    ids, subjects = read_id_list(listed)
    if vectors.ndim == 2 and len(ids) != len(vectors):
        raise InputError(
            str(listed),
            f"{len(ids)} ids for the {len(vectors)} vectors of {path}; expected as many",
        )
    return RawTable("npy", vectors, ids, subjects)


def read_id_list(path: Path) -> tuple[Names, Names | None]:
    """Read ``id[,subject]`` lines; a first line ``id,…`` is a header."""
    if not path.exists():
        raise InputError(str(path), "no such file")
    with path.open(newline="", encoding="utf-8") as file:
        lines = [line for line in csv.reader(file) if line]
    if lines and lines[0][0] in ID_NAMES:
        lines = lines[1:]
    if not lines:
        raise InputError(str(path), "is empty; expected one id a line")
    width = len(lines[0])
    for row, line in enumerate(lines, start=1):
        if len(line) != width or width > 2:
            raise InputError(
                str(path), f"{len(line)} columns; expected {min(width, 2)}: id[,subject]", row=row
            )
    ids = as_names([line[0] for line in lines])
    return ids, as_names([line[1] for line in lines]) if width == 2 else None


def read_npz(path: Path) -> RawTable:
    """Read the arrays of an ``.npz`` by their names."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            names = archive.files
            vectors = archive[require_vectors(names, str(path))]
            ids, subjects, norms = (
                None if (name := find_column(names, known)) is None else archive[name]
                for known in (ID_NAMES, SUBJECT_NAMES, NORM_NAMES)
            )
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        pickled = "allow_pickle" in str(error)
        raise InputError(
            str(path),
            "holds pickled Python objects, which damcli never loads"
            if pickled
            else f"not a readable .npz ({error})",
            hint="save names as a str array: np.savez(..., id=np.array(ids, dtype=str))",
        ) from error
    return RawTable("npz", vectors, ids, subjects, norms)


def read_parquet(path: Path) -> RawTable:
    """Read a Parquet table whose vectors are a column of equally long lists."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(str(path), f"not a readable Parquet file ({error})") from error
    names = table.column_names
    column = table.column(require_vectors(names, str(path))).combine_chunks()
    lengths = np.unique(np.asarray(column.value_lengths().drop_null()))
    if len(lengths) != 1 or column.null_count:
        raise InputError(
            str(path), f"vectors of lengths {lengths.tolist()}; expected one length and no nulls"
        )
    vectors = np.asarray(column.flatten(), dtype=np.float32).reshape(len(column), -1)
    ids, subjects, norms = (
        None if (name := find_column(names, known)) is None else table.column(name).to_pylist()
        for known in (ID_NAMES, SUBJECT_NAMES, NORM_NAMES)
    )
    return RawTable("parquet", vectors, ids, subjects, norms)


def write_foreign(path: Path, source: EmbeddingSource, rows: Rows, *, force: bool) -> None:
    """Write the rows in the foreign layout that the suffix names.

    ``.npz`` and ``.parquet`` hold ``embedding``, ``id``, and ``subject`` and ``norm``
    where known; ``.npy`` holds the vectors, with ``id[,subject]`` in ``NAME.ids.csv``;
    ``.vectors.h5`` holds ``vectors`` and ``image_names``.
    """
    if path.name.endswith(".vectors.h5"):
        _write_vectors_h5(path, source, rows, force)
    elif path.suffix == ".npy":
        _write_npy(path, source, rows, force)
    elif path.suffix == ".npz":
        with atomic_output(path, force=force) as draft, draft.open("wb") as file:
            np.savez(file, **{n: _plain(c) for n, c in _columns(source, rows).items()})
    elif path.suffix in (".parquet", ".pq"):
        _write_parquet(path, source, rows, force)
    else:
        raise InputError(
            str(path),
            f"unknown kind of file '{path.suffix}'; expected .h5, .vectors.h5, .npy, .npz "
            "or .parquet",
        )


def _columns(source: EmbeddingSource, rows: Rows) -> dict[str, Any]:
    columns = {
        "embedding": np.concatenate([block.vectors for _, block in blocks_of(source, rows)]),
        "id": source.ids[rows],
        "subject": None if source.subjects is None else source.subjects[rows],
        "norm": None if source.norms is None else source.norms[rows],
    }
    return {name: column for name, column in columns.items() if column is not None}


def _plain(column: Any) -> Any:
    return column.astype(str) if column.dtype == object else column


def _write_parquet(path: Path, source: EmbeddingSource, rows: Rows, force: bool) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = _columns(source, rows)
    vectors = columns.pop("embedding")
    lists = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
    table = pa.table({"embedding": lists, **{n: pa.array(c) for n, c in columns.items()}})
    with atomic_output(path, force=force) as draft:
        pq.write_table(table, draft)


def _write_npy(path: Path, source: EmbeddingSource, rows: Rows, force: bool) -> None:
    listing = path.with_suffix(".ids.csv")
    with (
        atomic_output(path, force=force) as draft,
        atomic_output(listing, force=force) as list_draft,
    ):
        columns = _columns(source, rows)
        with draft.open("wb") as file:
            np.save(file, columns["embedding"])
        names = [columns[name] for name in ("id", "subject") if name in columns]
        with list_draft.open("w", newline="", encoding="utf-8") as listed:
            csv.writer(listed).writerows(zip(*names, strict=True))


def _write_vectors_h5(path: Path, source: EmbeddingSource, rows: Rows, force: bool) -> None:
    import h5py

    with atomic_output(path, force=force) as draft, h5py.File(draft, "w") as file:
        columns = _columns(source, rows)
        file["vectors"] = columns["embedding"]
        file.create_dataset("image_names", data=columns["id"], dtype=h5py.string_dtype())
