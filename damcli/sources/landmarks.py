"""Five landmarks a face, as files list them."""

from __future__ import annotations

import csv
import itertools
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, counted
from damcli.sources.lines import lines_of
from damcli.storage.tables import ID_NAMES, reading

POINT_COLUMNS = tuple(f"{axis}{number}" for number in range(1, 6) for axis in "xy")
_WHAT = "five landmarks an image: id,x1,y1,…,x5,y5[,score]"
_ORDER_HINT = (
    "the order is: eyes, nose, corners of the mouth, each pair from left to right in the image"
)
_PARTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
_SYNONYMS = {"mouthleft": "leftmouth", "mouthright": "rightmouth", "nosetip": "nose"}


class Landmarks:
    """The landmarks of N images.

    Attributes
    ----------
    origin
        The file, as the user named it.
    ids
        N ids, each once.
    points
        (N, 5, 2) float32, x and y in pixels: eyes, nose, corners of the mouth, each pair
        from left to right in the image.
    scores
        (N,) float32, the detector's scores as the file gives them, or None.
    """

    def __init__(
        self,
        origin: str,
        ids: Sequence[str],
        points: NDArray[np.float32],
        scores: NDArray[np.float32] | None = None,
    ) -> None:
        self.origin = origin
        self.ids = ids
        self.points = points
        self.scores = scores
        self._rows = {name: row for row, name in enumerate(ids)}

    def __len__(self) -> int:
        return len(self.ids)

    def row_of(self, sample_id: str) -> int | None:
        """Find an image by its id, else by its file name where only one row has that."""
        row = self._rows.get(sample_id)
        return self._named.get(_file_name(sample_id)) if row is None else row

    def of(self, sample_id: str) -> NDArray[np.float32] | None:
        """Return the (5, 2) landmarks of an image, or None; see `row_of`."""
        row = self.row_of(sample_id)
        return None if row is None else self.points[row]

    def check(self, sample_ids: Iterable[str]) -> list[str]:
        """Refuse to give one row of landmarks to two images of the same file name.

        Returns
        -------
        list of str
            The images that have no landmarks here.

        Raises
        ------
        InputError
            It would, or no image at all has landmarks.
        """
        taken: dict[int, str] = {}
        without = []
        for name in sample_ids:
            row = self.row_of(name)
            if row is None:
                without.append(name)
            elif (other := taken.setdefault(row, name)) != name:
                raise InputError(
                    self.origin,
                    f"'{self.ids[row]}' fits two images by the file name, '{other}' and '{name}'",
                    hint="list the landmarks by the whole ids of the images",
                )
        if not taken:
            raise InputError(
                self.origin,
                f"none of its {len(self)} ids, such as '{self.ids[0]}', is that of an image",
                hint="its first column must hold the ids of the images, or their file names",
            )
        return without

    @cached_property
    def _named(self) -> dict[str, int]:
        names = [_file_name(name) for name in self.ids]
        last = {name: row for row, name in enumerate(names)}
        seen: set[str] = set()
        for name in names:
            if name in seen:
                last.pop(name, None)
            seen.add(name)
        return last


def read_landmarks(path: Path) -> Landmarks:
    """Read five landmarks an image.

    The columns are ``id,x1,y1,…,x5,y5[,score]``, separated by commas, tabs or spaces. A
    header is optional; one that names the parts of the face (``lefteye_x`` …, left and right
    of the image, as CelebA's) sets their order. CelebA's count in the first line and IJB's
    lists ``image x1 y1 … x5 y5 score`` are read as they are.

    Raises
    ------
    InputError
        The file is missing or holds no row; a row has too few or too many columns, or what
        is no finite number; an id stands twice; or left and right are swapped.
    """
    origin = str(path)
    rows = _rows(path)
    first = next(rows, None)
    if first is not None and len(first[1]) == 1 and first[1][0].isdigit():
        first = next(rows, None)  # CelebA counts its rows
    if first is None:
        raise InputError(origin, f"is empty; expected {_WHAT}")
    columns = _columns_of(first[1], origin, first[0])
    if not columns.header:
        rows = itertools.chain([first], rows)
    ids, points, scores = _read(rows, columns, origin)
    landmarks = Landmarks(origin, ids, points, scores if columns.score is not None else None)
    _check_sides(landmarks)
    return landmarks


