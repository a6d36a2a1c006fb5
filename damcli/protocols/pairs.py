"""Pair lists: ``probe_id,reference_id[,label[,fold, group…]]`` and speaker trials."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.protocols.batches import TextTable
from damcli.protocols.columns import LABELS, Layout, bad_label, layout_of, refuse_fractions
from damcli.protocols.csv_batches import Batch


@dataclass(frozen=True)
class Coded:
    """A column of few different strings: ``names[codes]``."""

    codes: NDArray[np.int64]
    names: NDArray[np.object_]

    @property
    def values(self) -> NDArray[np.object_]:
        """The column itself."""
        return self.names[self.codes]


@dataclass(frozen=True)
class PairChunk:
    """Consecutive pairs of a list.

    Attributes
    ----------
    lines
        The line of its file that each pair stands on, for messages.
    probes, references
        The ids.
    labels
        int8, 1 genuine, 0 impostor; or None.
    folds, groups
        Further columns.
    """

    lines: Sequence[int]
    probes: Coded
    references: Coded
    labels: NDArray[np.int8] | None
    folds: Coded | None
    groups: Mapping[str, Coded]

    def __len__(self) -> int:
        return len(self.probes.codes)


class PairSource(Protocol):
    """Pairs that are read as a stream, as often as needed."""

    @property
    def origin(self) -> str:
        """What to call them in messages."""
        ...

    @property
    def labelled(self) -> bool: ...  # noqa: D102
    @property
    def has_folds(self) -> bool: ...  # noqa: D102
    @property
    def group_names(self) -> tuple[str, ...]: ...  # noqa: D102
    def chunks(self) -> Iterator[PairChunk]:
        """Yield the pairs in order."""
        ...


class PairList:
    """Pairs in a file, read as a stream, as often as needed.

    Parameters
    ----------
    path
        CSV (header optional), tab-separated, VoxCeleb trials (``1|0 a b``) or Kaldi trials
        (``a b target|nontarget``), plain or ``.gz``/``.zst``/``.bz2``; Parquet; ``-`` for stdin.

    Raises
    ------
    InputError
        The file is missing or empty, or has fewer than two columns.
    """

    def __init__(self, path: Path | str) -> None:
        self._table = TextTable(str(path))
        self.origin = self._table.origin
        self._layout = layout_of(self._table.first, self.origin)
        if self._table.is_parquet and not self._layout.header:
            raise InputError(
                self.origin,
                f"columns {', '.join(self._table.first)}; expected probe_id and reference_id",
                hint="rename the columns",
            )
        refuse_fractions(
            self._table.schema, (self._layout.probe, self._layout.reference), self.origin
        )

    @property
    def labelled(self) -> bool:
        """Whether the pairs carry labels."""
        return self._layout.label is not None

    @property
    def has_folds(self) -> bool:
        """Whether the pairs carry folds."""
        return self._layout.fold is not None

    @property
    def group_names(self) -> tuple[str, ...]:
        """The further columns."""
        return tuple(self._layout.groups)

    def chunks(self) -> Iterator[PairChunk]:
        """Yield the pairs in order.

        Raises
        ------
        InputError
            A row has too few or too many columns, an empty id, or a label that is
            neither 1 nor 0; or there is no row at all.
        """
        layout, empty = self._layout, True
        places = (layout.probe, layout.reference, layout.label)
        coded = {layout.names[place] for place in places if place is not None}
        for batch in self._table.batches(layout.names, skip_first=layout.header, coded=coded):
            if len(batch):
                empty = False
                yield _chunk(batch, layout, self.origin)
        if empty:
            raise InputError(self.origin, "holds a header but no pairs; expected some below it")


def _chunk(batch: Batch, layout: Layout, origin: str) -> PairChunk:
    probes, references = (_ids(batch, place, origin) for place in (layout.probe, layout.reference))
    labels = None if layout.label is None else labels_of(batch, layout.label, origin)
    return PairChunk(
        lines=batch.lines,
        probes=probes,
        references=references,
        labels=labels,
        folds=None if layout.fold is None else coded(batch.column(layout.fold)),
        groups={name: coded(batch.column(place)) for name, place in layout.groups.items()},
    )


def coded(column: Any) -> Coded:
    """Encode an Arrow column of strings; nulls become empty strings."""
    import pyarrow as pa

    if column.null_count:
        column = column.cast(pa.string()).fill_null("")
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    return Coded(
        encoded.indices.to_numpy(zero_copy_only=False).astype(np.int64),
        encoded.dictionary.to_numpy(zero_copy_only=False),
    )


def _ids(batch: Batch, place: int, origin: str) -> Coded:
    ids = coded(batch.column(place))
    empty = ids.names == ""
    if empty.any() and len(at := np.flatnonzero(empty[ids.codes])):
        raise InputError(origin, "an empty id; expected two ids", row=batch.lines[int(at[0])])
    return ids


def labels_of(batch: Batch, place: int, origin: str) -> NDArray[np.int8]:
    """Read a column of labels; int8, 1 or 0."""
    cells = coded(batch.column(place))
    values = np.array([LABELS.get(name.strip().lower(), -1) for name in cells.names], dtype=np.int8)
    labels = values[cells.codes]
    wrong = np.flatnonzero(labels < 0)
    if len(wrong):
        at = int(wrong[0])
        raise bad_label(origin, str(cells.values[at]), batch.lines[at])
    return np.asarray(labels, dtype=np.int8)


def read_pairs(path: Path | str) -> PairList:
    """Open a pair list; see `PairList`."""
    return PairList(path)
