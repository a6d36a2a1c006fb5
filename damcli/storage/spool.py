"""Records kept for a second look: the first in memory, and those beyond in a temporary file."""

from __future__ import annotations

import tempfile
import threading
import weakref
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from damcli.errors import OutputError
from damcli.storage.atomic import is_disk_full

# What all spools of a process hold in memory together.
_MEMORY_BYTES = 512 << 20


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


class _Budget:
    """Memory that is shared by all spools."""

    def __init__(self) -> None:
        self._taken = 0
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        """Tell whether there are so many bytes left, and take them."""
        with self._lock:
            fits = self._taken + size <= _MEMORY_BYTES
            self._taken += size * fits
        return fits

    def give_back(self, held: list[NDArray[Any]]) -> None:
        """Have the bytes of these arrays again."""
        with self._lock:
            self._taken -= sum(part.nbytes for part in held)


_budget = _Budget()


def _is_whole(part: NDArray[Any]) -> bool:
    """Tell whether no more memory is kept alive by an array than it counts for."""
    owner = part if part.base is None else part.base
    return isinstance(owner, np.ndarray) and owner.flags.owndata and owner.nbytes == part.nbytes


class Spool:
    """An append-only list of fixed-size records that is read back in chunks, many times.

    Parameters
    ----------
    dtype
        The type of one record.
    """

    def __init__(self, dtype: DTypeLike) -> None:
        self.dtype = np.dtype(dtype)
        self._held: list[NDArray[Any]] = []
        self._ends: list[int] = []
        self._file = tempfile.SpooledTemporaryFile(max_size=1)  # noqa: SIM115
        weakref.finalize(self, self._file.close)
        weakref.finalize(self, _budget.give_back, self._held)
        self._records = 0

    def __len__(self) -> int:
        return self._records

    def append(self, records: NDArray[Any]) -> None:
        """Add records, as the spool's type; the array may be kept as it is."""
        part = np.ascontiguousarray(records, dtype=self.dtype)
        in_file = self._records > self._held_records
        if not in_file and _budget.take(part.nbytes):
            self._held.append(part if _is_whole(part) else part.copy())
            self._ends.append(self._records + len(part))
        else:
            self._file.seek(0, 2)
            with room_for_temporary_files():
                self._file.write(part.data)
                self._file.flush()
        self._records += len(part)

    def chunks(self, records: int) -> Iterator[NDArray[Any]]:
        """Yield all records in order, at most so many at a time."""
        for start in range(0, self._records, records):
            yield self.read(start, min(records, self._records - start))

    def read(self, start: int, records: int) -> NDArray[Any]:
        """Return so many records from the given one on; they must not be changed."""
        end = start + records
        parts = list(self._in_memory(start, end))
        if end > self._held_records:
            parts.append(self._in_file(max(start, self._held_records), end))
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, self.dtype), *parts])

    @property
    def _held_records(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _in_memory(self, start: int, end: int) -> Iterator[NDArray[Any]]:
        for place in range(bisect_right(self._ends, start), len(self._held)):
            part = self._held[place]
            first = self._ends[place] - len(part)
            if first >= end:
                break
            yield part[max(0, start - first) : end - first]

    def _in_file(self, start: int, end: int) -> NDArray[Any]:
        self._file.seek((start - self._held_records) * self.dtype.itemsize)
        return np.frombuffer(self._file.read((end - start) * self.dtype.itemsize), dtype=self.dtype)