class _Columns(NamedTuple):
    name: int
    points: list[int]
    score: int | None
    width: int
    header: bool


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    lines = lines_of(path, _WHAT)
    start = list(itertools.islice(lines, 2))  # the first may be CelebA's count
    lines = itertools.chain(start, lines)
    commas = any("," in line for line in start)
    with reading(str(path), "is no well-formed CSV"):
        cells = csv.reader(lines, strict=True) if commas else map(str.split, lines)
        for row, line in enumerate(cells, start=1):
            if line:
                yield row, line


def _columns_of(first: list[str], origin: str, row: int) -> _Columns:
    width = len(first)
    if not any(_is_number(cell) for cell in first[-10:]):
        return _from_header([re.sub(r"[\W_]", "", cell.lower()) for cell in first], origin, row)
    if width not in (11, 12):
        raise InputError(
            origin,
            f"{counted(width, 'column')}; expected 11 or 12: {_WHAT}",
            row=row,
            hint=_ORDER_HINT,
        )
    return _Columns(0, list(range(1, 11)), 11 if width == 12 else None, width, header=False)


def _from_header(names: list[str], origin: str, row: int) -> _Columns:
    for old, new in _SYNONYMS.items():
        names = [re.sub(f"^{old}(?=[xy]$)", new, name) for name in names]
    if names[0] == "lefteyex":  # CelebA does not name the column of ids
        names = ["id", *names]
    by_part = [part + axis for part in _PARTS for axis in "xy"]
    known = next((way for way in (by_part, POINT_COLUMNS) if set(way) <= set(names)), None)
    id_names = {name.replace("_", "") for name in (*ID_NAMES, "image", "path", "file", "filename")}
    name = next((place for place, name in enumerate(names) if name in id_names), None)
    if known is None or name is None:
        raise InputError(
            origin,
            f"columns {', '.join(names)}; expected id,{','.join(POINT_COLUMNS)}",
            row=row,
            hint=f"or lefteye_x, lefteye_y, … for {', '.join(_PARTS)}",
        )
    score = names.index("score") if "score" in names else None
    return _Columns(name, [names.index(column) for column in known], score, len(names), header=True)


def _read(
    rows: Iterable[tuple[int, list[str]]], columns: _Columns, origin: str
) -> tuple[list[str], NDArray[np.float32], NDArray[np.float32]]:
    ids: dict[str, int] = {}
    numbers, scores = array("f"), array("f")
    for row, cells in rows:
        if len(cells) != columns.width:
            raise InputError(
                origin,
                f"{counted(len(cells), 'column')}; expected {columns.width}, as in the first row",
                row=row,
            )
        name = cells[columns.name].strip()
        if not name:
            raise InputError(origin, "an empty id; expected that of an image", row=row)
        if ids.setdefault(name, row) != row:
            raise InputError(
                origin, f"id '{name}' stands in row {ids[name]} already; expected it once", row=row
            )
        numbers.extend(_number(cells[place], origin, row) for place in columns.points)
        if columns.score is not None:
            scores.append(_number(cells[columns.score], origin, row))
    if not ids:
        raise InputError(origin, f"holds no row; expected {_WHAT}")
    points = np.frombuffer(numbers, dtype=np.float32).reshape(-1, 5, 2)
    return list(ids), points, np.frombuffer(scores, dtype=np.float32)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _number(cell: str, origin: str, row: int) -> float:
    value = float(cell) if _is_number(cell) else float("nan")
    if not abs(value) < 1e9:
        raise InputError(origin, f"'{cell}'; expected a number of pixels", row=row)
    return value


def _check_sides(landmarks: Landmarks) -> None:
    """Refuse a list in which most faces are mirrored, whichever way they are turned."""
    left, right, _, *mouth = landmarks.points.astype(np.float64).transpose(1, 0, 2)
    across, down = right - left, sum(mouth) / 2 - (left + right) / 2
    mirrored = int((across[:, 0] * down[:, 1] - across[:, 1] * down[:, 0] < 0).sum())
    if mirrored * 2 > len(landmarks):
        raise InputError(
            landmarks.origin,
            f"left and right look swapped in {mirrored} of {len(landmarks)} rows",
            hint=_ORDER_HINT + " (a person's right eye comes first)",
        )


def _file_name(name: str) -> str:
    return PurePosixPath(name).name
