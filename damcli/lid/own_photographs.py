"""Anchors that may show the embedding's own person, where nobody says who is who.

Photographs of one person are a few anchors far above all others. A crowd, which is what a
LID is there to tell, is many: so an embedding with k or more anchors above the ceiling is
taken to stand in a crowd, and keeps them.
"""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from damcli.lid.candidates import Neighbours
from damcli.lid.neighbours import nearest_anchors
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings, EmbeddingSource

_SAMPLE_ROWS, _SAMPLE_ANCHORS = 500, 20_000
# How many anchors of other people an embedding may be expected to have above the ceiling.
_EXPECTED = 0.01


def suspect_similarity(source: EmbeddingSource, anchors: Anchors) -> float:
    """Return the cosine above which an anchor is suspiciously like an embedding.

    Of M anchors, 0.01 are expected above it, if cosines of different people are spread
    normally about their median. They have a heavier tail than that, so some look-alikes lie
    above it too.

    Parameters
    ----------
    source
        N embeddings, of which up to 500 are looked at, evenly spaced.
    anchors
        M anchors, of which up to 20,000 are looked at.

    Returns
    -------
    float
        At most 1.
    """
    rows, columns = (
        np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))
        for count, most in ((len(source), _SAMPLE_ROWS), (len(anchors), _SAMPLE_ANCHORS))
    )
    cosines = source.take(rows).vectors.astype(np.float64) @ anchors.vectors[columns].T
    tail = min(0.5, _EXPECTED / len(anchors))
    ceiling = np.median(cosines) + cosines.std() * NormalDist().inv_cdf(1 - tail)
    return float(min(1.0, ceiling))


def without_own_photographs(
    ceiling: float, nearest: Neighbours, block: Embeddings, anchors: Anchors, k: int
) -> tuple[Neighbours, int]:
    """Put the next anchors in the place of those above the ceiling, but not in a crowd.

    Parameters
    ----------
    ceiling
        Anchors of a higher cosine are taken for the embedding's own person.
    nearest
        The k nearest anchors of the embeddings.
    block
        n embeddings.
    anchors
        M anchors.
    k
        Number of neighbours.

    Returns
    -------
    Neighbours
        As ``nearest``, but for the rows that had some, and fewer than k, above the ceiling.
    int
        How many rows that were.
    """
    similarities, rows = nearest.similarities.copy(), nearest.rows.copy()
    short = np.flatnonzero((similarities[:, 0] > ceiling) & (similarities[:, -1] <= ceiling))
    skipped, width = len(short), k
    while len(short):
        width = min(4 * width, len(anchors))
        wide = nearest_anchors(block.take(short), anchors, width)
        first = (wide.similarities > ceiling).sum(axis=1)
        wanted = first[:, None] + np.arange(similarities.shape[1])
        past = wanted >= width
        places = np.minimum(wanted, width - 1)
        similarities[short] = np.where(
            past, -np.inf, np.take_along_axis(wide.similarities, places, axis=1)
        )
        rows[short] = np.where(past, -1, np.take_along_axis(wide.rows, places, axis=1))
        short = short[past.any(axis=1)] if width < len(anchors) else short[:0]
    return Neighbours(similarities, rows), skipped
