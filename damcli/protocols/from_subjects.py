"""Pairs from the subjects of the embeddings: genuine within a subject, impostor across."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.storage.embeddings import Names

_BLOCK_PAIRS = 1 << 20
Pairs = NDArray[np.int64]


class SubjectPairs(NamedTuple):
    """All pairs of N embeddings with known subjects, each unordered pair once."""

    codes: NDArray[np.int64]
    """(N,) subject numbers."""
    genuine: int
    """Pairs of one subject."""
    impostors: int
    """Pairs of two subjects."""


def subject_pairs(subjects: Names | None, origin: str) -> SubjectPairs:
    """Count the pairs of one set of embeddings.

    Raises
    ------
    InputError
        The subjects are not known.
    """
    if subjects is None:
        raise InputError(
            origin,
            "carries no subjects, so its pairs cannot be labelled",
            hint="store a 'subject' for each embedding, or give a list of labelled pairs",
        )
    _, codes, sizes = np.unique(subjects, return_inverse=True, return_counts=True)
    genuine = int((sizes * (sizes - 1) // 2).sum())
    total = len(subjects) * (len(subjects) - 1) // 2
    return SubjectPairs(codes.astype(np.int64), genuine, total - genuine)


def genuine_pairs(codes: NDArray[np.int64]) -> Pairs:
    """List all pairs (i < j) of one subject, (P, 2), sorted."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    found = []
    for members in np.split(order, starts[1:]):
        first, second = np.triu_indices(len(members), 1)
        found.append(np.stack([members[first], members[second]], axis=1))
    pairs = np.concatenate(found)
    return np.asarray(pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))], dtype=np.int64)


def impostor_blocks(codes: NDArray[np.int64]) -> Iterator[Pairs]:
    """Yield all pairs (i < j) of two subjects, (P, 2), a block of rows at a time."""
    step = max(1, _BLOCK_PAIRS // len(codes))
    for start in range(0, len(codes), step):
        rows = np.arange(start, min(start + step, len(codes)))
        columns = np.arange(start, len(codes))
        wanted = (columns[None] > rows[:, None]) & (codes[None, start:] != codes[rows, None])
        pairs = np.argwhere(wanted) + start
        if len(pairs):
            yield pairs


def draw_genuine(pairs: SubjectPairs, count: int, rng: np.random.Generator) -> Pairs:
    """Draw so many genuine pairs without repetition, sorted."""
    _require_enough("genuine", count, pairs.genuine)
    listed = genuine_pairs(pairs.codes)
    return listed[np.sort(rng.choice(len(listed), count, replace=False))]


def draw_impostors(pairs: SubjectPairs, count: int, rng: np.random.Generator) -> Pairs:
    """Draw so many impostor pairs without repetition, sorted."""
    _require_enough("impostor", count, pairs.impostors)
    if 2 * count > pairs.impostors:
        # Rejection, below, would hardly ever hit the last ones.
        listed = np.concatenate(list(impostor_blocks(pairs.codes)))
        return np.asarray(listed[np.sort(rng.choice(len(listed), count, replace=False))])
    rows = len(pairs.codes)
    kept = np.empty(0, dtype=np.int64)
    while len(kept) < count:
        drawn = rng.integers(0, rows, size=(2 * (count - len(kept)) + 64, 2))
        low, high = drawn.min(axis=1), drawn.max(axis=1)
        fresh = (low * rows + high)[pairs.codes[low] != pairs.codes[high]]
        kept = np.unique(np.concatenate([kept, fresh]))
    chosen = np.sort(rng.choice(kept, count, replace=False))
    return np.stack([chosen // rows, chosen % rows], axis=1)


def _require_enough(what: str, wanted: int, there: int) -> None:
    if wanted > there:
        raise UserError(
            f"{wanted} {what} pairs asked for, but the subjects make only {there}",
            hint=f"ask for at most {there}, or for 'all'",
        )
