"""Images that a list names: ``path[,id][,subject][,group…]``."""

from __future__ import annotations

import csv
import itertools
import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from damcli.errors import InputError, counted
from damcli.sources.decoding import IMAGE_SUFFIXES
from damcli.sources.filenames import FileSource
from damcli.sources.lines import lines_of, text_suffix
from damcli.storage.tables import SUBJECT_NAMES, reading

LIST_SUFFIXES = (".csv", ".tsv", ".txt", ".lst")
PATH_NAMES = ("path", "file", "filename", "image", "image_path", "file_path", "filepath")
ID_NAMES = ("id", "image_id", "sample_id", "name")
_COLUMNS = "path[,id][,subject][,group…]"
_HEADER_HINT = "name the columns in the first row: path, id, subject; others become groups"

Rows = Iterator[tuple[int, list[str]]]


class _Layout(NamedTuple):
    """Which column holds what, by place."""

    path: int
    id: int | None
    subject: int | None
    groups: dict[str, int]
    width: int


def list_source(path: Path, root: Path | None = None) -> FileSource:
    """Take the images that a list names.

    Columns are separated by commas or tabs. With a header (which must name ``path``),
    ``id`` and ``subject`` stand anywhere and every other column is a group; without one,
    they are path, id, subject by their places. An id is the path as written where there is
    no column for it.

    Parameters
    ----------
    path
        The list, plain or compressed.
    root
        What the paths are relative to, and what none may lead out of; by default the list's
        own folder, and any file.

    Raises
    ------
    InputError
        The list is missing, empty or damaged; a row has too few or too many columns or an
        empty cell where there must be none; an id stands twice; or a path leads out of the
        root. That a link does, shows when the image is read.
    """
    lines = lines_of(path, f"a list of images, {_COLUMNS}")
    tabs = text_suffix(path.name) == ".tsv"
    base = path.parent if root is None else root
    return source_of_lines(lines, str(path), base, tabs=tabs, walled=root is not None)


def source_of_lines(
    lines: Iterable[str], origin: str, base: Path, *, tabs: bool = False, walled: bool = False
) -> FileSource:
    """Take the images that lines name, walled by the base or not; see `list_source`."""
    rows = _cells(iter(lines), origin, tabs)
    first = next(rows, None)
    if first is None:
        raise InputError(origin, f"names no image; expected rows {_COLUMNS}")
    layout = _from_header(first[1], origin)
    if layout is None:
        layout = _from_places(first[1], origin, first[0])
        rows = itertools.chain([first], rows)
    return _collect(rows, layout, origin, base, walled)


def _cells(lines: Iterator[str], origin: str, tabs: bool) -> Rows:
    blank, start = 0, ""
    for start in lines:
        if start.strip():
            break
        blank += 1
    delimiter = "\t" if tabs or "\t" in start else ","
    table = csv.reader(itertools.chain([start], lines), delimiter=delimiter, strict=True)
    with reading(origin, "is no well-formed list", hint="quote paths that hold commas or quotes"):
        for row, cells in enumerate(table, start=1 + blank):
            if any(cell.strip() for cell in cells):
                yield row, [cell.strip() for cell in cells]


def _from_header(cells: list[str], origin: str) -> _Layout | None:
    names = [cell.lower() for cell in cells]
    if not any(name in PATH_NAMES for name in names):
        return None
    path, ids, subject = (
        next((names.index(name) for name in known if name in names), None)
        for known in (PATH_NAMES, ID_NAMES, SUBJECT_NAMES)
    )
    assert path is not None
    groups = {cells[at]: at for at in range(len(cells)) if at not in (path, ids, subject)}
    if len(set(cells)) < len(cells):
        raise InputError(origin, f"columns {', '.join(cells)}; expected each name once", row=1)
    return _Layout(path, ids, subject, groups, len(cells))


def _from_places(cells: list[str], origin: str, row: int) -> _Layout:
    looks = [cell.lower().endswith(IMAGE_SUFFIXES) for cell in cells]
    found = f"'{', '.join(cells)}'"
    if len(cells) > 3 or (any(looks) and not looks[0]):
        raise InputError(
            origin, f"{found} without a header; expected {_COLUMNS}", row=row, hint=_HEADER_HINT
        )
    for separator, what in ((None, "spaces"), (";", "semicolons")):
        first, *more = cells[0].lower().split(separator) or [""]
        is_path = first.endswith(IMAGE_SUFFIXES) or first in PATH_NAMES
        if more and is_path and not looks[0]:
            raise InputError(
                origin,
                f"{found} has columns separated by {what}; expected commas or tabs",
                row=row,
                hint=f"{what} belong to the path; {_HEADER_HINT}",
            )
    width = len(cells)
    return _Layout(0, 1 if width > 1 else None, 2 if width > 2 else None, {}, width)


def _collect(rows: Rows, layout: _Layout, origin: str, base: Path, walled: bool) -> FileSource:
    paths: list[str] = []
    places: dict[str, int] = {}  # the ids, in order, and the rows they stand in
    subjects: list[str] = []
    groups: dict[str, list[str]] = {name: [] for name in layout.groups}
    for row, cells in rows:
        if len(cells) != layout.width:
            raise InputError(
                origin,
                f"{counted(len(cells), 'column')} ('{', '.join(cells)[:60]}'); expected "
                f"{layout.width}, as in the first row",
                row=row,
                hint="quote paths that hold commas",
            )
        path = _filled(cells, layout.path, "path", origin, row)
        if walled:
            _require_inside(path, base, origin, row)
        name = path if layout.id is None else _filled(cells, layout.id, "id", origin, row)
        if places.setdefault(name, row) != row:
            other = paths[list(places).index(name)]
            raise _repeated(origin, row, name, places[name], path, other)
        paths.append(path)
        if layout.subject is not None:
            subjects.append(sys.intern(_filled(cells, layout.subject, "subject", origin, row)))
        for group, column in layout.groups.items():
            groups[group].append(sys.intern(cells[column]))
    if not paths:
        raise InputError(origin, f"names no image; expected rows {_COLUMNS}")
    people = None if layout.subject is None else subjects
    return FileSource(origin, base, paths, list(places), people, groups, walled=walled)


def _require_inside(path: str, root: Path, origin: str, row: int) -> None:
    """Refuse a path that leads out of the root by what it says; links are for the reader."""
    wall = os.path.abspath(root)  # noqa: PTH100 - links are not followed here
    if not Path(os.path.normpath(Path(wall, path))).is_relative_to(wall):
        raise InputError(
            origin,
            f"'{path}' leads out of --root {root}; expected paths under it",
            row=row,
            hint="mend the list; if you trust it, name a folder above, or leave --root out",
        )


def _filled(cells: list[str], column: int, what: str, origin: str, row: int) -> str:
    if not cells[column]:
        raise InputError(origin, f"an empty {what}; expected {_COLUMNS}", row=row)
    if "\0" in cells[column]:
        raise InputError(origin, f"a NUL character in the {what}; expected text", row=row)
    return cells[column]


def _repeated(
    origin: str, row: int, name: str, first_row: int, path: str, first_path: str
) -> InputError:
    if name == path == first_path:
        return InputError(
            origin,
            f"'{path}' stands in row {first_row} already; expected each image once",
            row=row,
            hint="give the rows distinct ids in a column 'id'",
        )
    return InputError(
        origin,
        f"id '{name}' of {path} was already given to {first_path} in row {first_row}; expected "
        "each id once",
        row=row,
        hint="if this column names subjects, give the list a header: path,subject",
    )
