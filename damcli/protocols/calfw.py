"""CALFW's and CPLFW's lists: two lines a pair, ``image label``, genuine pairs first."""

from __future__ import annotations

from pathlib import Path

from damcli.errors import InputError
from damcli.protocols.official import (
    CUT_SHORT,
    FOLDS,
    Line,
    ListedPairs,
    Pair,
    require_count,
    text_lines,
)

_PER_FOLD = 300
_HALF = FOLDS * _PER_FOLD


def read_calfw(path: Path) -> ListedPairs:
    """Read the list; ids are the names of the images.

    The file holds all genuine pairs and then all impostor pairs. Fold f is made of the f-th
    300 of both.

    Raises
    ------
    InputError
        There are not 12,000 lines, or a label is not what its half of the file wants.
    """
    origin = str(path)
    lines = text_lines(path, "two lines 'image label' a pair")
    require_count(origin, len(lines), 4 * _HALF, "lines", "two for each of 3,000 + 3,000 pairs")
    genuine, impostors = (
        [_pair(lines, place, origin) for place in range(start, start + _HALF)]
        for start in (0, _HALF)
    )
    folds = (slice(start, start + _PER_FOLD) for start in range(0, _HALF, _PER_FOLD))
    pairs = [pair for fold in folds for pair in genuine[fold] + impostors[fold]]
    return ListedPairs(origin, (path,), {"": pairs})


def _pair(lines: list[Line], place: int, origin: str) -> Pair:
    """Read the pair of a place, counted from 0, that says its label and its fold."""
    genuine = place < _HALF
    probe, reference = (_image(line, genuine, origin) for line in lines[2 * place : 2 * place + 2])
    fold = place % _HALF // _PER_FOLD + 1
    return Pair(lines[2 * place].row, probe, reference, int(genuine), str(fold))


def _image(line: Line, genuine: bool, origin: str) -> str:
    *image, label = line.text.rsplit(None, 1)
    if not image or not label.isdecimal() or bool(label.strip("0")) != genuine:
        wanted = "image and a label other than 0" if genuine else "image and the label 0"
        raise InputError(
            origin,
            f"'{line.text[:60]}'; expected an {wanted}: lines 1 to {2 * _HALF:,} are genuine "
            "pairs, the others impostors",
            row=line.row,
            hint=CUT_SHORT,
        )
    return image[0]
