"""insightface's ``.bin``: a pickle of 2N encoded images and N answers.

A pickle can run any code when it is loaded. This one is loaded by an unpickler that knows
bytes and numpy's uint8 arrays, for which it has stand-ins of its own, and nothing else.
"""

from __future__ import annotations

import csv
import math
import pickle
import pickletools
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

from damcli.errors import InputError
from damcli.sources.decoding import decode
from damcli.sources.source import Sample
from damcli.storage.atomic import atomic_output
from damcli.storage.tables import reading

Pair = tuple[str, str, int]

_EXPECTED = "expected a pickle of (2N encoded images, N bools), as insightface writes it"


class BinSource:
    """Images in a ``.bin``, held as they are encoded; see `damcli.sources.source.ImageSource`.

    Its ids are numbers of at least six digits, from 0. Pair i is of images 2i and 2i + 1.
    """

    unit = "image"
    has_subjects = False
    group_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __init__(self, origin: str, images: Sequence[bytes]) -> None:
        self.origin = origin
        self._images = images

    def __len__(self) -> int:
        return len(self._images)

    def id_of(self, row: int) -> str:
        """Return the number of an image."""
        return _id(row, len(self))

    def place_of(self, row: int) -> str:
        """Return the file and the number of the image in it."""
        return f"{self.origin}, image {row}"

    def subject_of(self, row: int) -> None:
        """Return None: the pairs do not say whom they show."""

    def read(self, row: int) -> Sample:
        """Decode an image; see `damcli.sources.source.ImageSource.read`."""
        return Sample(decode(self._images[row], self.place_of(row)), None, {})


def bin_source(path: Path) -> BinSource:
    """Open a ``.bin``; its encoded images are held in memory, about as much as the file.

    Raises
    ------
    InputError
        It is damaged, cut short, of another structure, or asks for anything but bytes and
        arrays.
    """
    return BinSource(str(path), _load(path).images)


def read_bin_pairs(path: Path) -> list[Pair]:
    """Return the pairs of a ``.bin``: two ids and 1 for genuine, 0 for impostor.

    Raises
    ------
    InputError
        As `bin_source`.
    """
    images, labels = _load(path)
    count = len(images)
    return [
        (_id(2 * pair, count), _id(2 * pair + 1, count), label) for pair, label in enumerate(labels)
    ]


def write_bin_pairs(path: Path, pairs: Sequence[Pair], *, force: bool = False) -> None:
    """Write the pairs of a ``.bin`` as a list that ``damcli score`` reads.

    Raises
    ------
    OutputError
        As `damcli.storage.atomic.atomic_output`.
    """
    with (
        atomic_output(path, force=force) as draft,
        draft.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("probe_id", "reference_id", "label"))
        writer.writerows(pairs)


def _id(row: int, count: int) -> str:
    return f"{row:0{max(6, len(str(count - 1)))}d}"


class _Content(NamedTuple):
    images: list[bytes]
    labels: list[int]


def _load(path: Path) -> _Content:
    origin = str(path)
    with reading(origin, "cannot be read", hint=_EXPECTED), path.open("rb") as file:
        _check_memo(file, path.stat().st_size, origin)
        loaded = _Unpickler(file, origin).load()
        if file.read(1):
            raise InputError(origin, f"has bytes after its pickle; {_EXPECTED}")
    if not (isinstance(loaded, tuple | list) and len(loaded) == 2):
        raise InputError(origin, f"holds a {type(loaded).__name__}; {_EXPECTED}")
    images, answers = loaded
    if isinstance(answers, _Array):
        answers = answers.values
    for part in (images, answers):
        if not isinstance(part, tuple | list | bytes):
            raise InputError(
                origin, f"holds a {type(part).__name__} in place of a list; {_EXPECTED}"
            )
    if len(images) != 2 * len(answers) or not images:
        raise InputError(
            origin, f"{len(images)} images for {len(answers)} pairs; expected two a pair, and some"
        )
    return _Content(
        [_encoded(image, f"{origin}, image {row}") for row, image in enumerate(images)],
        [_label(answer, f"{origin}, pair {row}") for row, answer in enumerate(answers)],
    )


