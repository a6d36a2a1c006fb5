"""Exact nearest anchors, leaving out those of the embedding's own identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Names

Progress = Callable[[int], None]
_NO_CODE = -1
# Rows searched at a time: enough to keep faiss busy, few enough to show progress.
_QUERY_ROWS = 4096
# Similarities held at a time, whatever k is.
_CANDIDATES = 1 << 22
# faiss ranks in float32, where near ties may change places; these more are ranked in float64.
_SPARE = 8
# A vector and itself, after the rounding of either to float16.
_SAME_VECTOR = 1 - 1e-6


class Neighbours(NamedTuple):
    """The nearest anchors of N embeddings, nearest first.

    Where an embedding has fewer than k anchors left, the row ends in similarity -inf
    and anchor row -1.
    """

    similarities: NDArray[np.float64]
    """(N, k) cosine similarities."""
    rows: NDArray[np.int64]
    """(N, k) rows of the anchor set."""


def nearest_anchors(
    embeddings: Embeddings,
    anchors: Anchors,
    k: int,
    *,
    progress: Progress | None = None,
) -> Neighbours:
    """Find the k most similar anchors of each embedding, by exact search.

    An anchor with the embedding's own id, or of its own subject where both sides carry
    subjects, is not inter-class: it is skipped and the next one taken.

    Parameters
    ----------
    embeddings
        N embeddings of dimension D.
    anchors
        M anchors of the same dimension.
    k
        How many anchors, >= 1; at most M are returned.
    progress
        Called with the number of embeddings done since the last call.

    Returns
    -------
    Neighbours
        Nearest first. Ranked and given in float64, out of a slightly larger float32 choice.

    Raises
    ------
    InputError
        The dimensions differ.
    """
    blocks = list(neighbour_blocks(embeddings, anchors, k, progress=progress))
    return Neighbours(
        np.concatenate([found.similarities for _, found in blocks]),
        np.concatenate([found.rows for _, found in blocks]),
    )


def neighbour_blocks(
    embeddings: Embeddings, anchors: Anchors, k: int, *, progress: Progress | None = None
) -> Iterator[tuple[slice, Neighbours]]:
    """Do as `nearest_anchors`, a block of embeddings at a time, for k of any size."""
    import faiss

    require_same_dim(embeddings, anchors)
    index = faiss.IndexFlatIP(anchors.dim)
    index.add(np.ascontiguousarray(anchors.vectors))
    own = own_anchor_codes(embeddings, anchors)
    step = max(1, min(_QUERY_ROWS, _CANDIDATES // min(k + _SPARE, len(anchors))))
    for start in range(0, len(embeddings), step):
        block = slice(start, start + step)
        queries = np.ascontiguousarray(embeddings.vectors[block])
        candidates = _search(index, queries, k, [(mine[block], theirs) for mine, theirs in own])
        yield block, _nearest(queries, anchors.vectors, candidates, k)
        if progress is not None:
            progress(len(queries))


def require_same_dim(embeddings: Embeddings, anchors: Anchors) -> None:
    """Refuse anchors of another dimension than the embeddings."""
    if embeddings.dim != anchors.dim:
        raise InputError(
            anchors.origin,
            f"anchors of dimension {anchors.dim}; expected {embeddings.dim}, "
            f"the dimension of {embeddings.origin}",
            hint="build the anchors from embeddings of the same model",
        )


Codes = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def own_anchor_codes(embeddings: Embeddings, anchors: Anchors) -> Codes:
    """Give the ids and subjects that both sides share numbers, so that own anchors show."""
    codes: Codes = []
    if not (
        embeddings.attributes.get(ROW_NUMBER_IDS) or anchors.attributes.get(ROW_NUMBER_IDS)
    ) or same_source(embeddings, anchors):
        codes.append(_shared_codes(embeddings.ids, anchors.ids))
    if embeddings.subjects is not None and anchors.subjects is not None:
        codes.append(_shared_codes(embeddings.subjects, anchors.subjects))
    return [pair for pair in codes if (pair[0] != _NO_CODE).any()]


def is_own(mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which anchors, of codes (N, m) or (1, m), are of the rows' own code, (N,)."""
    return np.asarray((mine[:, None] == theirs) & (mine[:, None] != _NO_CODE))


def same_source(embeddings: Embeddings, anchors: Embeddings) -> bool:
    """Whether row numbers, as ids, count the same rows on both sides.

    They do where a shared one stands for the same vector. Digests would not tell: files
    are converted, and arrays in memory have none.
    """
    places = anchors.rows_of(embeddings.ids)
    shared = np.flatnonzero(places >= 0)
    for start in range(0, len(shared), _QUERY_ROWS):
        rows = shared[start : start + _QUERY_ROWS]
        mine = embeddings.vectors[rows].astype(np.float64)
        theirs = anchors.vectors[places[rows]].astype(np.float64)
        if (np.einsum("nd,nd->n", mine, theirs) > _SAME_VECTOR).any():
            return True
    return False


def _shared_codes(mine: Names, theirs: Names) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    import pandas as pd

    names = pd.Index(theirs, dtype=object).unique()
    mine_codes, their_codes = (
        names.get_indexer(pd.Index(column, dtype=object)) for column in (mine, theirs)
    )
    return np.asarray(mine_codes, dtype=np.int64), np.asarray(their_codes, dtype=np.int64)


def _search(index: Any, queries: NDArray[np.float32], k: int, own: Codes) -> NDArray[np.int64]:
    """Return at least k candidates a row, some to spare; -1 where an anchor is the row's own."""
    total = int(index.ntotal)
    wanted = min(k + _SPARE, total)
    width = min(wanted + bool(own), total)
    candidates = _allowed(index, queries, width, own)
    short = np.flatnonzero((candidates >= 0).sum(axis=1) < wanted)
    while len(short) and width < total:
        width = min(2 * width, total)
        wider = _allowed(index, queries[short], width, [(m[short], t) for m, t in own])
        first = np.argsort(wider < 0, axis=1, kind="stable")[:, : candidates.shape[1]]
        candidates[short] = np.take_along_axis(wider, first, axis=1)
        short = short[(wider >= 0).sum(axis=1) < wanted]
    return candidates


def _allowed(index: Any, queries: NDArray[np.float32], width: int, own: Codes) -> NDArray[np.int64]:
    _, rows = index.search(queries, width)
    for mine, theirs in own:
        rows[is_own(mine, theirs[rows])] = -1
    return np.asarray(rows, dtype=np.int64)


def _nearest(
    queries: NDArray[np.float32],
    anchors: NDArray[np.float32],
    candidates: NDArray[np.int64],
    k: int,
) -> Neighbours:
    """Order the candidates by their similarity in float64 and keep the first k."""
    similarities = np.empty(candidates.shape)
    wide = queries.astype(np.float64)
    for column in range(candidates.shape[1]):
        chosen = anchors[candidates[:, column]].astype(np.float64)
        similarities[:, column] = np.einsum("nd,nd->n", wide, chosen)
    similarities[candidates < 0] = -np.inf
    order = np.argsort(-similarities, axis=1, kind="stable")[:, : min(k, len(anchors))]
    return Neighbours(
        np.take_along_axis(similarities, order, axis=1),
        np.take_along_axis(candidates, order, axis=1),
    )
