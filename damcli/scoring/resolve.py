"""Ids of a pair list to rows of the embeddings, naming every id that is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.protocols.pairs import Coded, PairChunk, PairSource
from damcli.storage.ahead import ahead
from damcli.storage.embeddings import Embeddings, Rows
from damcli.storage.spool import Spool
from damcli.storage.text_spool import TextSpool
from damcli.threads import in_order

Progress = Callable[[int], None]
Known = NDArray[np.bool_] | slice
_ALL = slice(None)


class RowPairs(NamedTuple):
    """Consecutive pairs as rows of the embeddings."""

    probe_rows: Rows
    reference_rows: Rows
    labels: NDArray[np.int8] | None
    folds: NDArray[np.int32] | None
    groups: dict[str, NDArray[np.object_]]


class Missing(NamedTuple):
    """A pair that cannot be scored."""

    row: int
    probe_id: str
    reference_id: str
    missing_id: str


class _Names:
    """Numbers for the strings of a column, given as they come."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def encode(self, column: Coded) -> NDArray[np.int32]:
        numbers = [self._numbers.setdefault(n, len(self._numbers)) for n in column.names]
        return np.array(numbers, dtype=np.int32)[column.codes]

    @property
    def values(self) -> NDArray[np.object_]:
        return np.array(list(self._numbers), dtype=object)


class _Found(NamedTuple):
    """The rows of consecutive pairs, -1 where an id has none."""

    probe_rows: NDArray[np.int32]
    reference_rows: NDArray[np.int32]
    known: Known
    """Which pairs have both."""


@dataclass
class ResolvedPairs:
    """The pairs of a list, as rows; kept in a temporary file where they are many.

    Attributes
    ----------
    missing
        The pairs that were left out because an id has no embedding.
    alike, first_alike
        How many pairs are of an embedding with itself, and the line of the first.
    """

    origin: str
    labelled: bool
    has_folds: bool
    group_names: tuple[str, ...]
    missing: list[Missing] = field(default_factory=list)
    read: int = 0
    genuine_count: int = 0
    alike: int = 0
    first_alike: int | None = None

    def __post_init__(self) -> None:
        """Make room for the columns that the list has."""
        self._probes, self._references = Spool(np.int32), Spool(np.int32)
        self._labels = Spool(np.int8) if self.labelled else None
        self._fold_numbers = Spool(np.int32) if self.has_folds else None
        self._folds = _Names()
        self._groups = TextSpool(self.group_names) if self.group_names else None

    def __len__(self) -> int:
        return len(self._probes)

    def append(self, pairs: PairChunk, found: _Found) -> None:
        """Add the pairs of which both rows are known."""
        known = found.known
        self._probes.append(found.probe_rows[known])
        self._references.append(found.reference_rows[known])
        if self._labels is not None:
            assert pairs.labels is not None
            labels = pairs.labels[known]
            self._labels.append(labels)
            self.genuine_count += int(np.count_nonzero(labels == 1))
        if self._fold_numbers is not None:
            assert pairs.folds is not None
            self._fold_numbers.append(self._folds.encode(pairs.folds)[known])
        if self._groups is not None:
            self._groups.append({name: _texts(pairs.groups[name], known) for name in pairs.groups})
        self.read += len(pairs)

    def note_alike(self, pairs: PairChunk, found: _Found) -> None:
        """Count the pairs of an embedding with itself; both rows are of one table."""
        alike = np.flatnonzero((found.probe_rows == found.reference_rows) & (found.probe_rows >= 0))
        if len(alike) and self.first_alike is None:
            self.first_alike = int(pairs.lines[int(alike[0])])
        self.alike += len(alike)

    def chunks(self, pairs: int) -> Iterator[RowPairs]:
        """Yield all pairs in order, at most so many at a time."""
        for start in range(0, len(self), pairs):
            count = min(pairs, len(self) - start)
            yield RowPairs(
                self._probes.read(start, count).astype(np.int64),
                self._references.read(start, count).astype(np.int64),
                None if self._labels is None else self._labels.read(start, count),
                None if self._fold_numbers is None else self._fold_numbers.read(start, count),
                {} if self._groups is None else self._groups.read(start, count),
            )

    @property
    def fold_names(self) -> NDArray[np.object_]:
        """The folds by their number."""
        return self._folds.values


def _texts(column: Coded, known: Known) -> Any:
    """Return the wanted cells of a column as Arrow strings."""
    import pyarrow as pa

    codes = pa.array(column.codes[known])
    return pa.DictionaryArray.from_arrays(codes, pa.array(column.names)).cast(pa.string())


