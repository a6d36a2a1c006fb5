"""Records kept for a second look: in memory while they are few, in a temporary file after."""

from __future__ import annotations

import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from damcli.errors import OutputError
from damcli.storage.atomic import is_disk_full

_MEMORY_BYTES = 64 << 20


@contextmanager
def room_for_temporary_files() -> Iterator[None]:
    """Say where it is that a temporary file found no room: it is not the output's fault."""
    try:
        yield
    except OSError as error:
        if not is_disk_full(error):
            raise
        raise OutputError(
            f"{tempfile.gettempdir()}: no room left for temporary files",
            hint="free some space there, or name another folder: TMPDIR=FOLDER damcli ...",
        ) from error


class Spool:
    """An append-only list of fixed-size records that is read back in chunks, many times.

    Parameters
    ----------
    dtype
        The type of one record.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._file = tempfile.SpooledTemporaryFile(max_size=_MEMORY_BYTES)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        self._records = 0

    def __len__(self) -> int:
        return self._records

    def append(self, records: NDArray[Any]) -> None:
        """Add records, as the spool's type."""
        self._file.seek(0, 2)
        with room_for_temporary_files():
            self._file.write(np.ascontiguousarray(records, dtype=self.dtype).data)
            self._file.flush()
        self._records += len(records)

    def chunks(self, records: int) -> Iterator[NDArray[Any]]:
        """Yield all records in order, at most so many at a time."""
        for start in range(0, self._records, records):
            yield self.read(start, min(records, self._records - start))

    def read(self, start: int, records: int) -> NDArray[Any]:
        """Return so many records from the given one on."""
        self._file.seek(start * self.dtype.itemsize)
        return np.frombuffer(self._file.read(records * self.dtype.itemsize), dtype=self.dtype)
