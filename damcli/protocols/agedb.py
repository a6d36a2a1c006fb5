"""AgeDB: the official MATLAB files, and the plain list that goes with insightface's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from damcli.errors import InputError
from damcli.protocols.official import (
    CUT_SHORT,
    FOLDS,
    ListedPairs,
    Pair,
    require_count,
    text_lines,
)
from damcli.storage.tables import reading

_PER_FOLD = 600
_FOLDER = "03_Protocol_Images"
_LABELS = {1: 1, 0: 0, -1: 0}
_LAYOUT = "ten 'splits', each a structure of 2 x 600 images and 600 labels 1 or -1"


def read_agedb(path: Path) -> ListedPairs:
    """Read AgeDB's pairs.

    Parameters
    ----------
    path
        ``04_FINAL_protocol_30_years.mat`` (or of 5, 10, 20 years), whose ids are
        ``03_Protocol_Images/NAME.jpg``; or text of 6,000 rows ``image image label``, the
        label -1 or 0 for impostors, 600 a fold.

    Raises
    ------
    InputError
        The file is not of its layout, or pairs are lacking.
    """
    pairs = _matlab(path) if path.suffix.lower() == ".mat" else _text(path)
    return ListedPairs(str(path), (path,), {"": pairs})


def _text(path: Path) -> list[Pair]:
    origin = str(path)
    pairs: list[Pair] = []
    for row, text in text_lines(path, "rows 'image image label'"):
        cells = text.split()
        if len(cells) != 3 or cells[2] not in ("1", "0", "-1"):
            raise InputError(
                origin,
                f"'{text[:60]}'; expected two images and a label, 1 or -1",
                row=row,
                hint=CUT_SHORT,
            )
        fold = len(pairs) // _PER_FOLD + 1
        pairs.append(Pair(row, cells[0], cells[1], _LABELS[int(cells[2])], str(fold)))
    require_count(origin, len(pairs), FOLDS * _PER_FOLD, "pairs", "10 folds of 600")
    return pairs


def _matlab(path: Path) -> list[Pair]:
    from scipy.io import loadmat

    origin = str(path)
    if not path.is_file():
        raise InputError(origin, f"no such file; expected {_LAYOUT}", hint="check the name")
    with reading(origin, "is no readable MATLAB file", hint=f"expected {_LAYOUT}"):
        loaded = loadmat(str(path), variable_names=["splits"])  # parses data; no code is stored
    if "splits" not in loaded:
        raise InputError(origin, f"holds no 'splits'; expected {_LAYOUT}")
    splits = loaded["splits"].ravel()
    require_count(origin, len(splits), FOLDS, "splits", "one for each fold")
    pairs: list[Pair] = []
    for fold, split in enumerate(splits, start=1):
        for probe, reference, label in _split(_bare(split), origin, fold):
            pairs.append(Pair(len(pairs) + 1, probe, reference, label, str(fold)))
    return pairs


def _split(split: Any, origin: str, fold: int) -> list[tuple[str, str, int]]:
    """Find the images and the labels of a split by their shape: fields' names differ."""
    fields = [_bare(split[name]) for name in split.dtype.names or ()] if _is_struct(split) else []
    images = next((each for each in fields if _is_cells(each)), None)
    labels = next((each for each in fields if _is_numbers(each)), None)
    if images is None or labels is None:
        raise InputError(origin, f"split {fold} is of another layout; expected {_LAYOUT}")
    count = images.shape[1]
    require_count(f"{origin}, split {fold}", count, _PER_FOLD, "pairs", "as every fold of AgeDB")
    require_count(f"{origin}, split {fold}", labels.size, count, "labels", "one a pair")
    wrong = np.flatnonzero(~np.isin(labels.ravel(), list(_LABELS)))
    if len(wrong):
        raise InputError(
            f"{origin}, split {fold}",
            f"label {labels.ravel()[wrong[0]]} of pair {wrong[0] + 1}; expected 1 or -1",
        )
    names = [[f"{_FOLDER}/{_name(cell, origin, fold)}.jpg" for cell in row] for row in images]
    known = [_LABELS[int(label)] for label in labels.ravel()]
    return list(zip(names[0], names[1], known, strict=True))


def _name(cell: Any, origin: str, fold: int) -> str:
    """Return the image that a cell names: its text, or the first field of its structure."""
    bare = _bare(cell)
    if _is_struct(bare):
        bare = _bare(bare[bare.dtype.names[0]])
    if isinstance(bare, str) and bare.strip():
        return bare.strip().removesuffix(".jpg")
    raise InputError(origin, f"split {fold} names no image in a cell; expected {_LAYOUT}")


def _bare(value: Any) -> Any:
    """Take a value out of the 1 x 1 arrays that MATLAB wraps it in."""
    while isinstance(value, np.ndarray) and value.size == 1 and value.dtype.kind in "OUV":
        value = value.reshape(-1)[0]
    return str(value) if isinstance(value, np.str_) else value


def _is_struct(value: Any) -> bool:
    return isinstance(value, np.void) and value.dtype.names is not None


def _is_cells(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == object and value.shape[:1] == (2,)


def _is_numbers(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind in "iuf" and value.size > 1
