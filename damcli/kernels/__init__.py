"""Loops in C that numpy has no fast form of; they see neither files nor options.

An installation that found no C compiler lacks them (`COMPILED` is false). Who uses them knows
another way, which gives the same numbers more slowly.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

try:
    from damcli.kernels import _compiled
except ImportError:
    COMPILED = False
else:
    COMPILED = True

Vectors = NDArray[np.float32]
Rows = NDArray[np.int64]
Floats = NDArray[np.float64]

_PAIR = np.dtype([("probe", np.uint32), ("reference", np.uint32), ("place", np.uint32)])
CANDIDATE = np.dtype([("query", np.int32), ("anchor", np.int32), ("upper", np.float64)])
"""An anchor that may be among the nearest of a query; their similarity is at most ``upper``."""


def multiply_pairs(
    probes: Vectors, references: Vectors, probe_rows: Rows, reference_rows: Rows, out: Floats
) -> None:
    """Write the float64 products of P listed pairs of rows, of (N, D) and (M, D), to ``out``.

    Raises
    ------
    IndexError
        A row is not in its table.
    """
    # numpy reserves it in pages so large that they are soon there.
    room = np.empty((2, len(out)), dtype=_PAIR)
    dim = probes.shape[1]
    _compiled.multiply_pairs(probes, references, dim, probe_rows, reference_rows, room, out)


def round_rows(vectors: Vectors, scales: Floats) -> tuple[NDArray[np.int8], Floats, Floats]:
    """Round (N, D) rows to multiples of a scale each, at least a 127th of their largest component.

    Returns
    -------
    steps
        (N, D) int8, how many times the scale each component is.
    residuals
        (N,) float64, how far each row moved.
    norms
        (N,) float64, the length of each row after that.
    """
    steps = np.empty(vectors.shape, dtype=np.int8)
    residuals, norms = np.empty((2, len(vectors)))
    _compiled.round_rows(vectors, vectors.shape[1], scales, steps, residuals, norms)
    return steps, residuals, norms


def find_candidates(
    products: NDArray[np.int32],
    anchors: NDArray[np.int32],
    wanted: Rows,
    unit: Floats,
    error: Floats,
    bounds: Floats,
    found: NDArray[np.void],
    used: int,
) -> int | None:
    """Append to the candidates what may be among the nearest anchors of some queries.

    Parameters
    ----------
    products
        (N, C), of N rounded queries by rounded anchors; C is a multiple of 16.
    anchors
        (m,) numbers of the anchors that the first m <= C columns are of.
    wanted
        (N,), how many nearest are sought of each query, 1 to W.
    unit, error
        (N,): a similarity is its product times ``unit``, give or take ``error``.
    bounds
        (N, W), the largest lower bounds of similarities so far, largest first; -inf at first.
        They are raised.
    found
        Room for candidates, of type `CANDIDATE`.
    used
        How many there are.

    Returns
    -------
    int or None
        How many there are then; None where there was no room for them.
    """
    count = _compiled.find_candidates(products, anchors, wanted, unit, error, bounds, found, used)
    return None if count < 0 else count


def rank_candidates(
    queries: Vectors,
    anchors: Vectors,
    found: NDArray[np.void],
    floors: Floats,
    similarities: Floats,
    rows: Rows,
) -> None:
    """Write the k nearest of the candidates that reach their query's floor, nearest first.

    Parameters
    ----------
    queries, anchors
        (N, D) and (M, D).
    found
        Candidates, in any order.
    floors
        (N,).
    similarities, rows
        (N, k), filled with -inf and -1; where candidates are fewer than k these stay.

    Raises
    ------
    IndexError
        A candidate is of a query or an anchor that is not there.
    """
    dim, k = queries.shape[1], similarities.shape[1]
    _compiled.rank_candidates(queries, anchors, dim, found, floors, k, similarities, rows)
