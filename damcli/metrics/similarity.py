"""Cosine similarity, for listed pairs and for all pairs of two blocks.

Products and sums are taken in float64, in which those of unit rows are exact (see
`damcli.storage.unit`): a similarity is the same to the bit whichever way it is taken.
"""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from damcli.threads import cores, in_threads

Vectors = NDArray[np.float32]
Rows = NDArray[np.integer]
Floats = NDArray[np.float64]
# Pairs that one thread puts in order at a time: enough to fill the cells of a gallery.
_WINDOW = 1 << 19
_LEAST_WINDOW = 1 << 13
# A cell of the matrix of similarities: its references are widened once, for strip after strip.
_PROBES, _REFERENCES = 128, 4096
# Of a cell this full the whole product is cheaper than its pairs alone: 10 ns for each place of the
# cell against 590 for each pair, as measured on a core that multiplies 101e9 float64 a second.
_DENSE = 0.025
# Pairs gathered at a time: two float64 copies of them stay within the cache.
_GATHER = 256
# A table no larger is widened as a whole, where it is gathered from this often.
_WIDE_BYTES = 256 << 20
_TIMES = 8


def pair_similarities(
    probes: Vectors, references: Vectors, probe_rows: Rows, reference_rows: Rows
) -> Floats:
    """Cosine similarity of listed pairs.

    Pairs are grouped into cells, blocks of probes by blocks of references. Of a cell that the
    list fills well the whole product is taken; the pairs of others are gathered.

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
    count = len(probe_rows)
    similarities = np.empty(count)
    mine = _Table(probes, count)
    theirs = mine if references is probes else _Table(references, count)
    step = max(_LEAST_WINDOW, min(_WINDOW, -(-count // cores())))

    def fill(start: int) -> None:
        part = slice(start, start + step)
        sides = _Side(mine, probe_rows[part]), _Side(theirs, reference_rows[part])
        _fill(*sides, similarities[part])

    in_threads(fill, range(0, count, step))
    return similarities


class _Table:
    """Rows that are taken in float64."""

    def __init__(self, vectors: Vectors, times: int) -> None:
        self.vectors = vectors
        self._often = times >= _TIMES * len(vectors) and 2 * vectors.nbytes <= _WIDE_BYTES
        self._wide: Floats | None = None
        self._lock = threading.Lock()

    def take(self, rows: Rows, out: Floats) -> None:
        """Copy some rows to ``out``."""
        if not self._often:
            out[...] = self.vectors[rows]
            return
        with self._lock:
            if self._wide is None:
                self._wide = self.vectors.astype(np.float64)
        np.take(self._wide, rows, axis=0, out=out, mode="clip")  # without clip, it would buffer


class _Side:
    """One side of a window of pairs: its distinct rows, and the place of each pair's there."""

    def __init__(self, table: _Table, rows: Rows) -> None:
        self.table = table
        seen = np.zeros(len(table.vectors), dtype=bool)
        seen[rows] = True
        self.rows = np.flatnonzero(seen)
        places = np.empty(len(seen), dtype=np.int32)
        places[self.rows] = np.arange(len(self.rows), dtype=np.int32)
        self.places = places[rows]

    def block(self, number: int, size: int) -> Floats:
        """Return one of the blocks of so many distinct rows."""
        vectors: Floats = self.table.vectors[self.rows[number * size : (number + 1) * size]].astype(
            np.float64
        )
        return vectors

    def width(self, numbers: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """Return how many rows these blocks have."""
        return np.minimum(size, len(self.rows) - numbers * size)


def _fill(probes: _Side, references: _Side, out: Floats) -> None:
    """Write the similarities of a window of pairs to ``out``."""
    strips = -(-len(probes.rows) // _PROBES)
    cell = references.places // _REFERENCES * strips + probes.places // _PROBES
    order = _order(cell)
    if order is None:
        found = out
    else:
        found, cell = np.empty(len(out)), cell[order]
        for side in (probes, references):
            side.places = side.places[order]
    cuts = np.concatenate([[0], np.flatnonzero(np.diff(cell)) + 1, [len(cell)]])
    tiles, blocks = np.divmod(cell[cuts[:-1]].astype(np.int64), strips)
    area = probes.width(blocks, _PROBES) * references.width(tiles, _REFERENCES)
    counts = np.diff(cuts)
    dense = counts >= _DENSE * area
    held = -1
    for at in np.flatnonzero(dense):
        if tiles[at] != held:
            held = tiles[at]
            tile = references.block(held, _REFERENCES).T
        pairs = slice(cuts[at], cuts[at + 1])
        product = probes.block(blocks[at], _PROBES) @ tile
        place = (probes.places[pairs] - blocks[at] * _PROBES) * product.shape[1]
        place += references.places[pairs] - held * _REFERENCES
        np.take(product, place, out=found[pairs], mode="clip")
    _gather(probes, references, np.flatnonzero(np.repeat(~dense, counts)), found)
    if order is not None:
        out[order] = found


def _order(cell: NDArray[np.int32]) -> NDArray[np.int64] | None:
    """Return what puts the pairs of a cell side by side; None where they are so already."""
    if (cell[1:] >= cell[:-1]).all():
        return None
    few = cell.max() <= np.iinfo(np.uint16).max
    # Numbers of 16 bits are sorted by their digits, in a tenth of the time.
    return np.argsort(cell.astype(np.uint16) if few else cell, kind="stable")


def _gather(probes: _Side, references: _Side, pairs: NDArray[np.int64], found: Floats) -> None:
    """Take the products of these pairs one by one."""
    dim = probes.table.vectors.shape[1]
    sides = [(side, np.empty((min(_GATHER, len(pairs)), dim))) for side in (probes, references)]
    for start in range(0, len(pairs), _GATHER):
        part = pairs[start : start + _GATHER]
        taken = []
        for side, room in sides:
            rows = room[: len(part)]
            side.table.take(side.rows[side.places[part]], rows)
            taken.append(rows)
        found[part] = np.vecdot(*taken)


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
