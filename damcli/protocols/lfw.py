"""LFW's ``pairs.txt``, and RFW's four lists in the same layout without its header.

Per fold there are n rows ``name i j`` (genuine) and n rows ``name i other j`` (impostor).
The header says how many folds there are, and n; that of the development lists only n.
"""

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
    whole_number,
)

_PER_FOLD = 300
RACES = ("African", "Asian", "Caucasian", "Indian")
_WHAT = "rows 'name n1 n2' and 'name1 n1 name2 n2'"


def read_lfw(path: Path) -> ListedPairs:
    """Read LFW's list; ids are ``Name/Name_0001.jpg``.

    Raises
    ------
    InputError
        A row is of neither layout or not where its fold wants it, or rows are lacking.
    """
    return ListedPairs(str(path), (path,), {"": _pairs(path, "")})


def read_rfw(path: Path) -> ListedPairs:
    """Read RFW's four lists; ids are ``African/m.0abc/m.0abc_0001.jpg``, since subjects of one
    name stand under two races.

    Parameters
    ----------
    path
        The list of African pairs, ``txts/African/African_pairs.txt``, beside whose folder the
        other three lie.

    Raises
    ------
    InputError
        As `read_lfw`, or a list is not there.
    """  # noqa: D205
    folder = path.parent.parent
    lists = {race: folder / race / f"{race}_pairs.txt" for race in RACES}
    return ListedPairs(
        str(folder),
        tuple(lists.values()),
        {race: _pairs(file, f"{race}/") for race, file in lists.items()},
        group="race",
    )


def _pairs(path: Path, prefix: str) -> list[Pair]:
    origin = str(path)
    lines = text_lines(path, _WHAT)
    if not lines:
        raise InputError(origin, f"is empty; expected {_WHAT}")
    head = lines[0].text.split()
    folds, size, why = FOLDS, _PER_FOLD, "10 folds of 300 genuine and 300 impostor pairs"
    if len(head) < 3:
        numbers = [whole_number(cell, origin, lines[0].row, "header") for cell in head]
        folds, size = numbers if len(numbers) == 2 else (1, numbers[0])
        why = f"as its header '{lines[0].text}' says"
        lines = lines[1:]
        if not folds * size:
            raise InputError(origin, f"header '{' '.join(head)}'; expected numbers above 0", row=1)
    pairs = [
        _pair(line, place, size, prefix, origin)
        for place, line in enumerate(lines[: 2 * folds * size])
    ]
    require_count(origin, len(lines), 2 * folds * size, "pairs", why)
    return pairs


def _pair(line: Line, place: int, size: int, prefix: str, origin: str) -> Pair:
    """Read a row, which stands at a place, counted from 0, that says whether it is genuine."""
    fold, within = divmod(place, 2 * size)
    genuine = within < size
    cells = line.text.split()
    if len(cells) != (3 if genuine else 4):
        kind, layout = ("genuine", "name n1 n2") if genuine else ("impostor", "name1 n1 name2 n2")
        raise InputError(
            origin,
            f"'{line.text[:60]}'; expected '{layout}', for pair {within + 1} of fold {fold + 1} is "
            f"{kind}",
            row=line.row,
            hint=CUT_SHORT,
        )
    name, number, *other = cells
    others_name, others_number = (name, other[0]) if genuine else (other[0], other[1])
    probe, reference = (
        f"{prefix}{who}/{who}_{whole_number(which, origin, line.row, 'image'):04d}.jpg"
        for who, which in ((name, number), (others_name, others_number))
    )
    return Pair(line.row, probe, reference, int(genuine), str(fold + 1))
