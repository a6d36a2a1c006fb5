"""Exact nearest anchors, leaving out those of the embedding's own identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from damcli.errors import InputError
from damcli.lid.candidates import Neighbours
from damcli.lid.own import own_anchor_codes, own_counts
from damcli.lid.search import search_blocks
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings

Progress = Callable[[int], None]


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
        Nearest first, and of equals the one that stands first in the anchor set; similarities
        are float64 and exact.

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
    require_same_dim(embeddings, anchors)
    own = own_anchor_codes(embeddings, anchors)
    most_own = int(own_counts(own, len(embeddings)).max(initial=0))
    for block, found in search_blocks(embeddings.vectors, anchors.vectors, own, k, most_own):
        yield block, found
        if progress is not None:
            progress(len(found.rows))


def require_same_dim(embeddings: Embeddings, anchors: Anchors) -> None:
    """Refuse anchors of another dimension than the embeddings."""
    if embeddings.dim != anchors.dim:
        raise InputError(
            anchors.origin,
            f"anchors of dimension {anchors.dim}; expected {embeddings.dim}, "
            f"the dimension of {embeddings.origin}",
            hint="build the anchors from embeddings of the same model",
        )
