"""Other people's layouts: ``.npy`` with ids, ``.npz``, Parquet, and writing them.

Nothing here unpickles: numpy object arrays are refused.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, OutputError
from damcli.storage.atomic import atomic_output
from damcli.storage.drafts import hdf5_output
from damcli.storage.embeddings import ROW_NUMBER_IDS, EmbeddingSource, Names, Rows, as_names
from damcli.storage.hdf5 import blocks_of, check_chosen
from damcli.storage.inputs import is_there, require_file
from damcli.storage.tables import (
    GROUP_PREFIX,
    ID_NAMES,
    NORM_NAMES,
    SUBJECT_NAMES,
    RawTable,
    find_column,
    group_columns,
    reading,
    require_vectors,
)

_NOT_LOST = (ROW_NUMBER_IDS, "damcli_version")
_HINT_NUMBERS = "save the vectors with np.save as a float32 array"
_HINT_NAMES = "save names as a str array: np.savez(..., id=np.array(ids, dtype=str))"

Layout = tuple[Callable[[Path, EmbeddingSource, Rows, bool], None], tuple[str, ...]]


def read_npy(path: Path, ids_file: Path | None = None) -> RawTable:
    """Read an ``.npy`` and the list of ids beside it, if there is one."""
    origin = str(path)
    with reading(origin, "not a readable .npy of numbers", hint=_HINT_NUMBERS):
        _refuse_zip(path)
        vectors = np.load(path, mmap_mode="r", allow_pickle=False)
    beside = (path.with_suffix(".ids.csv"), path.with_suffix(".ids.txt"))
    listed = ids_file or next((name for name in beside if is_there(name)), None)
    if listed is None:
        return RawTable("npy", vectors)
    rows = len(vectors) if vectors.ndim == 2 else None
    ids, subjects = read_id_list(listed, rows)
    if rows is not None and len(ids) != rows:
        raise InputError(
            str(listed), f"{len(ids)} ids for the {rows} vectors of {path}; expected as many"
        )
    return RawTable("npy", vectors, ids, subjects)


def _refuse_zip(path: Path) -> None:
    # np.load goes by the first bytes, and would hand over an open archive.
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            raise InputError(
                str(path), "is an .npz, though its name says .npy", hint="rename it to end in .npz"
            )


def read_id_list(path: Path, rows: int | None = None) -> tuple[Names, Names | None]:
    """Read ``id[,subject]`` lines; a first line ``id,…`` is a header.

    Where as many ``rows`` are expected as there are lines, the first is an id too.
    """
    origin = str(path)
    require_file(path, "a list of ids")
    with (
        reading(origin, "not a readable list of ids", hint="expected UTF-8 lines: id[,subject]"),
        path.open(newline="", encoding="utf-8-sig") as file,
    ):
        lines = [line for line in csv.reader(file, strict=True) if line]
    if lines and lines[0][0] in ID_NAMES and len(lines) != rows:
        lines = lines[1:]
    if not lines:
        raise InputError(origin, "is empty; expected one id a line")
    width = len(lines[0])
    for row, line in enumerate(lines, start=1):
        if len(line) != width or width > 2:
            raise InputError(
                origin, f"{len(line)} columns; expected {min(width, 2)}: id[,subject]", row=row
            )
    ids = as_names([line[0] for line in lines])
    return ids, as_names([line[1] for line in lines]) if width == 2 else None


def read_npz(path: Path) -> RawTable:
    """Read the arrays of an ``.npz`` by their names."""
    with (
        reading(str(path), "not a readable .npz", hint=_HINT_NAMES),
        path.open("rb") as file,
        np.lib.npyio.NpzFile(file, allow_pickle=False) as archive,
    ):
        names = list(archive.files)
        vectors = _array(archive, require_vectors(names, str(path)))
        ids, subjects, norms = (
            None if (name := find_column(names, known)) is None else _array(archive, name)
            for known in (ID_NAMES, SUBJECT_NAMES, NORM_NAMES)
        )
        groups = {
            group: as_names(_array(archive, name)) for name, group in group_columns(names).items()
        }
        return RawTable("npz", vectors, ids, subjects, norms, groups)


def _array(archive: Any, name: str) -> NDArray[Any]:
    array = archive[name]
    if not isinstance(array, np.ndarray):  # numpy gives the bytes of what is no .npy
        raise TypeError(f"'{name}' is not an array")
    return array


def read_parquet(path: Path) -> RawTable:
    """Read a Parquet table whose vectors are a column of equally long lists."""
    import pyarrow.parquet as pq

    with (
        reading(str(path), "not a readable Parquet file"),
        pq.ParquetFile(path) as file,
    ):
        names = file.schema_arrow.names
        vectors = require_vectors(names, str(path))
        known = [find_column(names, known) for known in (ID_NAMES, SUBJECT_NAMES, NORM_NAMES)]
        groups = group_columns(names)
        wanted = [name for name in (vectors, *known, *groups) if name is not None]
        table = file.read(columns=wanted)
        ids, subjects, norms = (
            None if name is None else table.column(name).to_pylist() for name in known
        )
        return RawTable(
            "parquet",
            _stack_lists(table.column(vectors), str(path)),
            ids,
            subjects,
            norms,
            {group: as_names(_texts(table.column(name))) for name, group in groups.items()},
        )


def _texts(column: Any) -> list[Any]:
    return ["" if value is None else value for value in column.to_pylist()]


def _stack_lists(column: Any, origin: str) -> NDArray[Any]:
    """Turn a column of N lists of D numbers into (N, D); a null in a list becomes NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    if not (is_list or pa.types.is_fixed_size_list(kind)) or not (
        pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)
    ):
        raise InputError(
            origin, f"vectors of type {kind}; expected lists of numbers, all of one length"
        )
    lengths = np.asarray(pc.list_value_length(column).fill_null(-1))
    odd = np.flatnonzero((lengths < 0) | (lengths != lengths[:1]))
    if len(odd):
        found = int(lengths[odd[0]])
        raise InputError(
            origin,
            "the vector is null" if found < 0 else f"a vector of length {found}",
            row=int(odd[0]) + 1,
            hint="every row needs a vector of the same length as the first",
        )
    # Chunk by chunk: 32-bit offsets end at 2**31 numbers, which is 4 million rows.
    parts = [chunk.flatten().to_numpy(zero_copy_only=False) for chunk in column.chunks]
    return np.concatenate(parts or [np.empty(0)]).reshape(len(column), -1 if len(column) else 0)


