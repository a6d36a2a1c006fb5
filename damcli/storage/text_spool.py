"""Columns of text kept for a second look, in a temporary file: memory does not grow with them."""

from __future__ import annotations

import tempfile
import weakref
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.storage.spool import room_for_temporary_files

_MEMORY_BYTES = 64 << 20
Texts = NDArray[np.object_]


class TextSpool:
    """An append-only table of strings that is read back in pieces, many times.

    Parameters
    ----------
    names
        Of the columns.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._first_rows: list[int] = []
        self._offsets: list[int] = [0]
        self._rows = 0

    def append(self, columns: Mapping[str, Any]) -> None:
        """Add rows: an Arrow array of strings for each column."""
        import pyarrow as pa

        batch = pa.record_batch([columns[name] for name in self._names], schema=self._schema())
        if not len(batch):
            return
        data = batch.serialize()
        self._file.seek(self._offsets[-1])
        with room_for_temporary_files():
            self._file.write(data)
            self._file.flush()
        self._first_rows.append(self._rows)
        self._offsets.append(self._offsets[-1] + len(data))
        self._rows += len(batch)

    def read(self, start: int, count: int) -> dict[str, Texts]:
        """Return so many rows from the given one on, by column."""
        import pyarrow as pa

        pieces, end = [], start + count
        place = bisect_right(self._first_rows, start) - 1
        while count and place < len(self._first_rows) and self._first_rows[place] < end:
            first = self._first_rows[place]
            low = max(start - first, 0)
            pieces.append(self._batch(place).slice(low, end - first - low))
            place += 1
        table = pa.Table.from_batches(pieces, schema=self._schema())
        return {name: table.column(name).to_numpy() for name in self._names}

    def _schema(self) -> Any:
        import pyarrow as pa

        return pa.schema([(name, pa.string()) for name in self._names])

    def _batch(self, place: int) -> Any:
        import pyarrow as pa

        self._file.seek(self._offsets[place])
        data = self._file.read(self._offsets[place + 1] - self._offsets[place])
        return pa.ipc.read_record_batch(pa.py_buffer(data), self._schema())
