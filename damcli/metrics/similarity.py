"""Cosine similarity, for listed pairs and for all pairs of two blocks.

Products and sums are taken in float64, in which those of unit rows are exact (see
`damcli.storage.unit`): a similarity is the same to the bit whichever way it is taken.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from damcli import kernels
from damcli.threads import cores, in_threads

Vectors = NDArray[np.float32]
Rows = NDArray[np.integer]
Floats = NDArray[np.float64]
# Pairs that one thread takes at a time, for which 24 bytes each are held. The more there are, the
# more often a row is needed again while the cache holds it; where they are dense, few will do.
_WINDOW, _DENSE_WINDOW = 1 << 23, 1 << 20
_DENSE = 1 / 8
# Of fewer pairs a thread is not worth its start.
_LEAST_WINDOW = 1 << 15
# Pairs gathered at a time: two float64 copies of them stay within the cache.
_GATHER = 256


def pair_similarities(
    probes: Vectors, references: Vectors, probe_rows: Rows, reference_rows: Rows
) -> Floats:
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

    Raises
    ------
    IndexError
        A row is not in its table.
    """
    count = len(probe_rows)
    similarities = np.empty(count)
    dense = _are_dense((probe_rows, reference_rows), (probes, references))
    most = _DENSE_WINDOW if dense else _WINDOW
    step = min(most, max(_LEAST_WINDOW, -(-count // cores())))
    multiply = kernels.multiply_pairs if kernels.COMPILED else _gather

    def fill(start: int) -> None:
        part = slice(start, start + step)
        mine = np.ascontiguousarray(probe_rows[part], np.int64)
        theirs = np.ascontiguousarray(reference_rows[part], np.int64)
        multiply(probes, references, mine, theirs, similarities[part])

    probes, references = np.ascontiguousarray(probes), np.ascontiguousarray(references)
    in_threads(fill, range(0, count, step))
    return similarities


def _are_dense(rows: tuple[Rows, Rows], tables: tuple[Vectors, Vectors]) -> bool:
    """Tell whether the first pairs are many of all that their probes and references could make."""
    possible = 1
    for of_side, table in zip(rows, tables, strict=True):
        seen = np.zeros(len(table), dtype=bool)
        seen[of_side[:_DENSE_WINDOW]] = True
        possible *= int(np.count_nonzero(seen))
    return len(rows[0][:_DENSE_WINDOW]) >= _DENSE * possible


def _gather(
    probes: Vectors,
    references: Vectors,
    probe_rows: NDArray[np.int64],
    reference_rows: NDArray[np.int64],
    out: Floats,
) -> None:
    """Do as the kernel does, in numpy: take the pairs as they stand in the list."""
    for start in range(0, len(out), _GATHER):
        part = slice(start, start + _GATHER)
        out[part] = np.vecdot(
            probes[probe_rows[part]].astype(np.float64),
            references[reference_rows[part]].astype(np.float64),
        )


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
