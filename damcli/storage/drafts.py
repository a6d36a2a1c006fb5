"""HDF5 files that appear whole or not at all, even where the disk fills up under them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from damcli.storage.atomic import atomic_output


@contextmanager
def hdf5_output(target: Path, *, force: bool = False) -> Iterator[Any]:
    """Give a new HDF5 file, and rename it to the target when the block ends well.

    Parameters
    ----------
    target
        Where the file shall appear.
    force
        Replace a file that stands there already.

    Yields
    ------
    h5py.File
        Open for writing; it is closed here.

    Raises
    ------
    OutputError
        As `damcli.storage.atomic.atomic_output`.
    """
    with atomic_output(target, force=force) as path, _Draft(path, "w+b") as draft:
        try:
            with h5py.File(draft, "w") as file:
                yield file
        finally:
            # What HDF5 says after a failed write is only its consequence.
            if draft.fault is not None:
                raise draft.fault


class _Draft(io.FileIO):
    """A file that fails once, and from then on only pretends to write.

    HDF5 writes what it has kept back when a file is closed. Where that fails too, it
    never lets go of the file, and prints its complaint when Python ends.
    """

    fault: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while self.fault is None and done < len(view):
            try:
                done += super().write(view[done:])
            except OSError as error:
                self.fault = error
                raise
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size) if self.fault is None else size or 0
        except OSError as error:
            self.fault = error
            raise
