"""Which anchors are an embedding's own: of its id, or of its subject."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Names

NO_CODE = -1
_ROWS = 4096
# A vector and itself, after the rounding of either to float16.
_SAME_VECTOR = 1 - 1e-6

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
    return [pair for pair in codes if (pair[0] != NO_CODE).any()]


def is_own(mine: NDArray[np.int64], theirs: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which anchors, of codes (N, m) or (1, m), are of the rows' own code, (N,)."""
    return np.asarray((mine[:, None] == theirs) & (mine[:, None] != NO_CODE))


def own_pairs(own: Codes, rows: NDArray[np.int64], anchors: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Tell which of P pairs of a row and an anchor are of one id or subject."""
    found = np.zeros(len(rows), dtype=bool)
    for mine, theirs in own:
        code = mine[rows]
        found |= (code == theirs[anchors]) & (code != NO_CODE)
    return found


def own_counts(own: Codes, rows: int) -> NDArray[np.int64]:
    """Count the own anchors of each row, those of both its id and its subject twice."""
    counts = np.zeros(rows, dtype=np.int64)
    for mine, theirs in own:
        known = theirs[theirs != NO_CODE]
        if len(known):
            of_code = np.bincount(known, minlength=int(mine.max()) + 1)
            counts += np.where(mine == NO_CODE, 0, of_code[mine])
    return counts


def same_source(embeddings: Embeddings, anchors: Embeddings) -> bool:
    """Whether row numbers, as ids, count the same rows on both sides.

    They do where a shared one stands for the same vector. Digests would not tell: files
    are converted, and arrays in memory have none.
    """
    places = anchors.rows_of(embeddings.ids)
    shared = np.flatnonzero(places >= 0)
    for start in range(0, len(shared), _ROWS):
        rows = shared[start : start + _ROWS]
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
