"""YouTube Faces: ``splits.txt``, comma-separated pairs of videos under a header."""

from __future__ import annotations

from pathlib import Path

from damcli.errors import InputError
from damcli.protocols.official import (
    CUT_SHORT,
    FOLDS,
    ListedPairs,
    Pair,
    require_count,
    text_lines,
)

_PAIRS = 5000


def read_ytf(path: Path) -> ListedPairs:
    """Read the list; ids are those of videos, ``Aaron_Eckhart/0``.

    Its columns are split, pair, first video, second video, whether the name is the same, and
    whether the person is; the last one counts.

    Raises
    ------
    InputError
        A row is of another layout, or there are not 10 splits of 500.
    """
    origin = str(path)
    lines = text_lines(path, "a header and 5,000 comma-separated rows")
    pairs = []
    for row, text in lines[1:]:
        cells = [cell.strip() for cell in text.split(",")]
        if len(cells) != 6 or cells[5] not in ("0", "1") or not (cells[2] and cells[3]):
            raise InputError(
                origin,
                f"'{text[:80]}'; expected split, pair, video, video, same name, 1 or 0",
                row=row,
                hint=CUT_SHORT,
            )
        pairs.append(Pair(row, cells[2], cells[3], int(cells[5]), cells[0]))
    require_count(origin, len(pairs), _PAIRS, "pairs", "10 splits of 500")
    for fold in range(1, FOLDS + 1):
        count = sum(pair.fold == str(fold) for pair in pairs)
        require_count(f"{origin}, split {fold}", count, _PAIRS // FOLDS, "pairs", "as every split")
    return ListedPairs(origin, (path,), {"": pairs}, unit="videos")
