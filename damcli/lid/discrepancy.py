"""LID from anchors: the denominator of Eq. 3."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.lid.candidates import Neighbours
from damcli.lid.neighbours import Progress, neighbour_blocks
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings, Names


def log_lid(
    embeddings: Embeddings,
    anchors: Anchors,
    *,
    k: int = 10,
    s: float = 1.0,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Take the logarithm of the local inter-class discrepancy of each embedding.

    ``log G(f) = logsumexp_{i<=k} s·<f, a_i>`` over the k most similar anchors (Eq. 3).
    Anchors with the embedding's own id or subject are skipped.

    Parameters
    ----------
    embeddings
        N embeddings.
    anchors
        M anchors of the same dimension. With M < k all of them are summed.
    k
        Number of neighbours, >= 1.
    s
        Scale, > 0.
    progress
        Called with the number of embeddings done since the last call.

    Returns
    -------
    ndarray
        (N,) float64, finite.

    Raises
    ------
    InputError
        The dimensions differ, or every anchor is of an embedding's own subject.
    ValueError
        k < 1 or s <= 0.
    """
    if k < 1 or not s > 0:
        raise ValueError(f"k = {k} and s = {s}; expected k >= 1 and s > 0")
    log_lids = np.empty(len(embeddings))
    for block, nearest in neighbour_blocks(embeddings, anchors, k, progress=progress):
        require_other_people(embeddings.ids[block], nearest, embeddings.origin, anchors.origin)
        log_lids[block] = log_sum(nearest.similarities, s)
    return log_lids


def log_sum(similarities: NDArray[np.float64], s: float) -> NDArray[np.float64]:
    """Take ``log Σ exp(s·c)`` of each row, nearest first; -inf stands for no anchor."""
    scaled = s * similarities
    largest = scaled[:, 0]
    return np.asarray(largest + np.log(np.exp(scaled - largest[:, None]).sum(axis=1)))


def require_other_people(ids: Names, nearest: Neighbours, origin: str, anchors: str) -> None:
    """Refuse an embedding that has no anchor left."""
    require_some(ids, nearest.rows[:, 0] >= 0, origin, anchors)


def require_some(ids: Names, has_anchors: NDArray[np.bool_], origin: str, anchors: str) -> None:
    """Refuse the first embedding that has no anchors."""
    alone = np.flatnonzero(~has_anchors)
    if len(alone):
        raise InputError(
            anchors,
            f"every anchor is of the same subject as '{ids[alone[0]]}' of {origin}; "
            "expected anchors that show other people",
            hint="add anchors of other subjects",
        )
