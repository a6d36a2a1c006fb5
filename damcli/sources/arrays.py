"""Images that lie in one array, ``.npy`` or ``.npz``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, counted
from damcli.sources.source import Image, Sample
from damcli.storage.embeddings import Names, as_names, check_unique, named
from damcli.storage.foreign import read_id_list
from damcli.storage.memory import require_room_for
from damcli.storage.tables import ID_NAMES, SUBJECT_NAMES, find_column, group_columns, reading

IMAGE_NAMES = ("images", "image", "X", "x", "data", "faces", "arr_0")
_SUBJECTS = (*SUBJECT_NAMES, "y", "target", "targets")
_CHANNELS = (1, 3, 4)
_SHAPES = "(N, H, W) or (N, H, W, 1|3|4), uint8"
_HINT_BYTES = "for pixels from 0 to 1, save (255 * x).round().astype(np.uint8)"
_HINT_OBJECTS = (
    "save them as one array of one type: images resized to one size, "
    "np.save(OUT, np.stack(images).astype(np.uint8)), which is (N, H, W, 3)"
)
_HINT_NAMES = "save names as a str array: np.savez(..., id=np.array(ids, dtype=str))"


class ArraySource:
    """Images in an array; see `damcli.sources.source.ImageSource`.

    Parameters
    ----------
    origin
        The file, as the user named it.
    pixels
        (N, H, W) grey, or (N, H, W, C) or (N, 3, H, W) with 1, 3 or 4 channels: grey, RGB,
        RGB with alpha, which is dropped; uint8; may lie on disk.
    ids
        N names; row numbers, padded with zeros, where omitted.
    subjects
        N names of the people shown.
    groups
        Further columns of N each.

    Raises
    ------
    InputError
        The shape or the type is another, or cannot be told; a column is not of N names; an
        id stands twice.
    """

    unit = "image"

    def __init__(
        self,
        origin: str,
        pixels: NDArray[Any],
        ids: Names | None = None,
        subjects: Names | None = None,
        groups: Mapping[str, Names] | None = None,
    ) -> None:
        self.origin = origin
        self._pixels, self.notes = _channels_last(pixels, origin)
        self._ids = ids
        self._subjects = subjects
        self._groups = dict(groups or {})
        self._width = len(str(len(pixels) - 1))
        for what, column in [("id", ids), ("subject", subjects), *self._groups.items()]:
            if column is not None and len(column) != len(pixels):
                found = f"{counted(len(column), what)} for {counted(len(pixels), 'image')}"
                raise InputError(origin, f"{found}; expected as many")
        if ids is not None:
            check_unique(ids, origin)

    @property
    def has_subjects(self) -> bool:
        """Whether every sample says whom it shows."""
        return self._subjects is not None

    @property
    def group_names(self) -> tuple[str, ...]:
        """The further columns that every sample has."""
        return tuple(self._groups)

    def __len__(self) -> int:
        return len(self._pixels)

    def id_of(self, row: int) -> str:
        """Return the id of an image."""
        return f"{row:0{self._width}d}" if self._ids is None else str(self._ids[row])

    def place_of(self, row: int) -> str:
        """Return the file and the number of the image in it."""
        return f"{self.origin}, image {row}"

    def subject_of(self, row: int) -> str | None:
        """Return whom an image shows."""
        return None if self._subjects is None else str(self._subjects[row])

    def read(self, row: int) -> Sample:
        """Read an image; see `damcli.sources.source.ImageSource.read`."""
        groups = {name: str(column[row]) for name, column in self._groups.items()}
        return Sample(_as_rgb(self._pixels[row]), self.subject_of(row), groups)


def npy_source(path: Path) -> ArraySource:
    """Open an ``.npy`` of images, which stays on disk.

    A list ``id[,subject]`` beside it, of the same name and ending in ``.ids.csv`` or
    ``.ids.txt``, names them.

    Raises
    ------
    InputError
        It is damaged, holds objects, or is not as `ArraySource` wants it.
    """
    origin = str(path)
    with (
        reading(origin, "not a readable .npy of numbers", hint=_HINT_BYTES),
        _objects_refused(origin, "it", _SHAPES, _HINT_OBJECTS),
    ):
        _check_magic(path)
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    beside = (path.with_suffix(".ids.csv"), path.with_suffix(".ids.txt"))
    listed = next((name for name in beside if name.exists()), None)
    ids, subjects = (None, None) if listed is None else read_id_list(listed, len(pixels))
    if ids is not None:
        ids = named(ids, "id", str(listed))
    if subjects is not None:
        subjects = named(subjects, "subject", str(listed))
    return ArraySource(origin, pixels, ids, subjects)


def _check_magic(path: Path) -> None:
    """Refuse what is no array; numpy would take it for a pickle, and advise to load that."""
    with path.open("rb") as file:
        start = file.read(6)
    if start[:2] == b"PK":
        raise InputError(
            str(path), "is an .npz, though its name says .npy", hint="rename it to end in .npz"
        )
    if start != b"\x93NUMPY":
        raise InputError(
            str(path),
            (f"begins with {start!r}, which no .npy does" if start else "is empty (0 bytes)")
            + "; expected what np.save writes",
            hint=_HINT_BYTES,
        )


def npz_source(path: Path) -> ArraySource:
    """Open an ``.npz`` of images, which is read into memory.

    The images lie under one of `IMAGE_NAMES`, or are the only array of three or four
    dimensions; ids, subjects and ``group/…`` lie under the names that embeddings have.

    Raises
    ------
    InputError
        It is damaged, holds objects, or is not as `ArraySource` wants it.
    """
    origin = str(path)
    with (
        reading(origin, "not a readable .npz", hint=_HINT_NAMES),
        path.open("rb") as file,
        np.lib.npyio.NpzFile(file, allow_pickle=False) as archive,
    ):
        require_room_for(archive, archive.files, origin)
        arrays = {name: _array(archive, name, origin) for name in archive.files}
    names = list(arrays)
    ids, subjects = (
        None if (name := find_column(names, known)) is None else named(arrays[name], what, origin)
        for known, what in ((ID_NAMES, "id"), (_SUBJECTS, "subject"))
    )
    groups = {group: as_names(arrays[name]) for name, group in group_columns(names).items()}
    return ArraySource(origin, _images(arrays, origin), ids, subjects, groups)


def _array(archive: Any, name: str, origin: str) -> NDArray[Any]:
    is_column = name in (*ID_NAMES, *_SUBJECTS) or name in group_columns([name])
    expected = ("names", _HINT_NAMES) if is_column else (_SHAPES, _HINT_OBJECTS)
    with _objects_refused(origin, f"its array '{name}'", *expected):
        return np.asarray(archive[name])


@contextmanager
def _objects_refused(origin: str, what: str, expected: str, hint: str) -> Iterator[None]:
    """Say so where numpy will not read an array of Python objects, which are pickled."""
    try:
        yield
    except ValueError as error:
        if not re.search("Object arrays|Python objects", str(error)):
            raise
        raise InputError(
            origin,
            f"{what} holds pickled Python objects, which damcli does not load; expected {expected}",
            hint=hint,
        ) from error


def _images(arrays: Mapping[str, NDArray[Any]], origin: str) -> NDArray[Any]:
    deep = [name for name, array in arrays.items() if array.ndim in (3, 4)]
    name = find_column(deep, IMAGE_NAMES) or (deep[0] if len(deep) == 1 else None)
    if name is None:
        listed = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InputError(
            origin,
            f"holds {listed or 'nothing'}; expected {_SHAPES}, under one of "
            f"{', '.join(IMAGE_NAMES)}",
            hint="name them so: np.savez(OUT, images=pixels)",
        )
    return arrays[name]


def _channels_last(pixels: NDArray[Any], origin: str) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Give the array as (N, H, W, C), and say so where its axes had to be moved."""
    shape = pixels.shape
    if pixels.dtype != np.uint8:
        raise InputError(
            origin, f"pixels of type {pixels.dtype}; expected {_SHAPES}", hint=_HINT_BYTES
        )
    if len(shape) not in (3, 4) or 0 in shape:
        raise InputError(origin, f"an array of shape {shape}; expected {_SHAPES}")
    if len(shape) == 3:
        if shape[2] in _CHANNELS:
            raise InputError(
                origin,
                f"one image of shape {shape}, by the looks of it; expected {_SHAPES}",
                hint="save x[None]",
            )
        return pixels[..., None], ()
    last, first = shape[3] in _CHANNELS, shape[1] in _CHANNELS
    if last and not first:
        return pixels, ()
    if first and not last:
        note = f"read as (N, C, H, W), channels first, by its shape {shape}"
        return np.moveaxis(pixels, 1, 3), (note,)
    raise InputError(
        origin,
        f"an array of shape {shape}, in which the channels "
        f"{'may be first or last' if last else 'are not to be found'}; expected {_SHAPES}",
    )


def _as_rgb(pixels: NDArray[np.uint8]) -> Image:
    channels = pixels.shape[2]
    colors = np.repeat(pixels, 3, axis=2) if channels == 1 else pixels[:, :, :3]
    return np.array(colors, order="C")
