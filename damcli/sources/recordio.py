"""MXNet's RecordIO, ``.rec`` with ``.idx``, without MXNet.

A record is a chain of parts. A part is a word of magic, a word with its kind in the upper 3
bits (0 whole, 1 first, 2 middle, 3 last) and its length in the lower 29, and the payload
padded to 4 bytes. Where the magic stood in the payload the record was split and the magic
left out. The payload is a header, ``flag, label, id, id2``, then ``flag`` more labels, then
an image file.
"""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.sources.decoding import decode
from damcli.sources.source import Sample
from damcli.storage.tables import reading

MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_PART = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
# the head of a part, the header of a record, and the label that follows where flag > 0
_HEAD_FIELDS = "magic:<u4 part:<u4 flag:<u4 label:<f4 id:<u8 id2:<u8 further:<f4"
_HEAD = np.dtype([tuple(field.split(":")) for field in _HEAD_FIELDS.split()])
_HEADS_AT_ONCE = 1 << 16
_FETCH_HINT = "it may be cut short, or the .idx is that of another file: fetch both again"


class _Record(NamedTuple):
    labels: tuple[float, ...]
    image: bytes


class RecordSource:
    """Images in a ``.rec``; see `damcli.sources.source.ImageSource`.

    Its ids are the keys, padded with zeros to the width of the largest. A record's first
    label is the subject.
    """

    has_subjects = True
    group_names: tuple[str, ...] = ()

    def __init__(
        self,
        path: Path,
        keys: NDArray[np.int64],
        offsets: NDArray[np.int64],
        notes: tuple[str, ...] = (),
    ) -> None:
        self.origin = str(path)
        self.notes = notes
        self._path = path
        self._keys = keys
        self._offsets = offsets
        self._width = len(str(keys.max()))

    def __len__(self) -> int:
        return len(self._keys)

    def id_of(self, row: int) -> str:
        """Return the key of a record."""
        return f"{self._keys[row]:0{self._width}d}"

    def place_of(self, row: int) -> str:
        """Return the file and the key."""
        return _place(self._path, int(self._keys[row]), int(self._offsets[row]))

    def subject_of(self, row: int) -> str:
        """Return the first label of a record.

        The first call reads the headers of all records, and no image.
        """
        label = float(self._labels[row])
        if math.isnan(label):
            offset, place = int(self._offsets[row]), self.place_of(row)
            label = _read_record(self._path, offset, place).labels[0]
        return _subject(label)

    @cached_property
    def _labels(self) -> NDArray[np.float32]:
        return _first_labels(self._path, self._offsets)

    def read(self, row: int) -> Sample:
        """Read and decode an image; see `damcli.sources.source.ImageSource.read`."""
        place = self.place_of(row)
        record = _read_record(self._path, int(self._offsets[row]), place)
        return Sample(decode(record.image, place), _subject(record.labels[0]), {})


def record_source(path: Path) -> RecordSource:
    """Open a ``.rec``.

    The ``.idx`` beside it says where the records lie; without one the file is walked
    through, and records are numbered from 0. Where record 0 holds labels but no image, as
    insightface writes it, its first label is the key after the last image; else all records
    are images.

    Raises
    ------
    InputError
        It is damaged or cut short, does not fit its ``.idx``, or holds no image.
    """
    index = path.with_suffix(".idx")
    notes: tuple[str, ...] = ()
    if index.exists():
        keys, offsets = _read_index(index)
        _check_offsets(path, index, keys, offsets)
    else:
        offsets = _walk(path)
        keys = np.arange(len(offsets))
        notes = (f"no {index.name} beside it: walked through its {len(keys)} records",)
    if not len(keys):
        raise InputError(str(path), "holds no record; expected images")
    images = _images(path, keys, offsets)
    if not images.any():
        raise InputError(str(path), f"none of its {len(keys)} records is an image")
    return RecordSource(path, keys[images], offsets[images], notes)