def resolve(
    pairs: PairSource,
    probes: Embeddings,
    references: Embeddings,
    *,
    skip_missing: bool = False,
    progress: Progress | None = None,
) -> ResolvedPairs:
    """Find the rows of all pairs.

    Parameters
    ----------
    pairs
        The list.
    probes, references
        Where the first and the second id of each pair stand.
    skip_missing
        Leave out pairs with an unknown id, and remember them; otherwise that is an error.
    progress
        Called with the number of pairs read since the last call.

    Raises
    ------
    InputError
        An id is unknown, or none is known.
    """
    resolved = ResolvedPairs(pairs.origin, pairs.labelled, pairs.has_folds, pairs.group_names)
    for chunk, found in ahead(_with_rows(ahead(pairs.chunks()), probes, references)):
        missing = _missing(chunk, found)
        if missing and not skip_missing:
            raise _unknown(missing[0], pairs, probes, references)
        resolved.missing += missing
        resolved.append(chunk, found)
        if probes is references:
            resolved.note_alike(chunk, found)
        if progress is not None:
            progress(len(chunk))
    if not len(resolved):
        raise _none_known(resolved, probes, references)
    return resolved


def _with_rows(
    chunks: Iterator[PairChunk], probes: Embeddings, references: Embeddings
) -> Iterator[tuple[PairChunk, _Found]]:
    """Find the rows of each chunk's pairs; of a large table, those of several chunks at once."""
    for some in _together(chunks, max(len(probes), len(references))):
        columns = [chunk.probes for chunk in some], [chunk.references for chunk in some]
        sides = in_order(lambda side: _rows(*side), zip(columns, (probes, references), strict=True))
        for chunk, mine, theirs in zip(some, *sides, strict=True):
            known = (mine >= 0) & (theirs >= 0)
            yield chunk, _Found(mine, theirs, _ALL if known.all() else known)


def _together(chunks: Iterator[PairChunk], least: int) -> Iterator[list[PairChunk]]:
    """Yield consecutive chunks that make up so many pairs."""
    some, pairs = list[PairChunk](), 0
    for chunk in chunks:
        some.append(chunk)
        pairs += len(chunk)
        if pairs >= least:
            yield some
            some, pairs = [], 0
    if some:
        yield some


def _rows(columns: list[Coded], table: Embeddings) -> list[NDArray[np.int32]]:
    """Return the rows of a column's cells, -1 where there is none."""
    of_names = table.rows_of(np.concatenate([column.names for column in columns])).astype(np.int32)
    ends = np.cumsum([len(column.names) for column in columns])
    parts = np.split(of_names, ends[:-1])
    return [rows[column.codes] for rows, column in zip(parts, columns, strict=True)]


def _missing(chunk: PairChunk, rows: _Found) -> list[Missing]:
    if isinstance(rows.known, slice):
        return []
    sides = (chunk.probes, chunk.references)
    found = []
    for place in np.flatnonzero(~rows.known):
        probe, reference = (str(side.names[side.codes[place]]) for side in sides)
        unknown = probe if rows.probe_rows[place] < 0 else reference
        found.append(Missing(chunk.lines[int(place)], probe, reference, unknown))
    return found


def _unknown(
    missing: Missing, pairs: PairSource, probes: Embeddings, references: Embeddings
) -> InputError:
    side = _lacking(missing, probes, references)
    return InputError(
        pairs.origin,
        f"id '{missing.missing_id}' has no embedding in {side.origin}",
        row=missing.row,
        hint=f"its ids look like '{side.ids[0]}'; leave such pairs out, counted and named, "
        "with --skip-missing",
    )


def _none_known(resolved: ResolvedPairs, probes: Embeddings, references: Embeddings) -> InputError:
    first = resolved.missing[0]
    side = _lacking(first, probes, references)
    where = " and ".join(dict.fromkeys([probes.origin, references.origin]))
    return InputError(
        resolved.origin,
        f"none of its {resolved.read} pairs has both embeddings in {where}",
        hint=f"it asks for ids such as '{first.missing_id}'; {side.origin} has ids such as "
        f"'{side.ids[0]}'",
    )


def _lacking(missing: Missing, probes: Embeddings, references: Embeddings) -> Embeddings:
    """Tell which side a pair's missing id is missing from."""
    found = probes.rows_of(np.array([missing.probe_id], dtype=object))
    return probes if found[0] < 0 else references
