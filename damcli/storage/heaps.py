"""The heaps of an HDF5 file, in which its texts lie, looked at before libhdf5 reads them.

libhdf5 walks from text to text by the lengths that they claim. Where one is 0, as in a page that
was lost, releases up to 2.0 at least walk on the spot for ever, and no signal reaches the process.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError

_START = b"GCOL\x01\0\0\0"
_HEADER = 16
# What h5py makes of damage; whoever reads the file says so.
_DAMAGED = (KeyError, OSError, RuntimeError, TypeError, ValueError)
# Texts are numbered in 16 bits.
_MOST_TEXTS = 2**16


def check_heaps(file: Any, path: Path) -> None:
    """Raise where libhdf5 would not come to the end of a heap.

    The numbers of datasets at the root hold no heaps, and are not read.

    Raises
    ------
    InputError
        A text in a heap claims a length that leads nowhere.
    """
    width = min(8, file.id.get_create_plist().get_sizes()[1])
    with path.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
        starts = [at for low, high in _gaps(file, len(content)) for at in _find(content, low, high)]
        stuck = _first_stuck(np.frombuffer(content, np.uint8), np.array(starts, np.int64), width)
    if stuck is not None:
        raise InputError(
            str(path),
            f"a damaged HDF5 file (its texts from byte {stuck} on cannot be told apart)",
            hint="copy or make it anew",
        )


def _find(content: mmap.mmap, low: int, high: int) -> Iterator[int]:
    at = content.find(_START, low, high)
    while at >= 0:
        yield at
        at = content.find(_START, at + 1, high)


def _gaps(file: Any, size: int) -> Iterator[tuple[int, int]]:
    """Yield from where to where there is something else than numbers."""
    low = 0
    for start, length in sorted(_numbers(file)):
        yield low, start
        low = max(low, start + length)
    yield low, size


def _numbers(file: Any) -> Iterator[tuple[int, int]]:
    """Yield where the numbers of each dataset begin, and how many bytes they take."""
    names: list[str] = []
    with suppress(*_DAMAGED):
        names = list(file)
    for name in names:
        with suppress(*_DAMAGED):
            if not isinstance(file.get(name, getlink=True), h5py.HardLink):
                continue
            dataset = file[name]
            if isinstance(dataset, h5py.Dataset) and dataset.dtype.kind in "fiu":
                yield from _stored(dataset.id)


def _stored(dataset: Any) -> Iterator[tuple[int, int]]:
    start = dataset.get_offset()
    if start is not None:
        yield start, dataset.get_storage_size()
    elif dataset.get_create_plist().get_layout() == h5py.h5d.CHUNKED:
        for number in range(dataset.get_num_chunks()):
            chunk = dataset.get_chunk_info(number)
            yield chunk.byte_offset, chunk.size


def _first_stuck(content: NDArray[np.uint8], starts: NDArray[np.int64], width: int) -> int | None:
    """Walk through all heaps at once; return the start of one of which the end is not reached."""
    starts = starts[starts + _HEADER <= len(content)]
    ends = (
        np.minimum(
            _words(content, starts, width), (len(content) - starts).astype(np.uint64)
        ).astype(np.int64)
        + starts
    )
    at = starts + _HEADER
    for _ in range(_MOST_TEXTS + 1):
        inside = at + _HEADER <= ends
        starts, ends, at = starts[inside], ends[inside], at[inside]
        if not len(at):
            return None
        claimed = _words(content, at, width)
        free = (content[at] | content[at + 1]) == 0
        # As in libhdf5, lengths of nearly 2^64 turn into 0 here.
        step = np.where(free, claimed, _HEADER + (claimed + 7 & ~np.uint64(7)))
        if (step == 0).any():
            break
        goes_on = step <= (ends - at).astype(np.uint64)  # what does not, libhdf5 refuses
        starts, ends = starts[goes_on], ends[goes_on]
        at = at[goes_on] + step[goes_on].astype(np.int64)
    else:
        return int(starts[0])
    return int(starts[np.argmax(step == 0)])


def _words(content: NDArray[np.uint8], at: NDArray[np.int64], width: int) -> NDArray[np.uint64]:
    """Return the lengths that stand 8 bytes after these places, in so many bytes."""
    words = np.zeros((len(at), 8), np.uint8)
    words[:, :width] = content[at[:, None] + np.arange(8, 8 + width)]
    return words.view("<u8")[:, 0]
