"""How similar embeddings are to a whole set of anchors, and to the nearest of it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.lid.discrepancy import require_other_people, require_some
from damcli.lid.neighbours import Progress, neighbour_blocks, require_same_dim
from damcli.lid.own import Codes, is_own, own_anchor_codes
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings

Floats = NDArray[np.float64]
# Similarities held at a time: a block of these takes 32 MB.
_QUERY_ROWS = 1024
_ANCHOR_ROWS = 4096
# A smaller deviation of cosines is rounding.
_LEVEL = 1e-6


class CohortStatistics(NamedTuple):
    """Of each embedding's similarities to the anchors, (N,) float64 each."""

    nearest_mean: Floats
    """Mean over the k most similar."""
    mean: Floats
    """Mean over all."""
    deviation: Floats
    """Standard deviation over all, ddof 0."""
    top_mean: Floats
    """Mean over the n most similar."""
    top_deviation: Floats
    """Standard deviation over these, ddof 0."""


def cohort_statistics(
    embeddings: Embeddings,
    anchors: Anchors,
    *,
    k: int = 10,
    top: int = 300,
    progress: Progress | None = None,
) -> CohortStatistics:
    """Take mean and deviation of each embedding's similarities to the anchors.

    Anchors with the embedding's own id or subject are left out, as for `damcli.log_lid`.
    Similarities are float64 and exact; ties at the last place of the n most similar do not
    matter, since only values count.

    Parameters
    ----------
    embeddings
        N embeddings.
    anchors
        M anchors of the same dimension, streamed: a block of similarities is held at a time.
    k
        How many anchors the mean of the nearest is over, >= 1; all where there are fewer.
    top
        n, how many anchors the adaptive cohort has, >= 2; all where there are fewer.
    progress
        Called with the number of embeddings done since the last call.

    Raises
    ------
    InputError
        The dimensions differ, every anchor is of an embedding's own subject, or its
        similarities do not vary.
    ValueError
        k or top is out of its range.
    """
    if k < 1 or top < 2:
        raise ValueError(f"k = {k} and top = {top}; expected k >= 1 and top >= 2")
    require_same_dim(embeddings, anchors)
    own = own_anchor_codes(embeddings, anchors)
    blocks = []
    for start in range(0, len(embeddings), _QUERY_ROWS):
        rows = slice(start, start + _QUERY_ROWS)
        block = embeddings.take(rows)
        mine = [(codes[rows], theirs) for codes, theirs in own]
        blocks.append(_of_block(block, anchors, mine, k, top))
        if progress is not None:
            progress(len(block))
    return CohortStatistics(*(np.concatenate(column) for column in zip(*blocks, strict=True)))


def _of_block(
    block: Embeddings, anchors: Anchors, own: Codes, k: int, top: int
) -> CohortStatistics:
    queries = block.vectors.astype(np.float64)
    keep = min(max(k, top), len(anchors))
    nearest = np.full((len(block), keep), -np.inf)
    moments = _Moments(len(block))
    for start in range(0, len(anchors), _ANCHOR_ROWS):
        part = slice(start, start + _ANCHOR_ROWS)
        similarities = queries @ anchors.vectors[part].astype(np.float64).T
        for mine, theirs in own:
            similarities[is_own(mine, theirs[None, part])] = -np.inf
        moments.add(similarities)
        pool = np.concatenate([nearest, similarities], axis=1)
        nearest = np.partition(pool, pool.shape[1] - keep, axis=1)[:, -keep:]
    require_some(block.ids, moments.count > 0, block.origin, anchors.origin)
    nearest = -np.sort(-nearest, axis=1)
    few, many = _Moments(len(block)), _Moments(len(block))
    few.add(nearest[:, :k])
    many.add(nearest[:, :top])
    for found in (moments, many):
        _require_spread(block, anchors, found)
    return CohortStatistics(few.mean, moments.mean, moments.deviation, many.mean, many.deviation)


class _Moments:
    """Count, mean and squared deviations of N rows that come in blocks of columns.

    Blocks are merged as by Chan, Golub and LeVeque (1983); -inf stands for no value.
    """

    def __init__(self, rows: int) -> None:
        self.count = np.zeros(rows, dtype=np.int64)
        self.mean = np.zeros(rows)
        self._squares = np.zeros(rows)

    def add(self, values: Floats) -> None:
        """Add (N, m) values."""
        there = np.isfinite(values)
        count = there.sum(axis=1)
        mean = np.where(there, values, 0).sum(axis=1) / np.maximum(count, 1)
        squares = (np.where(there, values - mean[:, None], 0) ** 2).sum(axis=1)
        total = np.maximum(self.count + count, 1)
        shift = mean - self.mean
        self._squares += squares + shift**2 * self.count * count / total
        self.mean = self.mean + shift * count / total
        self.count = self.count + count

    @property
    def deviation(self) -> Floats:
        """Standard deviation, ddof 0."""
        return np.asarray(np.sqrt(self._squares / np.maximum(self.count, 1)))


def _require_spread(block: Embeddings, anchors: Anchors, found: _Moments) -> None:
    level = np.flatnonzero(found.deviation < _LEVEL)
    if len(level):
        row = level[0]
        raise InputError(
            anchors.origin,
            f"'{block.ids[row]}' of {block.origin} is equally similar to all {found.count[row]} "
            "anchors of its cohort; expected similarities that vary, since norms divide by that",
            hint="give more anchors, without copies, or a larger --cohort-size",
        )


def mean_nearest(
    embeddings: Embeddings, anchors: Anchors, k: int, *, progress: Progress | None = None
) -> Floats:
    """Take the mean of each embedding's k nearest anchors, of other people.

    Parameters
    ----------
    embeddings, anchors, k, progress
        As for `damcli.lid.nearest_anchors`.

    Returns
    -------
    ndarray
        (N, D) float64, not of unit length.
    """
    means = np.empty((len(embeddings), embeddings.dim))
    for block, nearest in neighbour_blocks(embeddings, anchors, k, progress=progress):
        require_other_people(embeddings.ids[block], nearest, embeddings.origin, anchors.origin)
        total = np.zeros((len(nearest.rows), embeddings.dim))
        for rows in nearest.rows.T:
            there = rows >= 0
            total[there] += anchors.vectors[rows[there]]
        means[block] = total / (nearest.rows >= 0).sum(axis=1, keepdims=True)
    return means
