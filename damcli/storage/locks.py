"""Locks: where they tell a running process from a dead one, and where they only hinder."""

from __future__ import annotations

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


def open_for_reading(path: Path) -> Any:
    """Open an HDF5 file without a lock, which a network file system may lack.

    None is needed: files of damcli are replaced as a whole, and never changed.
    """
    import h5py

    return h5py.File(path, "r", locking=False)