def _images(path: Path, keys: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell the images from what insightface adds: record 0, and a record for each subject."""
    if keys[0] == 0:
        first = _read_record(path, int(offsets[0]), _place(path, 0, int(offsets[0])))
        if not first.image and len(first.labels) > 1 and math.isfinite(first.labels[0]):
            return (keys >= 1) & (keys < first.labels[0])
    return np.ones(len(keys), dtype=bool)


def _read_index(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the keys in ascending order, and their offsets."""
    numbers = array("q")
    with path.open("rb") as file:
        for row, line in enumerate(file, start=1):
            try:
                key, offset = line.split()
                numbers.extend((_whole(key), _whole(offset)))
            except (ValueError, OverflowError) as error:
                shown = ascii(line[:40].decode("latin-1").strip())
                raise InputError(
                    str(path), f"{shown}; expected a key, a tab and an offset", row=row
                ) from error
    keys, offsets = np.array(numbers, dtype=np.int64).reshape(-1, 2).T
    order = np.argsort(keys, kind="stable")
    repeated = np.flatnonzero(np.diff(keys[order]) == 0)
    if len(repeated):
        first, second = order[repeated[0]], order[repeated[0] + 1]
        raise InputError(
            str(path), f"key {keys[second]} stands in row {first + 1} already", row=int(second) + 1
        )
    return keys[order], offsets[order]


def _whole(digits: bytes) -> int:
    if not digits.isdigit():
        raise ValueError(digits)
    return int(digits)


def _check_offsets(
    path: Path, index: Path, keys: NDArray[np.int64], offsets: NDArray[np.int64]
) -> None:
    size = path.stat().st_size
    beyond = np.flatnonzero(offsets + _PART.size > size)
    if len(beyond):
        at = int(beyond[0])
        raise InputError(
            _place(path, int(keys[at]), int(offsets[at])),
            f"lies beyond the end of the file ({size} bytes), as do {len(beyond)} of the "
            f"{len(keys)} records of {index.name}",
            hint=_FETCH_HINT,
        )


def _walk(path: Path) -> NDArray[np.int64]:
    """Find the offset of every record."""
    offsets = array("q")
    at, size = 0, path.stat().st_size
    with path.open("rb") as file:
        while at < size:
            place = _place(path, len(offsets), at)
            offsets.append(at)
            for start, length in _parts(file, at, size, place):
                at = start + length + -length % 4
    return np.array(offsets, dtype=np.int64)


def _parts(file: BinaryIO, at: int, size: int, place: str) -> Iterator[tuple[int, int]]:
    """Yield where the payload of each part of a record lies, and its length."""
    expected: tuple[int, ...] = (_WHOLE, _FIRST)
    while True:
        file.seek(at)
        head = file.read(_PART.size)
        if len(head) < _PART.size:
            raise _cut(place, at, size)
        magic, word = _PART.unpack(head)
        kind, length = word >> 29, word & (1 << 29) - 1
        if magic != MAGIC or kind not in expected:
            raise InputError(
                place,
                f"no part of a record at offset {at}, but {head.hex(' ', -4)}; expected the magic "
                f"{_MAGIC_BYTES.hex()} and a part of kind {' or '.join(map(str, expected))}",
                hint=_FETCH_HINT,
            )
        at += _PART.size
        if at + length > size:
            raise _cut(place, at, size)
        yield at, length
        if kind in (_WHOLE, _LAST):
            return
        at += length + -length % 4
        expected = (_MIDDLE, _LAST)


def _cut(place: str, at: int, size: int) -> InputError:
    return InputError(
        place,
        f"goes beyond the end of the file ({size} bytes) from offset {at} on",
        hint=_FETCH_HINT,
    )


def _read_record(path: Path, offset: int, place: str) -> _Record:
    # opened anew each time, so that several threads may read
    with reading(place), path.open("rb") as file:
        size = path.stat().st_size
        payloads = []
        for start, length in _parts(file, offset, size, place):
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
    return _Record(labels, payload[end:])


def _first_labels(path: Path, offsets: NDArray[np.int64]) -> NDArray[np.float32]:
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


def _subject(label: float) -> str:
    return str(int(label)) if label.is_integer() else str(label)


def _place(path: Path, key: int, offset: int) -> str:
    return f"{path}, record {key} (offset {offset})"
