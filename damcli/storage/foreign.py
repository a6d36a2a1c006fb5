"""Reading other people's layouts: ``.npy`` with ids, ``.npz``, Parquet.

Nothing here unpickles: numpy object arrays are refused.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.storage.embeddings import Names, as_names
from damcli.storage.inputs import is_there, require_file
from damcli.storage.memory import require_memory, require_room_for
from damcli.storage.signatures import decoded, require_text_file
from damcli.storage.tables import (
    ID_NAMES,
    NORM_NAMES,
    SUBJECT_NAMES,
    RawTable,
    find_column,
    group_columns,
    reading,
    require_vectors,
)

_HINT_NUMBERS = "save the vectors with np.save as a float32 array"
_HINT_NAMES = "save names as a str array: np.savez(..., id=np.array(ids, dtype=str))"


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
    return RawTable("npy", vectors, ids, subjects)


def _refuse_zip(path: Path) -> None:
    # np.load goes by the first bytes, and would hand over an open archive.
    with path.open("rb") as file:
        if file.read(2) == b"PK":
            raise InputError(
                str(path), "is an .npz, though its name says .npy", hint="rename it to end in .npz"
            )


def read_id_list(path: Path, rows: int | None = None) -> tuple[Names, Names | None]:
    """Read ``id[,subject]`` lines; a first line that begins with ``id`` is a header."""
    origin = str(path)
    require_file(path, "a list of ids")
    with (
        reading(origin, "not a readable list of ids", hint="expected UTF-8 lines: id[,subject]"),
        path.open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file,
    ):
        require_text_file(path, "lines id[,subject]")
        reader = csv.reader(decoded(file, origin), strict=True)
        lines = [(reader.line_num, line) for line in reader if line]
    if lines and lines[0][1][0] in ID_NAMES:
        lines = lines[1:]
    if not lines:
        raise InputError(origin, "is empty; expected one id a line")
    width = len(lines[0][1])
    for row, line in lines:
        if len(line) != width or width > 2:
            raise InputError(
                origin, f"{len(line)} columns; expected {min(width, 2)}: id[,subject]", row=row
            )
        for what, cell in zip(("id", "subject"), line, strict=False):
            if not cell:
                raise InputError(origin, f"{what} '' is empty; expected id[,subject]", row=row)
    if rows is not None and len(lines) != rows:
        raise InputError(
            origin,
            f"{len(lines)} ids for {rows} rows; expected as many",
            hint=f"a first line that begins with one of {', '.join(ID_NAMES)} is a header",
        )
    ids = as_names([line[0] for _, line in lines])
    return ids, as_names([line[1] for _, line in lines]) if width == 2 else None


def read_npz(path: Path) -> RawTable:
    """Read the arrays of an ``.npz`` by their names."""
    with (
        reading(str(path), "not a readable .npz", hint=_HINT_NAMES),
        path.open("rb") as file,
        np.lib.npyio.NpzFile(file, allow_pickle=False) as archive,
    ):
        names = list(archive.files)
        found = require_vectors(names, str(path))
        known = [find_column(names, known) for known in (ID_NAMES, SUBJECT_NAMES, NORM_NAMES)]
        grouped = group_columns(names)
        wanted = [name for name in (found, *known, *grouped) if name is not None]
        require_room_for(archive, wanted, str(path))
        vectors = _array(archive, found)
        ids, subjects, norms = (None if name is None else _array(archive, name) for name in known)
        groups = {group: as_names(_array(archive, name)) for name, group in grouped.items()}
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
        reading(str(path), "not a readable Parquet file", hint="make the file anew"),
        pq.ParquetFile(path) as file,
    ):
        names = file.schema_arrow.names
        vectors = require_vectors(names, str(path))
        known = [find_column(names, known) for known in (ID_NAMES, SUBJECT_NAMES, NORM_NAMES)]
        groups = group_columns(names)
        wanted = [name for name in (vectors, *known, *groups) if name is not None]
        require_memory(_claimed(file.metadata, wanted), str(path), "its columns")
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


def _claimed(metadata: Any, wanted: list[str]) -> int:
    """Count what columns take at 4 bytes a value, as the footer of a Parquet file says."""
    columns = (
        metadata.row_group(group).column(place)
        for group in range(metadata.num_row_groups)
        for place in range(metadata.num_columns)
    )
    return sum(
        max(4 * column.num_values, column.total_uncompressed_size)
        for column in columns
        if column.path_in_schema.split(".")[0] in wanted
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
