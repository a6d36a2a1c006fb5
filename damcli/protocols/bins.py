"""insightface's ``.bin`` as a protocol: its answers, in ten folds."""

from __future__ import annotations

from pathlib import Path

from damcli.errors import InputError
from damcli.protocols.official import FOLDS, ListedPairs, Pair
from damcli.sources.bin_files import read_bin_pairs


def read_insightface_bin(path: Path) -> ListedPairs:
    """Read the pairs of a ``.bin``; ids are those that ``damcli embed`` gives its images.

    Folds are consecutive tenths; where ten does not divide the pairs, the first folds have
    one more.

    Raises
    ------
    InputError
        The file is damaged, holds anything but images and answers, or less than ten pairs.
    """
    found = read_bin_pairs(path)
    if len(found) < FOLDS:
        raise InputError(
            str(path), f"{len(found)} pairs; expected at least one for each of 10 folds"
        )
    size, more = divmod(len(found), FOLDS)
    folds = [fold for fold in range(FOLDS) for _ in range(size + (fold < more))]
    pairs = [
        Pair(row, *pair, str(fold + 1))
        for row, (pair, fold) in enumerate(zip(found, folds, strict=True), start=1)
    ]
    return ListedPairs(str(path), (path,), {"": pairs}, id_kind="numbers")
