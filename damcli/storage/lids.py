"""LIDs kept beside the embeddings that they are of, so that they are taken once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli import __version__
from damcli.errors import InputError
from damcli.storage.drafts import hdf5_output
from damcli.storage.hdf5 import FORMAT_VERSION, check_version, open_dataset, plain
from damcli.storage.locks import open_for_reading
from damcli.storage.tables import reading

LIDS = "damcli/lids"
Floats = NDArray[np.float64]


class MadeOf(NamedTuple):
    """What LIDs hang on; any other of these makes other LIDs."""

    embeddings: str
    """SHA-256 of the file of embeddings."""
    anchors: str
    """SHA-256 of the file of anchors."""
    k: int
    s: float
    damcli_version: str = __version__


def lids_path(embeddings: Path) -> Path:
    """Return where the LIDs of a file of embeddings are kept: ``emb.h5.lids.h5``."""
    return embeddings.with_name(embeddings.name + ".lids.h5")


def is_lids(path: Path) -> bool:
    """Whether the file says that it holds LIDs."""
    try:
        with open_for_reading(path) as file:
            return bool(plain(file.attrs.get("format")) == LIDS)
    except OSError:
        return False


def read_lids(path: Path) -> dict[MadeOf, Floats]:
    """Read all columns of a file of LIDs.

    Returns
    -------
    dict
        Of what they were made, and (N,) float64 log LIDs; NaN for those not taken yet.

    Raises
    ------
    InputError
        The file is damaged, or holds something else.
    """
    with _opened(path) as file:
        layout = plain(file.attrs.get("format", "no damcli format"))
        if layout != LIDS:
            raise InputError(str(path), f"holds {layout}; expected {LIDS}", hint=_hint(path))
        check_version(file, str(path))
        return dict(_column(file, name, str(path)) for name in file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = open_for_reading(path)
    except PermissionError as error:
        raise InputError(str(path), "may not be read", hint=_hint(path)) from error
    except (OSError, InputError) as error:
        raise InputError(str(path), "a damaged file of LIDs", hint=_hint(path)) from error
    with file, reading(str(path), "a damaged file of LIDs", hint=_hint(path)):
        yield file


def _column(file: Any, name: str, origin: str) -> tuple[MadeOf, Floats]:
    dataset = open_dataset(file, name, origin)
    values = dataset[:]
    if values.ndim != 1 or values.dtype != np.float64 or np.isinf(values).any():
        raise ValueError(f"column '{name}' of {values.dtype} and shape {values.shape}")
    known = {key: plain(dataset.attrs[key]) for key in MadeOf._fields}
    return MadeOf(**known), values


def _hint(path: Path) -> str:
    return f"remove {path}: LIDs that it kept are then taken anew"


def write_lids(path: Path, columns: Mapping[MadeOf, Floats]) -> None:
    """Write a file of LIDs in the place of an older one.

    Raises
    ------
    OutputError
        It cannot be written; an older one is then as it was.
    """
    with hdf5_output(path, force=True) as file:
        file.attrs["format"] = LIDS
        file.attrs["format_version"] = FORMAT_VERSION
        for number, (made_of, values) in enumerate(columns.items()):
            dataset = file.create_dataset(str(number), data=values)
            for key, value in made_of._asdict().items():
                dataset.attrs[key] = value
