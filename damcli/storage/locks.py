"""Locks: where they tell a running process from a dead one, and where they only hinder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import IO, Any


def hold(file: IO[bytes] | int) -> bool:
    """Hold an open file or folder until it is closed.

    Returns
    -------
    bool
        False where the system or the file system knows no locks.

    Raises
    ------
    BlockingIOError
        Another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows has other locks
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return False
    return True


def holder(file: IO[bytes] | int) -> int | None:
    """Return which process holds a file, where the system tells: Linux does."""
    there = os.fstat(file if isinstance(file, int) else file.fileno())
    device = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}:{there.st_ino}"
    with suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            words = line.split()
            if words[1] == "FLOCK" and words[5] == device and int(words[4]) > 0:
                return int(words[4])
    return None


def open_for_reading(path: Path) -> Any:
    """Open an HDF5 file without a lock, which a network file system may lack.

    None is needed: files of damcli are replaced as a whole, and never changed.

    Raises
    ------
    OSError
        It is no HDF5 file, or cannot be opened.
    InputError
        Reading it would never end.
    """
    import h5py

    from damcli.storage.heaps import check_heaps

    file = h5py.File(path, "r", locking=False)
    try:
        check_heaps(file, path)
    except BaseException:
        file.close()
        raise
    return file
