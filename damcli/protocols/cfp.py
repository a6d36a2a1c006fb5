"""CFP: two lists of numbered images, and for each fold pairs of these numbers."""

from __future__ import annotations

from pathlib import Path
from posixpath import normpath

from damcli.errors import InputError
from damcli.protocols.official import (
    CUT_SHORT,
    FOLDS,
    ListedPairs,
    Pair,
    require_count,
    text_lines,
    whole_number,
)

_PER_FOLD = 350


def read_cfp(path: Path, kind: str) -> ListedPairs:
    """Read CFP's pairs; ids are ``Data/Images/001/frontal/01.jpg``.

    Parameters
    ----------
    path
        ``Pair_list_F.txt``, beside which lie ``Pair_list_P.txt`` and ``Split/``.
    kind
        ``FF``: two frontal faces, or ``FP``: a frontal face and a profile.

    Raises
    ------
    InputError
        A file is not there, a fold does not hold 350 + 350 pairs, or a number is not in its
        list.
    """
    folder = path.parent
    lists = [folder / f"Pair_list_{side}.txt" for side in kind]
    images = {file: _images(file) for file in lists}
    files = list(images)
    pairs: list[Pair] = []
    for fold in range(1, FOLDS + 1):
        for label, name in ((1, "same.txt"), (0, "diff.txt")):
            file = folder / "Split" / kind / f"{fold:02d}" / name
            files.append(file)
            for probe, reference in _numbers(file, images[lists[0]], images[lists[1]]):
                pairs.append(Pair(len(pairs) + 1, probe, reference, label, str(fold)))
    return ListedPairs(str(folder), tuple(files), {"": pairs})


def _images(path: Path) -> list[str]:
    """Read the images of a list, whose numbers go up from 1, relative to the data set."""
    origin = str(path)
    images: list[str] = []
    for row, text in text_lines(path, "rows 'number image'"):
        number, *image = text.split(None, 1)
        if whole_number(number, origin, row, "number") != len(images) + 1 or not image:
            raise InputError(
                origin,
                f"'{text[:60]}'; expected image number {len(images) + 1}",
                row=row,
                hint=CUT_SHORT,
            )
        images.append(normpath(f"Protocol/{image[0]}"))
    if not images:
        raise InputError(origin, "is empty; expected rows 'number image'", hint=CUT_SHORT)
    return images


def _numbers(path: Path, first: list[str], second: list[str]) -> list[tuple[str, str]]:
    origin = str(path)
    lines = text_lines(path, "rows 'i,j'")
    pairs = []
    for row, text in lines:
        cells = text.split(",")
        if len(cells) != 2:
            raise InputError(origin, f"'{text[:60]}'; expected 'i,j'", row=row, hint=CUT_SHORT)
        numbers = [whole_number(cell.strip(), origin, row, "number") for cell in cells]
        for number, listed in zip(numbers, (first, second), strict=True):
            if not 1 <= number <= len(listed):
                raise InputError(
                    origin,
                    f"image {number}; expected 1 to {len(listed):,}, as far as its Pair_list goes",
                    row=row,
                    hint="was the Pair_list cut short? fetch it anew",
                )
        pairs.append((first[numbers[0] - 1], second[numbers[1] - 1]))
    require_count(origin, len(pairs), _PER_FOLD, "pairs", "as every fold of CFP has of each kind")
    return pairs
