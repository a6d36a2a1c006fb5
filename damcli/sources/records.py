"""MXNet's RecordIO, ``.rec`` with ``.idx``, without MXNet.

A record is a chain of parts. A part is a word of magic, a word with its kind in the upper 3
bits (0 whole, 1 first, 2 middle, 3 last) and its length in the lower 29, and the payload
padded to 4 bytes. Where the magic stood in the payload the record was split and the magic
left out. The payload is a header, ``flag, label, id, id2``, then ``flag`` more labels, then
an image file.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.storage.tables import reading

MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", MAGIC)
PART = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
FETCH_HINT = "copy the .rec again, and its .idx, which must be that of this very file"
# the head of a part, the header of a record, and the label that follows where flag > 0
_HEAD_FIELDS = "magic:<u4 part:<u4 flag:<u4 label:<f4 id:<u8 id2:<u8 further:<f4"
_HEAD = np.dtype([tuple(field.split(":")) for field in _HEAD_FIELDS.split()])
_HEADS_AT_ONCE = 1 << 16


class Record(NamedTuple):
    """The labels of a record, and the bytes of its image file."""

    labels: tuple[float, ...]
    image: bytes


def walk(path: Path) -> NDArray[np.int64]:
    """Find the offset of every record."""
    offsets = array("q")
    at, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while at < size:
            place = place_of(path, len(offsets), at)
            offsets.append(at)
            for start, length in parts(file, at, size, place):
                at = start + length + -length % 4
    return np.array(offsets, dtype=np.int64)


def parts(file: BinaryIO, at: int, size: int, place: str) -> Iterator[tuple[int, int]]:
    """Yield where the payload of each part of a record lies, and its length."""
    expected: tuple[int, ...] = (_WHOLE, _FIRST)
    while True:
        file.seek(at)
        head = file.read(PART.size)
        if len(head) < PART.size:
            raise _cut(place, size)
        magic, word = PART.unpack(head)
        kind, length = word >> 29, word & (1 << 29) - 1
        if magic != MAGIC or kind not in expected:
            raise InputError(
                place,
                f"no part of a record at offset {at}, but {head.hex(' ', -4)}; expected the magic "
                f"{_MAGIC_BYTES.hex()} and a part of kind {' or '.join(map(str, expected))}",
                hint=FETCH_HINT,
            )
        at += PART.size
        if at + length > size:
            raise _cut(place, size)
        yield at, length
        if kind in (_WHOLE, _LAST):
            return
        at += length + -length % 4
        expected = (_MIDDLE, _LAST)


def _cut(place: str, size: int) -> InputError:
    return InputError(
        place,
        f"is cut short: the file ends at {size} bytes, within this record",
        hint=FETCH_HINT,
    )


def read_record(path: Path, offset: int, place: str) -> Record:
    """Read the record at an offset; ``place`` is for messages."""
    # opened anew each time, so that several threads may read
    with reading(place), path.open("rb") as file:
        size = path.stat().st_size
        payloads = []
        for start, length in parts(file, offset, size, place):
            file.seek(start)
            payloads.append(file.read(length))
    payload = _MAGIC_BYTES.join(payloads)
    if len(payload) < _HEADER.size:
        raise InputError(
            place, f"holds {len(payload)} bytes; expected a header of {_HEADER.size} and an image"
        )
    flag, label, _, _ = _HEADER.unpack_from(payload)
    end = _HEADER.size + 4 * flag
    if end > len(payload):
        raise InputError(place, f"says it has {flag} labels, but holds {len(payload)} bytes")
    labels = struct.unpack_from(f"<{flag}f", payload, _HEADER.size) if flag else (label,)
    return Record(labels, payload[end:])


def first_labels(path: Path, offsets: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the first label of every record, NaN where that takes a closer look."""
    labels = np.full(len(offsets), np.nan, dtype=np.float32)
    with reading(str(path)):
        data = np.memmap(path, np.uint8, mode="r")
    for start in range(0, len(offsets), _HEADS_AT_ONCE):
        near = offsets[start : start + _HEADS_AT_ONCE]
        inside = np.flatnonzero(near <= len(data) - _HEAD.itemsize)
        heads = data[near[inside, None] + np.arange(_HEAD.itemsize)].view(_HEAD)[:, 0]
        length = heads["part"] & (1 << 29) - 1
        usual = (heads["magic"] == MAGIC) & (heads["part"] >> 29 <= _FIRST)
        usual &= length >= _HEADER.size + 4 * heads["flag"].astype(np.int64)
        first = np.where(heads["flag"] > 0, heads["further"], heads["label"])
        labels[start + inside[usual]] = first[usual]
    return labels


def place_of(path: Path, key: int, offset: int) -> str:
    """Name a record, for messages."""
    return f"{path}, record {key} (offset {offset})"
