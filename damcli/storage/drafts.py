"""HDF5 files that appear whole or not at all, even where the disk fills up under them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from damcli.storage.atomic import atomic_output


class DraftFile(h5py.File):  # type: ignore[misc]
    """An HDF5 file in the making, on a disk that may be full already."""

    def __init__(self, draft: _Draft) -> None:
        super().__init__(draft, "w")
        self._draft = draft

    def check(self) -> None:
        """Raise the fault of an earlier write, so that no more is written in vain."""
        if self._draft.fault is not None:
            raise self._draft.fault


@contextmanager
def hdf5_output(target: Path, *, force: bool = False, private: bool = False) -> Iterator[DraftFile]:
    """Give a new HDF5 file, and rename it to the target when the block ends well.

    Parameters
    ----------
    target, force, private
        As of `damcli.storage.atomic.atomic_output`.

    Yields
    ------
    DraftFile
        Open for writing; it is closed here. A long loop calls its `check` now and then.

    Raises
    ------
    OutputError
        As `damcli.storage.atomic.atomic_output`.
    """
    with (
        atomic_output(target, force=force, private=private) as path,
        _Draft(path, "w+b") as draft,
    ):
        try:
            with DraftFile(draft) as file:
                yield file
        finally:
            # What HDF5 says after a failed write is only its consequence.
            if draft.fault is not None:
                raise draft.fault


class _Draft(io.FileIO):
    """A file that keeps its fault to itself, and from then on lives in memory alone.

    A write that fails leaves HDF5 unable to close the file: it keeps what it could not
    write, tries again when Python ends, and crashes there. So it never hears of a fault;
    what it wants to read again, it finds.
    """

    fault: OSError | None = None

    def __init__(self, path: Path, mode: str) -> None:
        super().__init__(path, mode)
        self._beyond: dict[int, bytes] = {}

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        place, done = self.tell(), 0
        while self.fault is None and done < len(view):
            try:
                done += super().write(view[done:])
            except OSError as error:
                self.fault = error
        if self.fault is not None:
            self._beyond[place] = bytes(view)
            self.seek(place + len(view))
        return len(view)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        place = self.tell()
        super().readinto(view)
        for start, data in self._beyond.items():
            low, high = max(place, start), min(place + len(view), start + len(data))
            if low < high:
                view[low - place : high - place] = data[low - start : high - start]
        self.seek(place + len(view))
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.fault is None else size or 0
        except OSError as error:
            self.fault = error
            return size or 0
