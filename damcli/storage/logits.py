"""What a classifier thought of samples of its own classes: probability and cosine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.storage.embeddings import Embeddings, Rows
from damcli.storage.files import read_embeddings
from damcli.storage.memory import require_room_for
from damcli.storage.tables import reading

Floats = NDArray[np.float64]
_RANGES = {"probability": (0.0, 1.0), "cosine": (-1.0, 1.0)}
_ROUNDING = 1e-5  # of a cosine of float16 or float32 vectors that are the same
_HINT = "np.savez(FILE, embedding=…, probability=…, cosine=…), a number a row"


@dataclass(frozen=True, eq=False)
class Logits:
    """Samples of N rows.

    Attributes
    ----------
    embeddings
        N embeddings, with their subjects if they are known.
    probability
        (N,) float64, 0 to 1: softmax probability of the sample's own class.
    cosine
        (N,) float64, -1 to 1: to the centre of that class.
    """

    embeddings: Embeddings
    probability: Floats
    cosine: Floats

    def take(self, rows: Rows) -> Logits:
        """Return some of the samples."""
        return Logits(self.embeddings.take(rows), self.probability[rows], self.cosine[rows])


def read_logits(path: Path) -> Logits:
    """Read an ``.npz`` of embeddings that has ``probability`` and ``cosine`` as well.

    Raises
    ------
    InputError
        It cannot be read as embeddings, lacks an array, or a number is out of its range.
    """
    origin = str(path)
    if path.suffix.lower() != ".npz":
        raise InputError(
            origin, f"is of kind '{path.suffix}'; expected .npz, with logits", hint=_HINT
        )
    embeddings = read_embeddings(path)
    with (
        reading(origin, "not a readable .npz", hint=_HINT),
        path.open("rb") as file,
        np.lib.npyio.NpzFile(file, allow_pickle=False) as archive,
    ):
        for name in _RANGES:
            if name not in archive.files:
                raise InputError(
                    origin,
                    f"holds {', '.join(archive.files)}; expected {name} as well",
                    hint=_HINT,
                )
        require_room_for(archive, list(_RANGES), origin)
        found = {name: np.asarray(archive[name]) for name in _RANGES}
    columns = [_checked(origin, name, found[name], len(embeddings)) for name in _RANGES]
    return Logits(embeddings, *columns)


def _checked(origin: str, name: str, column: NDArray[np.generic], rows: int) -> Floats:
    if column.shape != (rows,) or column.dtype.kind != "f":
        raise InputError(
            origin,
            f"{name} is of shape {column.shape} and type {column.dtype}; expected {rows} floats",
            hint=_HINT,
        )
    numbers = column.astype(np.float64)
    low, high = _RANGES[name]
    wrong = np.flatnonzero(~((numbers >= low - _ROUNDING) & (numbers <= high + _ROUNDING)))
    if len(wrong):
        raise InputError(
            origin,
            f"{name} is {numbers[wrong[0]]:g}; expected a number from {low:g} to {high:g}",
            row=int(wrong[0]) + 1,
            hint="expected softmax probabilities, not logits" if name == "probability" else None,
        )
    return numbers.clip(low, high)
