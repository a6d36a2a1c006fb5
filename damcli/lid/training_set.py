"""What a regressor is fitted to: unit embeddings, their log LIDs, and who is held out."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.lid.discrepancy import log_sum, require_other_people
from damcli.lid.neighbours import Progress, nearest_anchors
from damcli.lid.own_photographs import without_own_photographs
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import EmbeddingSource, Names, Rows, check_unique

# Many, since each block of rows brings its own index of the anchors.
_BLOCK_ROWS = 1 << 15


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """N unit embeddings and what their LIDs are.

    Attributes
    ----------
    vectors
        (N, D) float32, in memory or mapped from a temporary file.
    log_lids
        (N,) float64.
    skipped_rows
        How many rows had anchors above the ceiling that were skipped.
    """

    vectors: NDArray[np.float32]
    log_lids: NDArray[np.float64]
    skipped_rows: int = 0


@dataclass(frozen=True, eq=False)
class Split:
    """Which rows are learnt from, and which ones only tell how well that went."""

    train: Rows
    heldout: Rows
    by_subject: bool


def hold_out(source: EmbeddingSource, share: float, seed: int) -> Split:
    """Hold out a share of the subjects, with all their rows.

    Parameters
    ----------
    source
        N embeddings. Where subjects are not known, each row counts as a person.
    share
        Of the subjects, between 0 and 1; at least one is held out, and at least one is not.
    seed
        Of the draw.

    Raises
    ------
    InputError
        There is only one subject.
    ValueError
        The share is out of its range.
    """
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} is held out; expected a number between 0 and 1")
    column: Names = source.ids if source.subjects is None else source.subjects
    names, codes = np.unique(column.astype(str), return_inverse=True)
    if len(names) < 2:
        raise InputError(
            source.origin,
            f"shows {len(names)} subject; expected several, of whom some can be held out",
            hint="give embeddings of more people",
        )
    count = min(max(1, round(share * len(names))), len(names) - 1)
    drawn = np.random.default_rng(seed).permutation(len(names))[:count]
    out = np.isin(codes, drawn)
    return Split(np.flatnonzero(~out), np.flatnonzero(out), source.subjects is not None)


def training_set(
    source: EmbeddingSource,
    anchors: Anchors,
    *,
    k: int,
    s: float,
    max_bytes: int,
    ceiling: float | None = None,
    progress: Progress | None = None,
) -> TrainingSet:
    """Read the embeddings block by block and take the LID of each.

    Parameters
    ----------
    source
        N embeddings, in memory or in a file.
    anchors
        Where the LIDs come from. Anchors of an embedding's own id or subject are skipped.
    k, s
        Neighbours and scale of the LID.
    max_bytes
        Vectors beyond this are kept in a temporary file and not in memory.
    ceiling
        Anchors of a higher cosine to a row are taken for its own subject, and skipped, unless
        they are a crowd; see `damcli.lid.own_photographs`.
    progress
        Called with the number of embeddings done since the last call.

    Raises
    ------
    InputError
        An id stands twice, a row has no direction, or only anchors of its own subject.
    """
    check_unique(source.ids, source.origin)
    vectors = _room(len(source), source.dim, max_bytes)
    log_lids = np.empty(len(source))
    skipped_rows = 0
    for start in range(0, len(source), _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, len(source)))
        block = source.take(rows)
        nearest = nearest_anchors(block, anchors, k, progress=progress)
        if ceiling is not None:
            nearest, skipped = without_own_photographs(ceiling, nearest, block, anchors, k)
            skipped_rows += skipped
        require_other_people(block.ids, nearest, source.origin, anchors.origin)
        vectors[rows] = block.vectors
        log_lids[rows] = log_sum(nearest.similarities, s)
    return TrainingSet(vectors, log_lids, skipped_rows)


def _room(rows: int, dim: int, max_bytes: int) -> Any:
    if rows * dim * np.dtype(np.float32).itemsize <= max_bytes:
        return np.empty((rows, dim), dtype=np.float32)
    with tempfile.TemporaryFile() as file:  # the mapping keeps the nameless file alive
        return np.memmap(file, dtype=np.float32, mode="w+", shape=(rows, dim))
