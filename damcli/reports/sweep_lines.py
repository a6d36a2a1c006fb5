"""The rows of a file that ``damcli sweep`` wrote, CSV or JSON, with what each cell may be."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from damcli.errors import InputError
from damcli.reports.sweep_rows import SETTING_COLUMNS, SWEEP_COLUMNS
from damcli.storage.inputs import require_file
from damcli.storage.tables import reading

ON = ("pairs", "dev", "test")
ANEW = "make the file anew with damcli sweep PAIRS … -o sweep.csv"
_COLUMNS = ("on", *SWEEP_COLUMNS)
_SCHEMA = ("damcli/sweep", 1)


@dataclass(frozen=True)
class Line:
    """One number of one setting, as it stands in the file.

    Attributes
    ----------
    origin
        The file.
    row
        Its row, counted from 1; None in JSON.
    cells
        By the name of the column.
    """

    origin: str
    row: int | None
    cells: dict[str, Any]

    def text(self, name: str) -> str:
        """Return a cell as text, empty where there is nothing."""
        cell = self.cells[name]
        return "" if cell is None else str(cell)

    def number(self, name: str) -> float | None:
        """Return a finite number; None where there is nothing."""
        text = self.text(name)
        if not text:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.wrong(name, "a finite number")
        return number

    def count(self, name: str) -> int | None:
        """Return a whole number, 0 or above; None where there is nothing."""
        number = self.number(name)
        if number is None:
            return None
        if number < 0 or not number.is_integer():
            raise self.wrong(name, "a whole number")
        return int(number)

    def rate(self, name: str) -> float:
        """Return a fraction, which must be there."""
        number = self.number(name)
        if number is None or not 0 <= number <= 1:
            raise self.wrong(name, "a fraction between 0 and 1")
        return number

    def wrong(self, name: str, expected: str) -> InputError:
        """Make the error for a cell that is not what it should be."""
        found = f"{name} is '{self.text(name)}'; expected {expected}"
        return InputError(self.origin, found, row=self.row, hint=ANEW)


def read_lines(path: Path) -> list[Line]:
    """Read a sweep's file.

    Parameters
    ----------
    path
        ``.json``, what ``damcli sweep --json`` printed; else CSV, what ``-o`` wrote.

    Raises
    ------
    InputError
        It is missing, damaged, or of something else.
    """
    require_file(path, "a sweep's numbers")
    with reading(str(path), "is no sweep that can be read", hint=ANEW):
        lines = _of_json(path) if path.suffix.lower() == ".json" else _of_csv(path)
    if not lines:
        raise InputError(str(path), "holds no numbers; expected those of a sweep", hint=ANEW)
    for line in lines:
        if line.text("on") not in ON:
            raise line.wrong("on", f"one of {', '.join(ON)}")
    return lines


def _of_csv(path: Path) -> list[Line]:
    origin = str(path)
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file, strict=True)
        names = reader.fieldnames or ()
        if not any(names):
            raise InputError(origin, "is empty; expected the table of damcli sweep", hint=ANEW)
        missing = [name for name in _COLUMNS if name not in names]
        if missing:
            raise InputError(
                origin,
                f"has no column {', '.join(missing)}; expected the table of damcli sweep",
                row=1,
                hint=ANEW,
            )
        lines = []
        for cells in reader:
            if None in cells or None in cells.values():
                raise InputError(
                    origin,
                    f"has more or fewer cells than the header; expected {len(names)}",
                    row=reader.line_num,
                    hint=ANEW,
                )
            lines.append(Line(origin, reader.line_num, cells))
    return lines


def _of_json(path: Path) -> list[Line]:
    document = json.loads(path.read_text("utf-8-sig"))
    found = (document.get("schema"), document.get("schema_version"))
    if found != _SCHEMA:
        raise InputError(
            str(path),
            f"is of schema {found[0]}, version {found[1]}; expected {_SCHEMA[0]}, version "
            f"{_SCHEMA[1]}",
            hint="give what damcli sweep --json printed",
        )
    keys = ("metric", *SETTING_COLUMNS)
    lines = [
        Line(str(path), None, {"on": on, **{name: one[name] for name in keys}, **row})
        for on in ON
        if on in document
        for one in document[on]["metrics"]
        for row in one["rows"]
    ]
    for line in lines:
        for name in _COLUMNS:
            if name not in line.cells:
                raise InputError(
                    str(path), f"a row without {name}; expected it in every row", hint=ANEW
                )
    return lines
