"""Images in MXNet's RecordIO, ``.rec`` with ``.idx``, without MXNet."""

from __future__ import annotations

import math
from array import array
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, counted
from damcli.sources.decoding import decode
from damcli.sources.records import (
    FETCH_HINT,
    PART,
    first_labels,
    parts,
    place_of,
    read_record,
    walk,
)
from damcli.sources.source import Sample


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
        return place_of(self._path, int(self._keys[row]), int(self._offsets[row]))

    def subject_of(self, row: int) -> str:
        """Return the first label of a record.

        The first call reads the headers of all records, and no image.
        """
        label = float(self._labels[row])
        if math.isnan(label):
            offset, place = int(self._offsets[row]), self.place_of(row)
            label = read_record(self._path, offset, place).labels[0]
        return _subject(label)

    @cached_property
    def _labels(self) -> NDArray[np.float32]:
        return first_labels(self._path, self._offsets)

    def read(self, row: int) -> Sample:
        """Read and decode an image; see `damcli.sources.source.ImageSource.read`."""
        place = self.place_of(row)
        record = read_record(self._path, int(self._offsets[row]), place)
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
        offsets = walk(path)
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
    first = read_record(path, int(offsets[0]), place_of(path, 0, int(offsets[0])))
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
            hint=FETCH_HINT,
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
            str(path),
            f"key {keys[second]} stands in row {first + 1} already; expected each key once",
            row=int(second) + 1,
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
    beyond = np.flatnonzero(offsets + PART.size > size)
    if len(beyond):
        at = int(beyond[0])
        raise InputError(
            place_of(path, int(keys[at]), int(offsets[at])),
            f"is cut off: the file ends at {size} bytes, before {len(beyond)} of the {len(keys)} "
            f"records that {index.name} names",
            hint=FETCH_HINT,
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
        for start, length in parts(file, offset, size, place_of(path, key, offset)):
            end = start + length + -length % 4
    if end < size:
        return [f"{size - end:,} bytes after record {key}, the last that {index.name} names"]
    return []


def _subject(label: float) -> str:
    return str(int(label)) if label.is_integer() else str(label)
