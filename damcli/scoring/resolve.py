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

Progress = Callable[[int], None]
_UNLABELLED = -1


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


@dataclass
class ResolvedPairs:
    """The pairs of a list, as rows; kept in a temporary file where they are many.

    Attributes
    ----------
    missing
        The pairs that were left out because an id has no embedding.
    """

    origin: str
    labelled: bool
    has_folds: bool
    group_names: tuple[str, ...]
    missing: list[Missing] = field(default_factory=list)
    read: int = 0
    genuine_count: int = 0

    def __post_init__(self) -> None:
        """Make room for the columns that the list has."""
        columns = [("probe", np.int32), ("reference", np.int32), ("label", np.int8)]
        columns += [("fold", np.int32)] * self.has_folds
        self._spool = Spool(columns)
        self._folds = _Names()
        self._groups = TextSpool(self.group_names) if self.group_names else None

    def __len__(self) -> int:
        return len(self._spool)

    def append(self, pairs: PairChunk, probe_rows: Rows, reference_rows: Rows) -> None:
        """Add the pairs of which both rows are known."""
        known = (probe_rows >= 0) & (reference_rows >= 0)
        records = np.empty(len(pairs), dtype=self._spool.dtype)
        records["probe"], records["reference"] = probe_rows, reference_rows
        records["label"] = _UNLABELLED if pairs.labels is None else pairs.labels
        if pairs.folds is not None:
            records["fold"] = self._folds.encode(pairs.folds)
        if self._groups is not None:
            self._groups.append({name: _texts(pairs.groups[name], known) for name in pairs.groups})
        self._spool.append(records[known])
        self.read += len(pairs)
        self.genuine_count += int((records["label"][known] == 1).sum())

    def chunks(self, pairs: int) -> Iterator[RowPairs]:
        """Yield all pairs in order, at most so many at a time."""
        start = 0
        for records in self._spool.chunks(pairs):
            groups = {} if self._groups is None else self._groups.read(start, len(records))
            start += len(records)
            yield RowPairs(
                records["probe"].astype(np.int64),
                records["reference"].astype(np.int64),
                records["label"] if self.labelled else None,
                records["fold"] if self.has_folds else None,
                groups,
            )

    @property
    def fold_names(self) -> NDArray[np.object_]:
        """The folds by their number."""
        return self._folds.values


def _texts(column: Coded, known: NDArray[np.bool_]) -> Any:
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
    for chunk in ahead(pairs.chunks()):
        probe_rows = probes.rows_of(chunk.probes.names)[chunk.probes.codes]
        reference_rows = references.rows_of(chunk.references.names)[chunk.references.codes]
        missing = _missing(chunk, probe_rows, reference_rows)
        if missing and not skip_missing:
            raise _unknown(missing[0], pairs, probes, references)
        resolved.missing += missing
        resolved.append(chunk, probe_rows, reference_rows)
        if progress is not None:
            progress(len(chunk))
    if not len(resolved):
        raise InputError(
            pairs.origin,
            f"none of its {resolved.read} pairs has both embeddings in {probes.origin}",
            hint=f"it asks for ids such as '{resolved.missing[0].missing_id}'; "
            f"the embeddings have ids such as '{probes.ids[0]}'",
        )
    return resolved


def _missing(chunk: PairChunk, probe_rows: Rows, reference_rows: Rows) -> list[Missing]:
    places = np.flatnonzero((probe_rows < 0) | (reference_rows < 0))
    sides = (chunk.probes, chunk.references)
    found = []
    for place in places:
        probe, reference = (str(side.names[side.codes[place]]) for side in sides)
        unknown = probe if probe_rows[place] < 0 else reference
        found.append(Missing(chunk.lines[int(place)], probe, reference, unknown))
    return found


def _unknown(
    missing: Missing, pairs: PairSource, probes: Embeddings, references: Embeddings
) -> InputError:
    side = probes if missing.missing_id == missing.probe_id else references
    return InputError(
        pairs.origin,
        f"id '{missing.missing_id}' has no embedding in {side.origin}",
        row=missing.row,
        hint=f"its ids look like '{side.ids[0]}'; leave such pairs out, counted and named, "
        "with --skip-missing",
    )
