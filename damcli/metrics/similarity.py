"""Cosine similarity, for listed pairs and for all pairs of two blocks.

Products and sums are taken in float64. In float32 a cosine is off by about 1e-7, which
s = 64 would turn into 6e-6 of the score; this way a score does not depend on how the
pairs were cut into chunks either.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

# Pairs gathered at a time: two float64 copies of them stay within the cache.
_GATHER = 256
_WORKERS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pair_similarities(
    probes: NDArray[np.float32],
    references: NDArray[np.float32],
    probe_rows: NDArray[np.integer],
    reference_rows: NDArray[np.integer],
) -> NDArray[np.float64]:
    """Cosine similarity of listed pairs.

    Parameters
    ----------
    probes, references
        (N, D) and (M, D) float32 rows of unit length.
    probe_rows, reference_rows
        (P,) integers, the rows that make up each pair.

    Returns
    -------
    ndarray
        (P,) float64 in [-1, 1], up to rounding.
    """
    similarities = np.empty(len(probe_rows))

    def fill(start: int) -> None:
        part = slice(start, start + _GATHER)
        similarities[part] = np.einsum(
            "nd,nd->n",
            probes[probe_rows[part]].astype(np.float64),
            references[reference_rows[part]].astype(np.float64),
        )

    starts = range(0, len(probe_rows), _GATHER)
    if len(starts) == 1 or _WORKERS == 1:
        for start in starts:
            fill(start)
        return similarities
    with ThreadPoolExecutor(_WORKERS) as pool:
        for _ in pool.map(fill, starts):
            pass
    return similarities


def all_similarities(
    probes: NDArray[np.float32], references: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Cosine similarity of every probe with every reference.

    Parameters
    ----------
    probes, references
        (N, D) and (M, D) float32 rows of unit length.

    Returns
    -------
    ndarray
        (N, M) float64 in [-1, 1], up to rounding.
    """
    similarities: NDArray[np.float64] = probes.astype(np.float64) @ references.astype(np.float64).T
    return similarities
