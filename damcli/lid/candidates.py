"""From candidates to the k nearest anchors: ranked in float64, where products are exact."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.lid.own import Codes, is_own

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Rows = NDArray[np.int64]
# Similarities of a block held at a time by the search that compares with every anchor.
_ANCHOR_ROWS = 4096


class Neighbours(NamedTuple):
    """The nearest anchors of N embeddings, nearest first; of equals, the one that stands first.

    Where an embedding has fewer than k anchors left, the row ends in similarity -inf
    and anchor row -1.
    """

    similarities: Floats
    """(N, k) cosine similarities."""
    rows: Rows
    """(N, k) rows of the anchor set."""


def float32_error(dim: int) -> float:
    """Bound the error of a float32 dot product of unit rows, summed in any order."""
    # Higham: |error| <= γ Σ|a||b|, γ = D u / (1 - D u), u = 2^-24; and Σ|a||b| <= 1.
    u = dim * 2.0**-24
    return 1.01 * u / (1 - u)


def ranked(columns: Rows, similarities: Floats, k: int) -> Neighbours:
    """Take the k most similar of the candidates of each row; both (N, W), W at least k.

    Of a candidate that is none, the similarity is -inf.
    """
    order = np.lexsort((columns, -similarities))[:, :k]
    best = np.take_along_axis(similarities, order, axis=1)
    nearest = np.take_along_axis(columns, order, axis=1)
    return Neighbours(best, np.where(np.isfinite(best), nearest, -1))


def compare_with_all(queries: Vectors, anchors: Vectors, own: Codes, k: int) -> Neighbours:
    """Find the k nearest by comparing with every anchor in float64."""
    wide = queries.astype(np.float64)
    keep = min(k, len(anchors))
    best = np.full((len(queries), 0), -np.inf)
    best_rows = np.zeros((len(queries), 0), dtype=np.int64)
    for start in range(0, len(anchors), _ANCHOR_ROWS):
        part = slice(start, start + _ANCHOR_ROWS)
        similarities = wide @ anchors[part].astype(np.float64).T
        for mine, theirs in own:
            similarities[is_own(mine, theirs[None, part])] = -np.inf
        numbers = np.arange(start, start + similarities.shape[1])
        pool = np.concatenate([best, similarities], axis=1)
        pool_rows = np.concatenate(
            [best_rows, np.broadcast_to(numbers, similarities.shape)], axis=1
        )
        # Stable, and those found before stand first: of equals the lower row stays.
        order = np.argsort(-pool, axis=1, kind="stable")[:, :keep]
        best = np.take_along_axis(pool, order, axis=1)
        best_rows = np.take_along_axis(pool_rows, order, axis=1)
    return Neighbours(best, np.where(np.isfinite(best), best_rows, -1))
