"""How alike the anchors are: whether a generator makes many people, or one many times."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from damcli.storage.anchors import Anchors

_LOOKED_AT = 2000


class Likeness(NamedTuple):
    """Cosines between all pairs of the first anchors."""

    anchors: int
    """How many were looked at."""
    mean: float
    highest: float
    pair: tuple[str, str]
    """The ids of the two that are most alike."""


def likeness(anchors: Anchors) -> Likeness | None:
    """Compare the first 2,000 anchors with each other; None for a single anchor."""
    some = anchors.take(slice(0, _LOOKED_AT))
    count = len(some)
    if count < 2:
        return None
    wide = some.vectors.astype(np.float64)
    cosines = wide @ wide.T
    np.fill_diagonal(cosines, -np.inf)
    first, second = np.unravel_index(int(cosines.argmax()), cosines.shape)
    total = some.vectors.sum(axis=0, dtype=np.float64)
    mean = (total @ total - count) / (count * (count - 1))
    pair = (str(some.ids[first]), str(some.ids[second]))
    return Likeness(count, float(mean), float(cosines[first, second]), pair)
