"""Rows of unit length: the one place where vectors are checked and divided by their length."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError

# Numbers that are float64 at a time: few enough that they stay within the cache.
_WIDE = 1 << 17
# Unit rows lie on multiples of this. Products of two then are multiples of 2^-52, and no partial
# sum of them reaches 2 (Cauchy-Schwarz): a dot product in float64 is exact in any order, so that
# scores are the same to the bit whatever the threads, blocks, BLAS or device. It moves a component
# by at most 7.5e-9, a quarter of what float32 does to one near 1.
_GRID = 2.0**-26
# By less the rounding changes the length of a row.
_ROUNDED = 1e-6


def check_table(vectors: Any, origin: str) -> None:
    """Raise unless the vectors, in memory or on disk, are an (N, D) table of real numbers."""
    if len(vectors.shape) != 2 or 0 in vectors.shape:
        raise InputError(
            origin, f"vectors of shape {vectors.shape}; expected (N, D), neither of them 0"
        )
    if np.dtype(vectors.dtype).kind not in "fiu":
        raise InputError(
            origin,
            f"vectors of type {vectors.dtype}; expected real numbers",
            hint="save them as float32",
        )


def invalid_rows(vectors: NDArray[Any]) -> NDArray[np.bool_]:
    """Mark the rows that have no direction: a zero vector, or one with NaN or infinity."""
    norms = row_lengths(vectors).astype(np.float32)
    return np.asarray(~np.isfinite(norms) | (norms == 0))


def unit_rows(
    vectors: NDArray[Any],
    origin: str,
    ids: NDArray[np.object_],
    rows: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Divide each row by its length; return the unit rows and the lengths, both float32.

    Components are rounded to multiples of 2^-26, which makes float64 dot products exact.
    ``rows`` are the places of the vectors in their file, counted from 0, for the message.
    """
    lengths = row_lengths(vectors)
    norms = lengths.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(norms) | (norms == 0))
    if len(bad):
        first = int(bad[0])
        raise InputError(
            origin,
            f"the embedding of '{ids[first]}' is {fault(vectors[first])}; expected a vector "
            "with a direction",
            row=(first if rows is None else int(rows[first])) + 1,
            hint="drop such rows, counted and named: damcli convert IN -o OUT --drop-invalid",
        )
    unit = np.empty(vectors.shape, dtype=np.float32)
    for block in _blocks(vectors.shape):
        unit[block] = _on_grid(np.asarray(vectors[block], dtype=np.float64), lengths[block])
    return unit, norms


def _on_grid(wide: NDArray[np.float64], lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide rows by their lengths and round; rows that were so made are left as they are."""
    made = (np.abs(lengths - 1) < _ROUNDED) & (np.rint(wide / _GRID) * _GRID == wide).all(axis=1)
    return np.asarray(np.rint(wide / np.where(made, 1, lengths)[:, None] / _GRID) * _GRID)


def on_grid(unit: NDArray[np.float64]) -> NDArray[np.float32]:
    """Round rows of length 1 so that their float64 dot products are exact."""
    return (np.rint(unit / _GRID) * _GRID).astype(np.float32)


def row_lengths(vectors: NDArray[Any]) -> NDArray[np.float64]:
    """Return the Euclidean length of each row, infinite or 0 where float32 cannot hold it."""
    lengths = np.empty(len(vectors))
    # The overflow of a row is reported by its row; numpy's warning would not name it.
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for block in _blocks(vectors.shape):
            wide = np.asarray(vectors[block], dtype=np.float64)
            lengths[block] = np.sqrt(np.einsum("nd,nd->n", wide, wide))
        norms = lengths.astype(np.float32)
    return np.where(np.isfinite(norms) & (norms > 0), lengths, norms.astype(np.float64))


def fault(row: NDArray[Any]) -> str:
    """Say what is wrong with a vector that has no direction."""
    if not np.isfinite(row).all():
        return "not finite (NaN or infinity)"
    return "of a length that float32 cannot hold" if row.any() else "all zeros"


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    rows = max(1, _WIDE // max(1, shape[1]))
    return (slice(start, start + rows) for start in range(0, shape[0], rows))
