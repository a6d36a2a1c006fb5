"""Embeddings in memory: unit rows with their ids, subjects and how they were made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.storage.digests import file_digest
from damcli.storage.unit import check_table, unit_rows

Vectors = NDArray[np.float32]
Names = NDArray[np.object_]
Rows = NDArray[np.int64]

ROW_NUMBER_IDS = "ids_are_row_numbers"
MODEL_DIGEST = "model_sha256"
MODEL_NAME = "model_name"
POOLED = "pooled"  # stands in files of templates: how their images became one vector
BLOCK_ROWS = 16_384


class EmbeddingSource(Protocol):
    """What embeddings in memory and embeddings in a file have in common."""

    @property
    def ids(self) -> Names: ...  # noqa: D102
    @property
    def subjects(self) -> Names | None: ...  # noqa: D102
    @property
    def norms(self) -> Vectors | None: ...  # noqa: D102
    @property
    def groups(self) -> Mapping[str, Names]: ...  # noqa: D102
    @property
    def attributes(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def digest(self) -> str | None: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    def __len__(self) -> int: ...
    def take(self, rows: Rows | slice) -> Embeddings:
        """Return the named rows, in that order, checked and of unit length."""
        ...


@dataclass(frozen=True, eq=False)
class Embeddings:
    """N embeddings of dimension D, as rows of unit length.

    Use `Embeddings.from_arrays` to make them from raw network outputs.

    Attributes
    ----------
    vectors
        (N, D) float32, each row of Euclidean length 1.
    ids
        (N,) str, unique.
    subjects
        (N,) str, who the sample shows, or None where that is not known.
    norms
        (N,) float32, the length of each row before it was divided out, > 0; or None.
    groups
        Further columns of N str each, by name.
    attributes
        How the embeddings were made: model name and digest, preprocessing, command.
    origin
        The file they come from, for messages.
    path
        That file where there is one.
    """

    vectors: Vectors
    ids: Names
    subjects: Names | None = None
    norms: Vectors | None = None
    groups: Mapping[str, Names] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "embeddings"
    path: Path | None = None

    @classmethod
    def from_arrays(
        cls,
        vectors: NDArray[Any],
        ids: Sequence[str] | NDArray[Any] | None = None,
        subjects: Sequence[str] | NDArray[Any] | None = None,
        *,
        attributes: Mapping[str, Any] | None = None,
        origin: str = "embeddings",
    ) -> Self:
        """Make embeddings from raw vectors: check them and divide out their length.

        Parameters
        ----------
        vectors
            (N, D) of any float type.
        ids
            N unique names; row numbers where omitted.
        subjects
            N names of the people shown.
        attributes
            How the vectors were made.
        origin
            What to call them in messages.

        Raises
        ------
        InputError
            The shape is wrong, an id is empty or stands twice, or a row is zero or not
            finite.
        """
        table = np.asarray(vectors)
        check_table(table, origin)
        known = dict(attributes or {})
        if ids is None:
            known[ROW_NUMBER_IDS] = True
        names = as_names(range(len(table))) if ids is None else named(ids, "id", origin)
        people = None if subjects is None else named(subjects, "subject", origin)
        for what, column in (("ids", names), ("subjects", people)):
            if column is not None and len(column) != len(table):
                raise InputError(origin, f"{len(column)} {what} for {len(table)} vectors")
        check_unique(names, origin)
        unit, norms = unit_rows(table, origin, names)
        return cls(unit, names, people, norms, attributes=known, origin=origin)

    def __len__(self) -> int:
        return len(self.vectors)

    @property
    def dim(self) -> int:
        """D, the length of each embedding."""
        return int(self.vectors.shape[1])

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of the file they were read from, or None."""
        return None if self.path is None else file_digest(self.path)

    def rows_of(self, ids: NDArray[Any]) -> Rows:
        """Find the row of each id, a str, as int64; -1 for one that is not there.

        The ids of all embeddings are gone through each time, so ask for many at once.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        places = pc.index_in(
            pa.array(np.asarray(ids, dtype=object), pa.string()), value_set=self.id_texts
        )
        return np.asarray(places.fill_null(-1), dtype=np.int64)

    @cached_property
    def id_texts(self) -> Any:
        """The ids as an Arrow array, of which any number are taken at once."""
        import pyarrow as pa

        return pa.array(self.ids, pa.string())

    @cached_property
    def subject_texts(self) -> Any:
        """The subjects as an Arrow array."""
        import pyarrow as pa

        return pa.array(self.subjects, pa.string())

    def take(self, rows: Rows | slice) -> Embeddings:
        """Return the named rows, in that order."""
        return Embeddings(
            vectors=self.vectors[rows],
            ids=self.ids[rows],
            subjects=None if self.subjects is None else self.subjects[rows],
            norms=None if self.norms is None else self.norms[rows],
            groups={name: column[rows] for name, column in self.groups.items()},
            attributes=self.attributes,
            origin=self.origin,
            path=self.path,
        )


def as_names(values: Sequence[Any] | NDArray[Any]) -> Names:
    """Turn any column into (N,) str objects."""
    column = np.empty(len(values), dtype=object)
    column[:] = [v.decode() if isinstance(v, bytes) else str(v) for v in values]
    return column


def named(values: Sequence[Any] | NDArray[Any], what: str, origin: str) -> Names:
    """Turn ids or subjects into (N,) str objects, each of which names something.

    Empty, missing and fractional values are refused: they would make one person of all
    the rows whose subject is unknown.
    """
    if isinstance(values, np.ndarray) and (values.ndim != 1 or values.dtype.kind not in "OSTUiu"):
        raise InputError(
            origin,
            f"{what} column of type {values.dtype} and shape {values.shape}; expected one text "
            "or whole number a row",
        )
    column = np.empty(len(values), dtype=object)
    for place, value in enumerate(values):
        try:
            column[place] = _name(value)
        except ValueError as error:
            fault = "is not UTF-8" if isinstance(error, UnicodeError) else error
            value = value.item() if isinstance(value, np.generic) else value
            raise InputError(
                origin,
                f"{what} {value!a} {fault}; expected text or a whole number",
                row=place + 1,
                hint=f"give every row its {what}"
                + ("" if what == "id" else ", or leave the column out"),
            ) from error
    return column


def _name(value: Any) -> str:
    if isinstance(value, bytes | str):
        name = str(value, "utf-8") if isinstance(value, bytes) else str(value)
        if not name:
            raise ValueError("is empty")
        if "\0" in name:  # HDF5 would cut the text there
            raise ValueError("holds a NUL character")
        if not name.isascii():
            name.encode()  # file names of other encodings come as lone surrogates
        return name
    if isinstance(value, int | np.integer) and not isinstance(value, bool):
        return str(int(value))
    raise ValueError(f"is of type {type(value).__name__}")


def check_unique(ids: Names, origin: str) -> None:
    """Raise on the first id that stands in two rows, naming both."""
    import pandas as pd

    repeated = pd.Index(ids, dtype=object).duplicated()
    if not repeated.any():
        return
    second = int(np.flatnonzero(repeated)[0])
    first = int(np.flatnonzero(ids == ids[second])[0])
    raise InputError(
        origin,
        f"id '{ids[second]}' was already given to row {first + 1}; expected each id once "
        f"({int(repeated.sum())} rows repeat an id)",
        row=second + 1,
        hint="give the samples distinct ids, or keep the first of each: "
        "damcli convert IN -o OUT --drop-duplicates",
    )


def subject_codes(probes: Names, references: Names) -> tuple[Rows, Rows, int]:
    """Give the subjects of two sides numbers, in the order of their names.

    Returns
    -------
    probe_codes, reference_codes : ndarray
        (N,) and (M,) int64, equal where the subject is.
    count : int
        How many subjects there are.
    """
    names, codes = np.unique(np.concatenate([probes, references]).astype(str), return_inverse=True)
    split = len(probes)
    return codes[:split].astype(np.int64), codes[split:].astype(np.int64), len(names)
