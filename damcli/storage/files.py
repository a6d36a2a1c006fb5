"""One door to embeddings in any file: damcli's HDF5 and the foreign formats."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.storage.anchors import ANCHOR_KINDS, Anchors
from damcli.storage.digests import file_digest
from damcli.storage.embeddings import (
    BLOCK_ROWS,
    ROW_NUMBER_IDS,
    Embeddings,
    Names,
    Rows,
    Vectors,
    as_names,
    check_unique,
    named,
)
from damcli.storage.foreign import read_npy, read_npz, read_parquet
from damcli.storage.hdf5 import ANCHORS, read_hdf5
from damcli.storage.inputs import require_file
from damcli.storage.memory import require_memory
from damcli.storage.tables import RawTable, reading
from damcli.storage.unit import check_table, invalid_rows, row_lengths, unit_rows

_READERS = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".parquet": read_parquet,
    ".pq": read_parquet,
    ".h5": read_hdf5,
    ".hdf5": read_hdf5,
}
_NAME_BYTES = 64  # of a short name and its place in a column, about
_FEWER = "use a machine with more memory, or part the file"
READABLE_SUFFIXES = tuple(_READERS)


class EmbeddingFile:
    """Embeddings in a file, of which the vectors are read only when asked for.

    Parameters
    ----------
    path
        A damcli HDF5 file, ``.npy`` with a list of ids beside it, ``.npz``, Parquet,
        or an HDF5 file with ``vectors`` and ``image_names``.
    ids_file
        The ids of an ``.npy``, one a line, optionally with the subject after a comma;
        by default the file of the same name that ends in ``.ids.csv`` or ``.ids.txt``.

    Raises
    ------
    InputError
        The file is missing, empty, damaged, or not of a known layout.
    """

    def __init__(self, path: Path, ids_file: Path | None = None) -> None:
        self._raw = _read_raw(path, ids_file)
        self.path = path
        self.origin = str(path)
        self.attributes: dict[str, Any] = dict(self._raw.attributes)
        self.format = self._raw.format
        self.dtype = str(self._raw.vectors.dtype)
        rows = len(self._raw.vectors)
        require_memory(_NAME_BYTES * rows, self.origin, f"the names of {rows:,} rows", hint=_FEWER)
        if self._raw.ids is None:
            self.attributes[ROW_NUMBER_IDS] = True
            self.ids: Names = as_names(range(rows))
        else:
            self.ids = named(self._raw.ids, "id", self.origin)
        self.subjects: Names | None = (
            None
            if self._raw.subjects is None
            else named(self._raw.subjects, "subject", self.origin)
        )
        self.groups: Mapping[str, Names] = {
            name: as_names(column) for name, column in self._raw.groups.items()
        }
        self._stored_norms = _as_norms(self._raw.norms, self.origin)
        self._check_columns(rows)

    def _check_columns(self, rows: int) -> None:
        columns = [("ids", self.ids), ("subjects", self.subjects), ("norms", self._stored_norms)]
        for what, column in [*columns, *self.groups.items()]:
            if column is not None and len(column) != rows:
                raise InputError(
                    self.origin, f"{len(column)} {what} for {rows} embeddings; expected as many"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """D, the length of each embedding."""
        return int(self._raw.vectors.shape[1])

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the file."""
        return file_digest(self.path)

    @cached_property
    def norms(self) -> Vectors:
        """The length of each vector before normalisation: as stored, else as measured.

        Unchecked, so that a file with an invalid row still has norms for the others.
        """
        if self._stored_norms is not None:
            return self._stored_norms
        blocks = [row_lengths(self._read(start)) for start in range(0, len(self), BLOCK_ROWS)]
        return np.concatenate(blocks).astype(np.float32)

    def invalid(self) -> Rows:
        """Find the rows without a direction: zero vectors, NaN or infinity."""
        marks = [invalid_rows(self._read(start)) for start in range(0, len(self), BLOCK_ROWS)]
        return np.flatnonzero(np.concatenate(marks)).astype(np.int64)

    def require_valid(self) -> None:
        """Raise on the first row without a direction, as reading it would."""
        self.take(self.invalid()[:1])

    def duplicates(self) -> Rows:
        """Find the rows whose id an earlier row has."""
        import pandas as pd

        return np.flatnonzero(pd.Index(self.ids, dtype=object).duplicated()).astype(np.int64)

    def take(self, rows: Rows | slice) -> Embeddings:
        """Read the named rows, in that order, checked and of unit length."""
        wanted = np.arange(len(self), dtype=np.int64)[rows]
        vectors, norms = self._gather(wanted)
        return Embeddings(
            vectors=vectors,
            ids=self.ids[wanted],
            subjects=None if self.subjects is None else self.subjects[wanted],
            norms=norms if self._stored_norms is None else self._checked_norms(wanted),
            groups={name: column[wanted] for name, column in self.groups.items()},
            attributes=self.attributes,
            origin=self.origin,
            path=self.path,
        )

    def load(self) -> Embeddings:
        """Read everything; the ids must be unique."""
        check_unique(self.ids, self.origin)
        require_memory(4 * self.dim * len(self), self.origin, "its vectors", hint=_FEWER)
        return self.take(slice(None))

    def _gather(self, wanted: Rows) -> tuple[Vectors, Vectors]:
        """Read block by block, so that a small draw from a large file stays small."""
        vectors = np.empty((len(wanted), self.dim), dtype=np.float32)
        norms = np.empty(len(wanted), dtype=np.float32)
        for places, block in self._blocks(wanted):
            rows = wanted[places]
            vectors[places], norms[places] = unit_rows(block, self.origin, self.ids[rows], rows)
        return vectors, norms

    def stored(self, rows: Rows) -> Vectors:
        """Read the named rows as they stand in the file, float32, unchecked."""
        vectors = np.empty((len(rows), self.dim), dtype=np.float32)
        for places, block in self._blocks(rows):
            vectors[places] = block
        return vectors

    def _blocks(self, wanted: Rows) -> Iterator[tuple[Rows, NDArray[Any]]]:
        """Yield places in ``wanted`` and the vectors that belong there."""
        order = np.argsort(wanted, kind="stable")
        inside = wanted[order]
        for start in range(0, len(self), BLOCK_ROWS):
            low, high = np.searchsorted(inside, [start, start + BLOCK_ROWS])
            if low < high:
                yield order[low:high], self._read(start)[inside[low:high] - start]

    def _read(self, start: int) -> NDArray[Any]:
        """Read the block of rows that begins at ``start``."""
        with reading(self.origin, f"damaged near row {start + 1}", hint="copy or make it anew"):
            return np.asarray(self._raw.vectors[start : start + BLOCK_ROWS])

    def _checked_norms(self, rows: Rows) -> Vectors:
        norms = self.norms[rows]
        bad = np.flatnonzero(~(np.isfinite(norms) & (norms > 0)))
        if len(bad):
            row = int(rows[bad[0]])
            raise InputError(
                self.origin,
                f"the norm of '{self.ids[row]}' is {norms[bad[0]]}; expected a length above 0",
                row=row + 1,
                hint="mend the column of norms, or leave it out",
            )
        return norms


