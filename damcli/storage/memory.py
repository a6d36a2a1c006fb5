"""Whether what a file claims to hold fits into the memory, asked before it is read whole."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from damcli.errors import InputError

_STREAMED = "damcli convert makes an .h5 of it on a larger machine, which is read piece by piece"
_CGROUP = Path("/sys/fs/cgroup")


def available_memory() -> int:
    """Return the bytes that a process may still take, as far as the system says.

    Swap does not count; a limit of the container does.
    """
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) << 10 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        free = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        limit, used = ((_CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        return min(free, max(0, int(limit) - int(used)))
    except (OSError, ValueError):  # no container, or one without a limit
        return free


def require_memory(needed: int, origin: str, what: str, *, hint: str = _STREAMED) -> None:
    """Refuse to read whole what would not fit.

    Parameters
    ----------
    needed
        Bytes, as the file claims.
    origin
        The file.
    what
        What takes them, in the plural.
    hint
        What to do about it.

    Raises
    ------
    InputError
        They are more than are free.
    """
    free = available_memory()
    if needed > free:
        raise InputError(
            origin,
            f"{what} take {_in_words(needed)} once read, and {_in_words(free)} of memory are "
            "free; expected less",
            hint=f"if the file is what it says: {hint}",
        )


def require_room_for(archive: Any, names: Sequence[str], origin: str) -> None:
    """Refuse an ``.npz`` whose arrays of these names would not fit once decompressed.

    The sizes are the directory's, beyond which no byte of a member is read.
    """
    members = {name.removesuffix(".npy"): name for name in archive.zip.namelist()}
    sizes = [archive.zip.getinfo(members[name]).file_size for name in names if name in members]
    require_memory(sum(sizes), origin, "its arrays")


def _in_words(size: int) -> str:
    units = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
    power = min(int(math.log(max(size, 1), 1000)), len(units) - 1)
    return f"{size / 1000**power:.3g} {units[power]}"