def _check_memo(file: IO[bytes], size: int, origin: str) -> None:
    """Refuse numbers of objects for whose table the unpickler would fill the memory."""
    for opcode, number, _ in pickletools.genops(file):
        if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and int(number or 0) > size:
            raise InputError(
                origin, f"numbers its objects up to {number} in {size} bytes; {_EXPECTED}"
            )
    file.seek(0)


def _encoded(image: Any, place: str) -> bytes:
    if isinstance(image, bytes | bytearray):
        return bytes(image)
    if isinstance(image, _Array):
        if image.code == "u1" and len(image.shape) == 1:
            return image.values
        raise InputError(
            place,
            f"is an array of {image.code} {image.shape}; expected the bytes of an image file",
        )
    raise InputError(place, f"is a {type(image).__name__}; expected the bytes of an image file")


def _label(answer: Any, place: str) -> int:
    if isinstance(answer, _Array) and answer.shape == () and answer.values:
        answer = answer.values[0]
    if isinstance(answer, int) and answer in (0, 1):
        return int(answer)
    raise InputError(place, f"its answer is {ascii(answer)[:40]}; expected True or False")


class _Dtype:
    """Stands in for ``numpy.dtype``: of what it is given, the code of the type counts."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        self.code = _text(code)

    def __setstate__(self, state: Any) -> None:
        pass


class _Array:
    """Stands in for ``numpy.ndarray``, of one byte a number."""

    def __init__(self, *_: Any) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.code = "u1"
        self.values = b""

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, _, values = state
        self._fill(tuple(shape), dtype, values)

    def _fill(self, shape: tuple[int, ...], dtype: _Dtype, values: Any) -> None:
        self.shape, self.code, self.values = shape, dtype.code, bytes(memoryview(values))
        if self.code not in ("u1", "b1") or math.prod(shape) != len(self.values):
            raise ValueError(f"an array of {self.code} {shape} in {len(self.values)} bytes")


def _from_buffer(values: Any, dtype: _Dtype, shape: Any, *_: Any) -> _Array:
    array = _Array()
    array._fill(tuple(shape), dtype, values)
    return array


def _scalar(dtype: _Dtype, value: Any) -> _Array:
    array = _Array()
    array._fill((), dtype, _binary(value))
    return array


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _binary(value: str | bytes = b"", *_: Any) -> bytes:
    """Stand in for ``_codecs.encode`` and ``bytes``, as protocol 2 uses them for bytes."""
    return value.encode("latin-1") if isinstance(value, str) else bytes(memoryview(value))


_KNOWN: dict[tuple[str, str], Callable[..., Any]] = {
    ("_codecs", "encode"): _binary,
    **{
        (builtins, name): _binary
        for builtins in ("builtins", "__builtin__")
        for name in ("bytes", "bytearray")
    },
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    **{
        (f"numpy.{core}.{module}", name): stand_in
        for core in ("core", "_core")
        for module, name, stand_in in (
            ("multiarray", "_reconstruct", _Array),
            ("multiarray", "scalar", _scalar),
            ("numeric", "_frombuffer", _from_buffer),
        )
    },
}


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], origin: str) -> None:
        super().__init__(file, encoding="bytes")  # so that Python 2's strings stay bytes
        self._origin = origin

    def find_class(self, module: str, name: str) -> Any:
        stand_in = _KNOWN.get((module, name))
        if stand_in is None:
            raise InputError(
                self._origin,
                f"asks for {module}.{name}, which is neither bytes nor an array; {_EXPECTED}",
                hint="nothing of it was run; do not load it with another tool",
            )
        return partial(stand_in)  # a new one each time, for a pickle may set attributes
