"""What is there already: journals of an interrupted run, and an output to add to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.sources.landmarks import read_landmarks
from damcli.storage.embeddings import (
    MODEL_DIGEST,
    MODEL_NAME,
    Embeddings,
    Names,
    Rows,
    Vectors,
    as_names,
)
from damcli.storage.files import EmbeddingFile
from damcli.storage.partial import UNKNOWN_FACES, Contract, PartialFile, partials_of
from damcli.storage.space import model_in_words

FILE_TERMS = ("dtype", "columns")
"""Terms of the contract that a finished file shows by what it is."""


class Stored(Protocol):
    """Embeddings in one file: names in memory, vectors read when asked for."""

    ids: Any
    norms: Vectors
    landmarks: NDArray[np.float32]
    faces: NDArray[np.int32]

    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def subjects(self) -> Any: ...  # noqa: D102
    @property
    def groups(self) -> Mapping[str, Any]: ...  # noqa: D102
    def __len__(self) -> int: ...
    def stored(self, rows: Rows) -> Vectors:
        """Read the named vectors as they stand, in that order."""
        ...


class Finished:
    """An output of an earlier run.

    Parameters
    ----------
    path
        The embeddings.
    landmarks
        Where their landmarks stand, if any were detected.
    """

    def __init__(self, path: Path, landmarks: Path) -> None:
        self._file = EmbeddingFile(path)
        self.ids = self._file.ids
        self.subjects = self._file.subjects
        self.groups = self._file.groups
        self.norms = self._file.norms
        self.dim = self._file.dim
        self.faces = np.full(len(self), UNKNOWN_FACES, dtype=np.int32)
        self.landmarks = np.full((len(self), 5, 2), np.nan, dtype=np.float32)
        if landmarks.exists():
            known = read_landmarks(landmarks)
            for row, name in enumerate(self.ids):
                points = known.of(name)
                if points is not None:
                    self.landmarks[row] = points

    def __len__(self) -> int:
        return len(self.ids)

    def contract(self, terms: Sequence[str]) -> dict[str, str]:
        """Return how it was made, as far as it says so."""
        found = {"dtype": self._file.dtype, "columns": columns_of(self.subjects, self.groups)}
        for term in terms:
            if term in self._file.attributes:
                found[term] = str(self._file.attributes[term])
        return found

    def stored(self, rows: Rows) -> Vectors:
        """Read the named vectors as they stand, in that order."""
        return self._file.stored(rows)


def columns_of(subjects: object, groups: Sequence[str] | Mapping[str, Any]) -> str:
    """Name the columns beside the id, for the contract."""
    names = (["subject"] if subjects is not None else []) + [f"group/{name}" for name in groups]
    return ", ".join(names) or "none"


class Kept:
    """Embeddings from several files, as a `damcli.storage.embeddings.EmbeddingSource`.

    Parameters
    ----------
    pieces
        The files.
    origin
        What to call them in messages.

    Attributes
    ----------
    attributes
        How they were made, to record.
    """

    digest = None

    def __init__(self, pieces: Sequence[Stored], origin: str) -> None:
        import pandas as pd

        self._pieces = [piece for piece in pieces if len(piece)]
        self.origin = origin
        self.attributes: dict[str, Any] = {}
        self.ids: Names = self._names("ids")
        with_subjects = self._pieces and self._pieces[0].subjects is not None
        self.subjects = (self._names("subjects") if with_subjects else None) if len(self) else None
        names = self._pieces[0].groups if self._pieces else ()
        self.groups: dict[str, Names] = {
            name: as_names([text for piece in self._pieces for text in piece.groups[name]])
            for name in names
        }
        self.norms: Vectors | None = self._column("norms", np.empty(0, np.float32))
        self.landmarks = self._column("landmarks", np.empty((0, 5, 2), np.float32))
        self.faces = self._column("faces", np.empty(0, np.int32))
        self._starts = np.cumsum([0, *(len(piece) for piece in self._pieces)])
        # An id that two files have is the same vector twice; the first serves.
        index = pd.Index(self.ids, dtype=object)
        self._first = np.flatnonzero(~index.duplicated())
        self._index: Any = index[self._first]

    def _names(self, column: str) -> Names:
        return as_names([text for piece in self._pieces for text in getattr(piece, column)])

    def _column(self, name: str, empty: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([empty, *(getattr(piece, name) for piece in self._pieces)])

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def dim(self) -> int:
        """D, the length of each embedding."""
        return self._pieces[0].dim

    def rows_of(self, ids: Names) -> Rows:
        """Find the row of each id, int64; -1 for one that is not there."""
        if not len(self):
            return np.full(len(ids), -1, dtype=np.int64)
        places: Rows = self._index.get_indexer(ids)
        return np.where(places < 0, -1, self._first[places]).astype(np.int64)

    @property
    def count(self) -> int:
        """How many distinct ids there are."""
        return len(self._first)

    def take(self, rows: Rows | slice) -> Embeddings:
        """Read the named rows, in that order, to the bit as they were stored."""
        wanted = np.arange(len(self), dtype=np.int64)[rows]
        vectors = np.empty((len(wanted), self.dim), dtype=np.float32)
        of_piece = np.searchsorted(self._starts, wanted, "right") - 1
        for number, piece in enumerate(self._pieces):
            places = np.flatnonzero(of_piece == number)
            if len(places):
                vectors[places] = piece.stored(wanted[places] - self._starts[number])
        return Embeddings(
            vectors=vectors,
            ids=self.ids[wanted],
            subjects=None if self.subjects is None else self.subjects[wanted],
            norms=None if self.norms is None else self.norms[wanted],
            groups={name: column[wanted] for name, column in self.groups.items()},
            attributes=self.attributes,
            origin=self.origin,
        )


def open_partials(output: Path, contract: Contract) -> list[PartialFile]:
    """Open the journals of an output, and refuse those of another contract.

    Raises
    ------
    InputError
        A journal is damaged, or was made in another way.
    """
    opened = [PartialFile(path) for path in partials_of(output)]
    for one in opened:
        if one.contract:
            check_contract(str(one.path), one.contract, contract)
    return opened


def check_contract(origin: str, found: Contract, wanted: Contract) -> None:
    """Refuse embeddings that were made in another way.

    Raises
    ------
    InputError
        A term differs; the message says which.
    """
    for term, value in wanted.items():
        if found.get(term) != value and term != MODEL_NAME:
            raise InputError(
                origin,
                f"was made with {_in_words(term, found)}; expected "
                f"{_in_words(term, wanted).removeprefix(f'{term} ')}",
                hint="give the model and the options of that run, or start over with --force",
            )
    for term in found.keys() - wanted.keys() - {MODEL_NAME}:
        raise InputError(
            origin,
            f"was made with {term} {found[term]}; expected none",
            hint="give the model and the options of that run, or start over with --force",
        )


def _in_words(term: str, contract: Contract) -> str:
    if term == MODEL_DIGEST:
        return model_in_words(contract)
    value = contract.get(term, "unknown")
    is_long = term.endswith("_sha256") and len(value) > 12
    return f"{term} {value[:12]}…" if is_long else f"{term} {value}"
