"""The labels of a classifier's classes: who each class centre stands for."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

from damcli.errors import InputError
from damcli.models.checkpoints import require_file

INDEX_NAMES = ("index", "idx", "class", "class_index", "class_id", "id")

Line = tuple[int, str]


def read_labels(path: Path) -> list[str]:
    """Read the labels of C classes, in the order of the classes.

    Two layouts are told apart by the first two lines: one label a line in class order, or
    ``index,label`` lines (a header may come first) with the indices 0 to C - 1 in any order.
    UTF-8, with or without a byte order mark; blank lines may stand at the end.

    Parameters
    ----------
    path
        The text or CSV file.

    Returns
    -------
    list[str]
        C distinct labels; item c belongs to class c.

    Raises
    ------
    InputError
        There is no such file, or one of its rows, which the error names, is blank, repeats
        a label, or has an index that is not what it should be.
    """
    lines = _numbered_lines(path)
    table = any(_index_of(_fields(path, line)) is not None for line in lines[:2])
    labelled = _in_index_order(path, lines) if table else lines
    _check_distinct(path, labelled)
    return [label for _, label in labelled]


def _numbered_lines(path: Path) -> list[Line]:
    require_file(path, "a list of class labels")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(
            str(path),
            f"cannot be read as text ({error}); expected class labels in UTF-8",
            hint="give a text file with one label a line, saved as UTF-8",
        ) from error
    lines = text.rstrip().split("\n")
    if lines == [""]:
        raise InputError(str(path), "holds only blank lines; expected one label a line")
    for row, line in enumerate(lines, start=1):
        if not line.strip():
            raise InputError(
                str(path),
                "is blank; expected a label",
                row=row,
                hint="a label for each class, so that they keep their order",
            )
    return list(enumerate(lines, start=1))


def _fields(path: Path, line: Line) -> list[str]:
    row, text = line
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(
            str(path), f"is not well-formed CSV ({error}); expected 'index,label'", row=row
        ) from error


def _index_of(fields: Sequence[str]) -> int | None:
    digits = fields[0].strip()
    whole = len(fields) > 1 and digits.isascii() and digits.isdigit()
    return int(digits) if whole else None
