"""Ways to spoil packed images, lists of images, landmarks and lists of official protocols."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.faults.damage import CUT_BINARY, FLIP_DATA, Damage, cut
from tests.faults.damage_arrays import LYING
from tests.faults.damage_text import LAST_LINE_MISSING, LATIN1, LINES, cell, line, ragged, text


def pickled(name: str, content: object, says: str = "") -> Damage:
    """Pickle something else."""
    return Damage(name, lambda path: path.write_bytes(pickle.dumps(content, 2)), says)


def _extended(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b"more")


def _length(claim: int) -> Callable[[Path], None]:
    """Let the first record claim a length."""

    def apply(path: Path) -> None:
        raw = path.read_bytes()
        path.write_bytes(raw[:4] + struct.pack("<I", claim) + raw[8:])

    return apply


BIN = (
    *CUT_BINARY,
    *FLIP_DATA,
    Damage("bytes-after", _extended, "bytes after its pickle"),
    pickled("odd-images", ([b"a"] * 3, [True, False]), "3 images for 2 pairs"),
    pickled("no-images", ([], []), "0 images"),
    pickled("answers-2", ([b"a"] * 4, [True, 2]), "pair 1"),
    pickled("answers-text", ([b"a"] * 4, "no"), "in place of a list"),
    pickled("images-numbers", ([1, 2, 3, 4], [True, False]), "image 0"),
    pickled("a-dict", {"images": []}, "holds a dict"),
    pickled("nothing", None, "holds a NoneType"),
)
RECORDS = (
    *cut(1, 0.3, 0.7, 16),
    Damage("length-of-512-MB", _length(2**29 - 1)),
    Damage("length-0", _length(0)),
    Damage("part-7", _length(7 << 29 | 20)),
)
INDEX = (
    line("key-text", 2, lambda old: "one\t20", "row 2"),
    line("key-below-0", 2, lambda old: "-1\t20", "row 2"),
    line("one-column", 2, lambda old: "1", "row 2"),
    line("offset-of-30-digits", 2, lambda old: "1\t" + "9" * 30, "row 2"),
    line("offset-outside", 2, lambda old: "1\t99999999"),
    line("offset-inside-a-record", 2, lambda old: "1\t4"),
    line("key-twice", 3, lambda old: "1\t" + old.split()[1], "row 3: key 1"),
)
IMAGES_NPY = (
    Damage("floats", lambda path: np.save(path, np.zeros((2, 8, 8, 3))), "uint8"),
    Damage("one-image", lambda path: np.save(path, np.zeros((8, 8, 3), np.uint8)), "one image"),
    Damage("no-image", lambda path: np.save(path, np.zeros((0, 8, 8, 3), np.uint8)), "shape (0"),
    Damage("five-channels", lambda path: np.save(path, np.zeros((2, 8, 8, 5), np.uint8)), "shape"),
    *LYING,
)
LIST = (
    *ragged(5),
    LATIN1,
    cell("empty-path", 5, 0, "", "row 5"),
    cell("same-id", 5, 1, "photos/p0/0.png", "row 5"),
    text("header-alone", "path,id,subject\n"),
    text("two-columns-alike", "path,id,id\na,b,c\n", "id"),
    line("open-quote", 5, lambda old: '"' + old),
    cell("nul-in-a-path", 5, 0, "a\0b"),
)
LANDMARKS = (
    *ragged(5),
    LATIN1,
    cell("a-point-text", 5, 3, "left", "row 5: 'left'"),
    cell("a-point-nan", 5, 3, "nan", "row 5: 'nan'"),
    cell("a-point-infinite", 5, 3, "1e99", "row 5: '1e99'"),
    line("same-id", 5, lambda old: "p0/0.png" + old[old.index(",") :], "row 5"),
    Damage(
        "of-others", lambda path: path.write_text(path.read_text().replace("p", "q")), "none of"
    ),
    Damage(
        "left-is-right",
        lambda path: path.write_text(path.read_text().replace("38,51,73,51", "73,51,38,51")),
        "look swapped",
    ),
)


def official(number: int, *, mark: str = "\t") -> tuple[Damage, ...]:
    """Spoil a line of an official list, which holds as many lines as the protocol has."""
    where = f"row {number}"
    return (
        *LINES,
        LAST_LINE_MISSING,
        *cut(0.3, 0.7),
        line("a-word", number, lambda old: "perhaps", where),
        line("a-cell-too-many", number, lambda old: mark.join([old, "1", "1", "1"]), where),
        line("a-line-twice", number, lambda old: f"{old}\n{old}"),
        Damage("twice-over", lambda path: path.write_bytes(path.read_bytes() * 2)),
    )
