"""The labels of a classifier's classes: who each class centre stands for."""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from damcli.errors import InputError
from damcli.models.checkpoints import require_file

_HEADER = re.compile(r'"?(index|idx|class|class_index|class_id|id)"?\s*,', re.IGNORECASE)
_INDEXED = re.compile(r'\s*"?\d+"?\s*,', re.ASCII)
_INDEX = re.compile(r"\d{1,9}", re.ASCII)

RUN_HEADER = "class,label,images"
"""The header of the classes that ``damcli train`` writes."""

NumberedLine = tuple[int, str]


def read_labels(path: Path) -> list[str]:
    """Read the labels of C classes, in the order of the classes.

    Two layouts are told apart by the first two lines: one label a line in class order, or
    ``index,label`` lines (a header may come first) with the indices 0 to C - 1 in any order;
    under the header ``class,label,images`` of ``damcli train`` a count of images follows.
    UTF-8, with or without a byte order mark; blank lines may stand at the end, and blanks
    around a label are no part of it.

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
    headed = _HEADER.match(lines[0][1])
    indexed = headed or any(_INDEXED.match(text) for _, text in lines[:2])
    labelled = _in_class_order(path, lines) if indexed else lines
    _check_distinct(path, labelled)
    return [label for _, label in labelled]


def _numbered_lines(path: Path) -> list[NumberedLine]:
    require_file(path, "a list of class labels")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(
            str(path),
            f"cannot be read as text ({error}); expected class labels in UTF-8",
            hint="give a text file with one label a line, saved as UTF-8",
        ) from error
    if "\0" in text:
        raise InputError(str(path), "is binary data; expected one label a line")
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
    return [(row, line.strip()) for row, line in enumerate(lines, start=1)]


def _in_class_order(path: Path, lines: Sequence[NumberedLine]) -> list[NumberedLine]:
    columns = RUN_HEADER if lines[0][1] == RUN_HEADER else "index,label"
    entries = [
        (row, *_index_and_label(path, row, text, columns)) for row, text in _body(path, lines)
    ]
    by_index: dict[int, NumberedLine] = {}
    for row, index, label in entries:
        if index >= len(entries):
            raise InputError(
                str(path),
                f"index {index} among {len(entries)} labels; expected 0 to {len(entries) - 1}, "
                "each once",
                row=row,
                hint="indices count from 0, and every class needs a label",
            )
        if index in by_index:
            raise InputError(
                str(path),
                f"index {index} was already given in row {by_index[index][0]}; expected each "
                "index once",
                row=row,
            )
        by_index[index] = (row, label)
    return [by_index[index] for index in range(len(entries))]


def _body(path: Path, lines: Sequence[NumberedLine]) -> Sequence[NumberedLine]:
    """Leave out the header, if there is one."""
    row, text = lines[0]
    if _INDEXED.match(text):
        return lines
    # an unknown first line may be a header as well as a label that lost its index
    if not _HEADER.match(text):
        raise InputError(
            str(path),
            f"'{text}' stands above 'index,label' lines; expected such a line, or the header "
            "'index,label'",
            row=row,
        )
    if len(lines) == 1:
        raise InputError(str(path), "holds a header only; expected 'index,label' lines under it")
    return lines[1:]


def _index_and_label(path: Path, row: int, text: str, columns: str) -> tuple[int, str]:
    fields = _fields(path, row, text)
    fits = len(fields) == columns.count(",") + 1
    if not fits or not _INDEX.fullmatch(fields[0]) or not fields[1]:
        raise InputError(
            str(path),
            f"'{text}'; expected '{columns}' with a whole number and a label, as in the other "
            "lines",
            row=row,
            hint='put a label with a comma into quotes: 7,"Doe, Jane"',
        )
    return int(fields[0]), fields[1]


def _fields(path: Path, row: int, text: str) -> list[str]:
    try:
        fields = next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as error:
        raise InputError(
            str(path), f"is not well-formed CSV ({error}); expected 'index,label'", row=row
        ) from error
    return [field.strip() for field in fields]


def _check_distinct(path: Path, labelled: Sequence[NumberedLine]) -> None:
    first: dict[str, int] = {}
    for row, label in labelled:
        if label in first:
            raise InputError(
                str(path),
                f"label '{label}' was already given in row {first[label]}; expected a label of "
                "its own for each class",
                row=row,
            )
        first[label] = row
