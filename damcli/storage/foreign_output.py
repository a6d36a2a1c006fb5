"""Writing other people's layouts, and saying what they have no place for."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import OutputError
from damcli.storage.atomic import atomic_output
from damcli.storage.drafts import hdf5_output
from damcli.storage.embeddings import ROW_NUMBER_IDS, EmbeddingSource, Rows
from damcli.storage.hdf5 import blocks_of, check_chosen
from damcli.storage.tables import GROUP_PREFIX

_NOT_LOST = (ROW_NUMBER_IDS, "damcli_version")
Layout = tuple[Callable[[Path, EmbeddingSource, Rows, bool], None], tuple[str, ...]]


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
    with atomic_output(path, force=force, private=True) as draft, draft.open("wb") as file:
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
    with atomic_output(path, force=force, private=True) as draft:
        pq.write_table(table, draft)


def _write_npy(path: Path, source: EmbeddingSource, rows: Rows, force: bool) -> None:
    listing = path.with_suffix(".ids.csv")
    with (
        atomic_output(path, force=force, private=True) as draft,
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
    with hdf5_output(path, force=force, private=True) as file:
        file["vectors"] = columns["embedding"]
        file.create_dataset("image_names", data=columns["id"], dtype=h5py.string_dtype())


_LAYOUTS: dict[str, Layout] = {
    ".npy": (_write_npy, ("subject",)),
    ".npz": (_write_npz, ("subject", "norm", "group")),
    ".parquet": (_write_parquet, ("subject", "norm", "group")),
    ".pq": (_write_parquet, ("subject", "norm", "group")),
}
