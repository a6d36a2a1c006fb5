"""Ways to spoil any file: it is not there, not a file, of another kind, cut, or one byte off."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from tests.images import encoded, picture


@dataclass(frozen=True)
class Damage:
    """What is done to a copy of a sound file.

    Attributes
    ----------
    name
        For the name of the test.
    apply
        Changes the file in its place.
    says
        Part of the message.
    silent
        The file carries nothing that would tell: it may be refused, or taken for what it now
        says. Neither ends in a traceback, and no other file changes.
    """

    name: str
    apply: Callable[[Path], object]
    says: str = ""
    silent: bool = False


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        path.unlink()
        make(path)

    return apply


def _loop(path: Path) -> None:
    path.symlink_to(path)


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["weights"] = np.eye(3)


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello\n" * 20)


def _parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": [1, 2, 3]}), path)


def _npy(path: Path) -> None:
    file = io.BytesIO()
    np.save(file, np.arange(5))
    path.write_bytes(file.getvalue())


NOT_THERE = (
    Damage("missing", Path.unlink),
    Damage("dangling-link", _replaced(lambda path: path.symlink_to("nowhere"))),
    Damage("looping-link", _replaced(_loop)),
)
UNREADABLE = Damage("unreadable", lambda path: path.chmod(0))
FOLDER = Damage("folder", _replaced(Path.mkdir))
EMPTY = Damage("empty", lambda path: path.write_bytes(b""))
NO_FILE = (*NOT_THERE, UNREADABLE, FOLDER, EMPTY)
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x03\x00\x3e\x00\x01\x00\x00\x00\xe0\x5c\xff\x9c" * 30
TEXT = "Dear all,\nplease find enclosed what you asked for; it is all there.\n" * 3
FOREIGN: dict[str, Callable[[Path], object]] = {
    "jpeg": lambda path: path.write_bytes(encoded(picture(), "JPEG")),
    "zip": _zip,
    "elf": lambda path: path.write_bytes(ELF),
    "hdf5": _hdf5,
    "parquet": _parquet,
    "npy": _npy,
    "gzip": lambda path: path.write_bytes(gzip.compress(encoded(picture(), "BMP"))),
    "zeros": lambda path: path.write_bytes(bytes(5000)),
    "prose": lambda path: path.write_text(TEXT),
    "utf16": lambda path: path.write_text(TEXT, encoding="utf-16"),
    "json": lambda path: path.write_text('{"schema": "else", "rows": [1, 2, null]}'),
    "html": lambda path: path.write_text("<!DOCTYPE html>\n<html><body>Not found</body></html>\n"),
}


def foreign(*but: str) -> tuple[Damage, ...]:
    """Put a file of each other kind there, except those named."""
    return tuple(Damage(f"is-{name}", FOREIGN[name]) for name in FOREIGN if name not in but)


def cut(*places: float, silent: Sequence[float] = (), says: str = "") -> tuple[Damage, ...]:
    """Keep the beginning of the file: a share of it, or so many bytes (from the end, below 0)."""

    def at(place: float) -> Callable[[Path], object]:
        def apply(path: Path) -> None:
            whole = path.read_bytes()
            keep = int(place * len(whole)) if isinstance(place, float) else place
            path.write_bytes(whole[:keep])

        return apply

    return tuple(Damage(f"cut-{p}", at(p), says, silent=p in silent) for p in places)


def flip(*places: float, silent: Sequence[float] = ()) -> tuple[Damage, ...]:
    """Turn all bits of one byte: at a share of the file, or so many bytes from its start."""

    def at(place: float) -> Callable[[Path], object]:
        def apply(path: Path) -> None:
            raw = bytearray(path.read_bytes())
            raw[int(place * len(raw)) if isinstance(place, float) else int(place)] ^= 0xFF
            path.write_bytes(raw)

        return apply

    return tuple(Damage(f"flip-{p}", at(p), silent=p in silent) for p in places)


SHARES = (0.3, 0.5, 0.7, 0.95)
CUT_BINARY = cut(1, 0.3, 0.7, -1)
FLIP_HEAD = flip(0)
FLIP_DATA = flip(*SHARES, silent=SHARES)


def bytes_put(name: str, old: bytes, new: bytes, says: str = "", *, silent: bool = False) -> Damage:
    """Replace the first such bytes, which must be there."""

    def apply(path: Path) -> None:
        whole = path.read_bytes()
        assert old in whole
        path.write_bytes(whole.replace(old, new, 1))

    return Damage(name, apply, says, silent)