def write_foreign(path: Path, source: EmbeddingSource, rows: Rows, *, force: bool) -> None:
    """Write the rows in the foreign layout that the suffix names.

    ``.npz`` and ``.parquet`` hold ``embedding``, ``id``, and ``subject``, ``norm``
    and ``group/NAME`` where known; ``.npy`` holds the vectors, with ``id[,subject]`` in
    ``NAME.ids.csv``;
    ``.vectors.h5`` holds ``vectors`` and ``image_names``.
    """
    write, _ = _layout(path)
    check_chosen(source, rows)
    write(path, source, rows, force)


def lost_columns(path: Path, source: EmbeddingSource) -> list[str]:
    """Say, counted, what is known of the embeddings that this layout has no place for."""
    _, holds = _layout(path)
    lost = []
    if source.subjects is not None and "subject" not in holds:
        lost.append(f"{len(set(source.subjects)):,} subjects")
    if "norm" not in holds and source.norms is not None and not _are_one(source.norms):
        lost.append("norms")
    if source.groups and "group" not in holds:
        lost.append(f"{len(source.groups)} groups ({', '.join(source.groups)})")
    about = [name for name in source.attributes if name not in _NOT_LOST]
    if about:
        lost.append(f"{len(about)} attributes ({', '.join(about)})")
    return lost


def _are_one(norms: NDArray[np.float32]) -> bool:
    return np.allclose(norms, 1, rtol=0, atol=1e-3)


def is_vectors_h5(path: Path) -> bool:
    """Whether the name asks for the HDF5 of others, with ``vectors`` and ``image_names``."""
    return path.name.lower().endswith(".vectors.h5")


def check_layout(path: Path) -> None:
    """Refuse a name from which no layout follows."""
    _layout(path)


def _layout(path: Path) -> Layout:
    """Return what writes the layout that the suffix names, and the columns it holds."""
    if is_vectors_h5(path):
        return _write_vectors_h5, ()
    layout = _LAYOUTS.get(path.suffix.lower())
    if layout is None:
        raise OutputError(
            f"{path}: unknown kind of file '{path.suffix}'; expected .h5, .vectors.h5, .npy, "
            ".npz or .parquet"
        )
    return layout


def _columns(source: EmbeddingSource, rows: Rows) -> dict[str, Any]:
    blocks = [block for _, block in blocks_of(source, rows)]
    norms = [block.norms for block in blocks if block.norms is not None]
    columns = {
        "embedding": np.concatenate([block.vectors for block in blocks]),
        "id": source.ids[rows],
        "subject": None if source.subjects is None else source.subjects[rows],
        "norm": np.concatenate(norms) if norms else None,
        **{GROUP_PREFIX + name: column[rows] for name, column in source.groups.items()},
    }
    return {name: column for name, column in columns.items() if column is not None}


def _write_npz(path: Path, source: EmbeddingSource, rows: Rows, force: bool) -> None:
    with atomic_output(path, force=force) as draft, draft.open("wb") as file:
        np.savez(file, **{n: _plain(c) for n, c in _columns(source, rows).items()})


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
            writer = csv.writer(listed)
            writer.writerow(("id", "subject")[: len(names)])
            writer.writerows(zip(*names, strict=True))


def _write_vectors_h5(path: Path, source: EmbeddingSource, rows: Rows, force: bool) -> None:
    import h5py

    columns = _columns(source, rows)
    with hdf5_output(path, force=force) as file:
        file["vectors"] = columns["embedding"]
        file.create_dataset("image_names", data=columns["id"], dtype=h5py.string_dtype())


_LAYOUTS: dict[str, Layout] = {
    ".npy": (_write_npy, ("subject",)),
    ".npz": (_write_npz, ("subject", "norm", "group")),
    ".parquet": (_write_parquet, ("subject", "norm", "group")),
    ".pq": (_write_parquet, ("subject", "norm", "group")),
}