def _as_norms(column: Any, origin: str) -> Vectors | None:
    if column is None:
        return None
    with (
        reading(origin, "norms that are not numbers; expected one length a row"),
        np.errstate(over="ignore"),
    ):
        norms = np.asarray(column)
        if norms.ndim != 1 or norms.dtype.kind not in "fiu":
            raise TypeError(f"type {norms.dtype}, shape {norms.shape}")
        return norms.astype(np.float32)


def _read_raw(path: Path, ids_file: Path | None) -> RawTable:
    hint = f"for a folder of images: damcli embed {path} --model MODEL -o emb.h5"
    if require_file(path, "a file of embeddings", if_folder=hint) == 0:
        raise InputError(str(path), "is empty; expected a file of embeddings")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(
            str(path),
            f"unknown kind of file '{path.suffix}'; expected one of {', '.join(_READERS)}",
            hint="see docs/formats.md for the layouts that damcli reads",
        )
    if ids_file is not None and reader is not read_npy:
        raise InputError(
            str(ids_file),
            f"a list of ids goes with an .npy; {path} holds its own ids",
            hint="leave the list out",
        )
    raw = reader(path, ids_file) if reader is read_npy else reader(path)
    check_table(raw.vectors, str(path))
    return raw


def open_embeddings(path: Path | str, ids_file: Path | None = None) -> EmbeddingFile:
    """Open a file of embeddings without reading the vectors; see `EmbeddingFile`."""
    return EmbeddingFile(Path(path), ids_file)


def read_embeddings(path: Path | str) -> Embeddings:
    """Read a file of embeddings, of any layout that damcli knows, into memory.

    Parameters
    ----------
    path
        damcli HDF5, ``.npy`` + ids, ``.npz``, Parquet, or HDF5 with ``vectors`` and
        ``image_names``.

    Returns
    -------
    Embeddings
        (N, D) float32 rows of unit length with their ids.

    Raises
    ------
    InputError
        The file cannot be read, an id stands twice, or a row has no direction.
    """
    return open_embeddings(path).load()


def read_anchors(path: Path | str) -> Anchors:
    """Read an anchor set that ``damcli build-anchors`` wrote.

    Raises
    ------
    InputError
        The file is not an anchor set.
    """
    source = open_embeddings(path)
    kind = source.attributes.get("kind")
    if source.format == ANCHORS and kind not in ANCHOR_KINDS:
        raise InputError(
            str(path), f"anchors of kind {kind}; expected one of {', '.join(ANCHOR_KINDS)}"
        )
    if source.format != ANCHORS:
        raise InputError(
            str(path),
            f"holds {source.format}; expected an anchor set",
            hint=f"damcli build-anchors {path} -o anchors.h5 --kind real-db",
        )
    return replace(Anchors.of(source.load()), path=Path(path))
