"""The embeddings of a run that is not finished, in journals beside its output."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.storage.embeddings import Rows, Vectors
from damcli.storage.journal import Journal, read_records
from damcli.storage.tables import reading

FORMAT = "damcli/partial-embeddings"
VERSION = 1
UNKNOWN_FACES = -1
_NAMES_LENGTH = struct.Struct("<I")

Contract = Mapping[str, str]
"""What two runs must have in common to go into one file, such as the model's digest."""


@dataclass(frozen=True)
class Piece:
    """Consecutive embeddings, and what else is kept of their images.

    Attributes
    ----------
    vectors
        (B, D) float32, unit rows.
    norms
        (B,) float32, their lengths before.
    ids, subjects
        B names each; subjects are None where they are not known.
    groups
        Further columns of B names.
    landmarks
        (B, 5, 2) float32, NaN where none were detected.
    faces
        (B,) int32, `UNKNOWN_FACES` where they were not counted.
    """

    vectors: Vectors
    norms: Vectors
    ids: Sequence[str]
    subjects: Sequence[str] | None
    groups: Mapping[str, Sequence[str]]
    landmarks: NDArray[np.float32]
    faces: NDArray[np.int32]


def record_type(dim: int) -> np.dtype[Any]:
    """Return the fixed part of what is kept of one image."""
    return np.dtype(
        [
            ("vector", "<f4", (dim,)),
            ("norm", "<f4"),
            ("landmarks", "<f4", (5, 2)),
            ("faces", "<i4"),
        ]
    )


def partial_path(output: Path, rank: int = 0) -> Path:
    """Return where a process of that rank keeps its part of an output."""
    return output.with_name(f"{output.name}.partial{f'-{rank}' if rank else ''}")


def partials_of(output: Path) -> list[Path]:
    """Find what is kept of an output, in the order of the ranks."""
    name = re.compile(re.escape(output.name) + r"\.partial(?:-(\d+))?")
    if not output.parent.is_dir():
        return []
    found = [(m, path) for path in output.parent.iterdir() if (m := name.fullmatch(path.name))]
    return [path for _, path in sorted(found, key=lambda one: int(one[0][1] or 0))]


class PartialWriter:
    """Keeps pieces in a journal; the file appears with the first one.

    Parameters
    ----------
    path
        The journal.
    contract
        How the embeddings are made.
    """

    def __init__(self, path: Path, contract: Contract) -> None:
        self.path = path
        self._contract = dict(contract)
        self._journal: Journal | None = None
        self._dim: int | None = None

    def append(self, piece: Piece) -> None:
        """Keep a piece; once this returns it outlives the process."""
        dim = piece.vectors.shape[1]
        if self._journal is None:
            header = {"format": FORMAT, "version": VERSION, "dim": dim, "contract": self._contract}
            self._journal = Journal(self.path, header)
            self._dim = dim
        names = {
            "ids": list(piece.ids),
            "subjects": None if piece.subjects is None else list(piece.subjects),
            "groups": {name: list(column) for name, column in piece.groups.items()},
        }
        table = np.empty(len(piece.ids), dtype=record_type(dim))
        table["vector"], table["norm"] = piece.vectors, piece.norms
        table["landmarks"], table["faces"] = piece.landmarks, piece.faces
        text = json.dumps(names).encode()
        self._journal.append(_NAMES_LENGTH.pack(len(text)) + text + table.tobytes())

    def close(self) -> None:
        """Bring everything to the disk."""
        if self._journal is not None:
            self._journal.close()


@dataclass
class PartialFile:
    """What a journal holds: all but the vectors in memory, those read when asked for.

    Parameters
    ----------
    path
        The journal.

    Raises
    ------
    InputError
        It is not one, or of a newer version.
    """

    path: Path
    contract: dict[str, str] = field(default_factory=dict)
    dim: int = 0
    ids: list[str] = field(default_factory=list)
    subjects: list[str] | None = None
    groups: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        header, records = read_records(self.path)
        offsets: list[Rows] = []
        tables: list[NDArray[Any]] = []
        with reading(str(self.path), "is damaged", hint="start over with --force"):
            if header is not None:
                self._check(header)
                for record in records:
                    table, start = self._names(record.payload)
                    rows = np.arange(len(table), dtype=np.int64)
                    offsets.append(record.offset + start + rows * table.dtype.itemsize)
                    tables.append(table[["norm", "landmarks", "faces"]].copy())
        small = record_type(self.dim)[["norm", "landmarks", "faces"]]
        table = np.concatenate(tables) if tables else np.empty(0, dtype=small)
        self.norms: Vectors = table["norm"].astype(np.float32)
        self.landmarks: NDArray[np.float32] = table["landmarks"].astype(np.float32)
        self.faces: NDArray[np.int32] = table["faces"].astype(np.int32)
        self._offsets = np.concatenate(offsets) if offsets else np.empty(0, dtype=np.int64)

    def _check(self, header: Mapping[str, Any]) -> None:
        if header.get("format") != FORMAT or header.get("version") != VERSION:
            raise InputError(
                str(self.path),
                f"{header.get('format')}, version {header.get('version')}; expected {FORMAT}, "
                f"version {VERSION}",
                hint="start over with --force",
            )
        self.contract, self.dim = dict(header["contract"]), int(header["dim"])

    def _names(self, payload: bytes) -> tuple[NDArray[Any], int]:
        """Take the names of a record; return its table and where that begins."""
        start = _NAMES_LENGTH.size + _NAMES_LENGTH.unpack_from(payload)[0]
        names = json.loads(payload[_NAMES_LENGTH.size : start])
        table = np.frombuffer(payload, dtype=record_type(self.dim), offset=start)
        if len(names["ids"]) != len(table):
            raise ValueError(f"{len(names['ids'])} ids for {len(table)} embeddings")
        self.ids += names["ids"]
        if names["subjects"] is not None:
            self.subjects = (self.subjects or []) + names["subjects"]
        for name, column in names["groups"].items():
            self.groups.setdefault(name, []).extend(column)
        return table, start

    def __len__(self) -> int:
        return len(self.ids)

    def stored(self, rows: Rows) -> Vectors:
        """Read the named vectors, in that order."""
        vectors = np.empty((len(rows), self.dim), dtype="<f4")
        with self.path.open("rb") as file:
            for place, offset in enumerate(self._offsets[rows]):
                file.seek(offset)
                vectors[place] = np.frombuffer(file.read(self.dim * 4), dtype="<f4")
        return vectors.astype(np.float32, copy=False)
