"""The log LIDs of many settings from one search.

The nearest anchors for a small k are the first of those for a large one. And where enough of
the nearest anchors of the whole set belong to a subset, they are the nearest of the subset:
only the other embeddings have to be searched in it again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.lid.candidates import Neighbours
from damcli.lid.discrepancy import log_sum, require_some
from damcli.lid.neighbours import Progress, nearest_anchors, neighbour_blocks
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings, Rows
from damcli.sweeping.settings import Setting

# With so many times k neighbours, draws of more than about 1 in 20 anchors need no search.
_SPARE = 30


def draw(count: int, size: int, seed: int) -> Rows:
    """Draw anchors; of one seed, a smaller draw is part of every larger one.

    Parameters
    ----------
    count
        How many anchors there are.
    size
        How many to draw, <= count.
    seed
        Of the draw.

    Returns
    -------
    ndarray
        (size,) int64, their rows, ascending: the first of a permutation of all.
    """
    return np.sort(np.random.default_rng(seed).permutation(count)[:size])


def log_lids(
    embeddings: Embeddings,
    anchors: Anchors,
    settings: Sequence[Setting],
    *,
    progress: Progress | None = None,
) -> NDArray[np.float64]:
    """Take the log LID of each embedding at each setting; see `damcli.log_lid`.

    Parameters
    ----------
    embeddings
        N embeddings.
    anchors
        M anchors; a setting with a size takes those that `draw` gives.
    settings
        S settings.
    progress
        Called with the number of embeddings done since the last call.

    Returns
    -------
    ndarray
        (N, S) float64, the same as of a search for each setting.

    Raises
    ------
    InputError
        The dimensions differ, or every anchor is of an embedding's own subject.
    """
    sets = list(_sets(anchors, settings))
    found = np.empty((len(embeddings), len(settings)))
    for block, nearest in neighbour_blocks(
        embeddings, anchors, _width(settings), progress=progress
    ):
        used = embeddings.take(block)
        for one in sets:
            similarities = nearest.similarities
            if one.rows is not None:
                similarities = _nearest_drawn(used, anchors, one.rows, nearest, one.k)
            has_anchors = np.isfinite(similarities[:, 0])
            require_some(used.ids, has_anchors, used.origin, anchors.origin)
            for column in one.columns:
                k, s = settings[column].k, settings[column].s
                found[block, column] = log_sum(similarities[:, :k], s)
    return found


def _width(settings: Sequence[Setting]) -> int:
    return max(one.k if one.size is None else _SPARE * one.k for one in settings)


class _Set(NamedTuple):
    """The settings that share their anchors."""

    rows: Rows | None
    k: int
    columns: list[int]


def _sets(anchors: Anchors, settings: Sequence[Setting]) -> Iterator[_Set]:
    shared: dict[tuple[int | None, int | None], list[int]] = defaultdict(list)
    for column, one in enumerate(settings):
        shared[one.size, one.seed].append(column)
    for (size, seed), columns in shared.items():
        rows = None if size is None or seed is None else draw(len(anchors), size, seed)
        yield _Set(rows, max(settings[column].k for column in columns), columns)


def _nearest_drawn(
    used: Embeddings, anchors: Anchors, rows: Rows, nearest: Neighbours, k: int
) -> NDArray[np.float64]:
    """Return the similarities (n, k) to the nearest of some anchors, nearest first."""
    held = np.zeros(len(anchors), dtype=bool)
    held[rows] = True
    # A row that ends in -1 names every anchor that is not the embedding's own.
    there = held[nearest.rows] | (nearest.rows < 0)
    first = np.argsort(~there, axis=1, kind="stable")[:, :k]
    similarities = np.take_along_axis(nearest.similarities, first, axis=1)
    short = np.flatnonzero(there.sum(axis=1) < k)
    if len(short):
        drawn = Anchors.of(anchors.take(rows))
        similarities[short] = nearest_anchors(used.take(short), drawn, k).similarities
    return similarities
