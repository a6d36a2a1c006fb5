"""Exact search by faiss: float32 chooses candidates, with a proof for every row."""

from __future__ import annotations

import numpy as np

from damcli.lid.candidates import (
    Neighbours,
    Vectors,
    compare_with_all,
    float32_error,
    ranked,
)
from damcli.lid.own import Codes, is_own
from damcli.metrics import pair_similarities

# faiss ranks in float32, where near ties may change places; so many more are ranked in float64.
_SPARE = 8


class FlatSearch:
    """The anchors as a flat faiss index.

    Parameters
    ----------
    anchors
        (M, D) unit rows.
    """

    def __init__(self, anchors: Vectors) -> None:
        import faiss

        self._anchors = anchors
        self._index = faiss.IndexFlatIP(anchors.shape[1])
        self._index.add(np.ascontiguousarray(anchors))

    def nearest(self, queries: Vectors, own: Codes, k: int) -> Neighbours:
        """Find the k nearest anchors of each row, none of its own.

        A row is proven where the k-th exact similarity is above what faiss left out by more
        than float32 can err; the others are compared with every anchor.
        """
        total = len(self._anchors)
        width = min(k + _SPARE + _SPARE * len(own), total)
        approximate, columns = self._index.search(np.ascontiguousarray(queries), width)
        rows = np.repeat(np.arange(len(queries)), width)
        exact = pair_similarities(queries, self._anchors, rows, columns.ravel())
        similarities = exact.reshape(columns.shape)
        for mine, theirs in own:
            similarities[is_own(mine, theirs[columns])] = -np.inf
        found = ranked(columns, similarities, min(k, total))
        if width == total:
            return found
        left_out = approximate[:, -1] + float32_error(queries.shape[1])
        unproven = np.flatnonzero(found.similarities[:, -1] <= left_out)
        if len(unproven):
            again = compare_with_all(
                queries[unproven],
                self._anchors,
                [(mine[unproven], theirs) for mine, theirs in own],
                k,
            )
            found.similarities[unproven] = again.similarities
            found.rows[unproven] = again.rows
        return found
