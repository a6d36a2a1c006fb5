"""The embeddings of both sides of pairs, and what is taken of each that is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.storage.embeddings import Embeddings, Rows


@dataclass(frozen=True, eq=False)
class Sides:
    """Probes and references, the same object where there is one set only.

    Attributes
    ----------
    probe_rows, reference_rows
        The rows that stand in a pair; None for all of them.
    """

    probes: Embeddings
    references: Embeddings
    probe_rows: Rows | None = None
    reference_rows: Rows | None = None

    def each(self, take: Callable[[Embeddings], NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Take something of the embeddings that stand in a pair; other rows are NaN.

        Parameters
        ----------
        take
            Given n embeddings, returns floats of shape (n,) or (n, q).

        Returns
        -------
        tuple of ndarray
            (N,) or (N, q) for the probes, and likewise for the references; taken once where
            these are the same.
        """
        if self.references is not self.probes:
            return (
                _spread(self.probes, self.probe_rows, take),
                _spread(self.references, self.reference_rows, take),
            )
        rows = self.probe_rows
        if rows is not None and self.reference_rows is not None:
            rows = np.union1d(rows, self.reference_rows)
        both = _spread(self.probes, rows, take)
        return both, both


def _spread(
    side: Embeddings, rows: Rows | None, take: Callable[[Embeddings], NDArray[Any]]
) -> NDArray[Any]:
    if rows is None or len(rows) == len(side):
        return take(side)
    found = take(side.take(rows))
    spread = np.full((len(side), *found.shape[1:]), np.nan, dtype=found.dtype)
    spread[rows] = found
    return spread
