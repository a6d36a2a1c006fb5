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
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, counted
from damcli.sources.decoding import decode
from damcli.sources.source import Sample
from damcli.storage.tables import reading

MAGIC = 0xCED7230A
_MAGIC_BYTES = struct.pack("<I", MAGIC)
_PART = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
_FETCH_HINT = "copy the .rec again, and its .idx, which must be that of this very file"


class _Record(NamedTuple):
    labels: tuple[float, ...]
    image: bytes


class RecordSource:
    """Images in a ``.rec``; see `damcli.sources.source.ImageSource`.

    Its ids are the keys, padded with zeros to the width of the largest. A record's first
    label is the subject.
    """

    unit = "image"
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
    indexed = index.exists()
    notes = []
    if indexed:
        keys, offsets = _read_index(index)
        _check_offsets(path, index, keys, offsets)
        notes += _check_end(path, index, keys, offsets)
    else:
        offsets = _walk(path)
        keys = np.arange(len(offsets))
        notes.append(
            f"no {index.name} beside it: walked through its {counted(len(keys), 'record')}"
        )
    if not len(keys):
        raise InputError(str(path), "holds no record; expected images")
    end = _end_of_images(path, keys, offsets)
    # insightface adds record 0, and a record for each subject after the images
    images = np.ones(len(keys), dtype=bool) if end is None else (keys >= 1) & (keys < end)
    if not images.any():
        raise InputError(str(path), f"no image among its {counted(len(keys), 'record')}")
    if end is not None:
        notes += _check_count(path, index, int(images.sum()), end, indexed=indexed)
    return RecordSource(path, keys[images], offsets[images], tuple(notes))


def _end_of_images(path: Path, keys: NDArray[np.int64], offsets: NDArray[np.int64]) -> float | None:
    """Return the key after the last image, where insightface's record 0 tells it."""
    if keys[0] != 0:
        return None
    first = _read_record(path, int(offsets[0]), _place(path, 0, int(offsets[0])))
    tells = not first.image and len(first.labels) > 1 and math.isfinite(first.labels[0])
    return first.labels[0] if tells else None


def _check_count(path: Path, index: Path, found: int, end: float, *, indexed: bool) -> list[str]:
    """Compare the images with what record 0 announces; return what to say of it."""
    announced = int(end) - 1
    # a label is a float32, which beyond 2**24 is not every whole number
    if announced - found < max(1, np.spacing(np.float32(end))):
        return []
    if not indexed:
        raise InputError(
            str(path),
            f"is cut short: record 0 announces {counted(announced, 'image')}, of which {found:,} "
            "are there",
            hint=_FETCH_HINT,
        )
    return [f"{index.name} names {found:,} of the {announced:,} images that record 0 announces"]


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
            f"is cut off: the file ends at {size} bytes, before {len(beyond)} of the {len(keys)} "
            f"records that {index.name} names",
            hint=_FETCH_HINT,
        )


def _check_end(
    path: Path, index: Path, keys: NDArray[np.int64], offsets: NDArray[np.int64]
) -> list[str]:
    """Refuse a file that ends within its last record; return what to say of what follows it."""
    if not len(keys):
        return []
    last = int(np.argmax(offsets))
    key, offset = int(keys[last]), int(offsets[last])
    end, size = offset, path.stat().st_size
    with path.open("rb") as file:
        for start, length in _parts(file, offset, size, _place(path, key, offset)):
            end = start + length + -length % 4
    if end < size:
        return [f"{size - end:,} bytes after record {key}, the last that {index.name} names"]
    return []


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
            raise _cut(place, size)
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


def _subject(label: float) -> str:
    return str(int(label)) if label.is_integer() else str(label)


def _place(path: Path, key: int, offset: int) -> str:
    return f"{path}, record {key} (offset {offset})"
