"""The embeddings of both sides of pairs, and what is taken of each that is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.lid.source import LidSource
from damcli.storage.embeddings import Embeddings, Rows

Take = Callable[..., NDArray[Any]]
Progress = Callable[[int], None]


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

    def check(self, check: Callable[[Embeddings], None]) -> None:
        """Hand the embeddings that stand in a pair to what may refuse them."""
        for side, rows in self._used():
            check(_taken(side, rows))

    def each(
        self, take: Take, progress: Progress | None = None, source: LidSource | None = None
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Take something of the embeddings that stand in a pair; other rows are NaN.

        Parameters
        ----------
        take
            Given n embeddings, returns floats of shape (n,) or (n, q).
        progress
            Called with the embeddings done since the last call; if there is one, ``take``
            must take it as ``progress``.
        source
            What ``take`` asks, if anything; of anchors, workers elsewhere may do it in parts.

        Returns
        -------
        tuple of ndarray
            (N,) or (N, q) for the probes, and likewise for the references; taken once where
            these are the same.
        """
        found = [
            spread(self._take(side, rows, take, progress, source), rows, len(side))
            for side, rows in self._used()
        ]
        return found[0], found[-1]

    def _used(self) -> list[tuple[Embeddings, Rows | None]]:
        """List the sides, once where they are the same, with their rows; None for all."""
        if self.references is not self.probes:
            sides = (self.probes, self.probe_rows), (self.references, self.reference_rows)
            return [(side, _unless_all(rows, side)) for side, rows in sides]
        rows = self.probe_rows
        if rows is not None and self.reference_rows is not None:
            rows = np.union1d(rows, self.reference_rows)
        return [(self.probes, _unless_all(rows, self.probes))]

    def _take(
        self,
        side: Embeddings,
        rows: Rows | None,
        take: Take,
        progress: Progress | None,
        source: LidSource | None,
    ) -> NDArray[Any]:
        """Take something of some rows of a side."""
        if progress is not None:
            take = partial(take, progress=progress)
        return np.asarray(take(_taken(side, rows)))


def _unless_all(rows: Rows | None, side: Embeddings) -> Rows | None:
    return None if rows is None or len(rows) == len(side) else rows


def _taken(side: Embeddings, rows: Rows | None) -> Embeddings:
    return side if rows is None else side.take(rows)


def spread(found: NDArray[Any], rows: Rows | None, length: int) -> NDArray[Any]:
    """Put what was found of some rows in their places among all; other rows are NaN."""
    if rows is None:
        return found
    whole = np.full((length, *found.shape[1:]), np.nan, dtype=found.dtype)
    whole[rows] = found
    return whole
