"""Weighted sums of the rows of embeddings, one for each template, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.pooling.modes import Pooling, take_halves
from damcli.storage.embeddings import BLOCK_ROWS, Embeddings, EmbeddingSource, Rows

Floats = NDArray[np.float64]
Progress = Callable[[int], None]
_UNIT = 1e-3  # what float16 leaves of a length of 1


@dataclass(frozen=True, eq=False)
class Members:
    """P images of T templates, in the order of their rows.

    Attributes
    ----------
    rows
        (P,) where each stands in the embeddings, ascending.
    templates
        (P,) the template of each, 0 to T - 1.
    shares
        (P,) one over the images of its medium.
    weights
        (P,) what each is multiplied by.
    """

    rows: Rows
    templates: Rows
    shares: Floats
    weights: Floats

    @classmethod
    def of(cls, rows: Rows, templates: Rows, media: Rows, weights: Floats | None) -> Members:
        """Count the images of each medium, and sort by row."""
        _, codes, counts = np.unique(media, return_inverse=True, return_counts=True)
        ones = np.ones(len(rows)) if weights is None else weights
        order = np.argsort(rows, kind="stable")
        return cls(rows[order], templates[order], (1 / counts[codes])[order], ones[order])

    def media_counts(self, count: int) -> Floats:
        """Return how many media each of the templates has."""
        return np.asarray(np.bincount(self.templates, self.shares, count), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Sums:
    """What T templates are made of.

    Attributes
    ----------
    vectors
        (T, D) float64, not of unit length.
    values
        (T,) float64, the mean over a template's media of the mean of ``each`` over the medium's
        images; None where there is no ``each``.
    """

    vectors: Floats
    values: Floats | None


def template_sums(
    source: EmbeddingSource,
    members: Members,
    count: int,
    pooling: Pooling,
    *,
    each: Callable[[Embeddings], Floats] | None = None,
    progress: Progress | None = None,
) -> Sums:
    """Sum over a template's media the mean over a medium's images, each by its weight.

    Parameters
    ----------
    source
        The embeddings; only rows that are asked for are read, a block at a time.
    members
        Which rows make up which template.
    count
        T, how many templates there are.
    pooling
        What of the embeddings is summed.
    each
        Gives n embeddings a value each, to be averaged too.
    progress
        Called with the number of images read since the last call.

    Raises
    ------
    InputError
        The lengths before normalisation are asked for and not known, or what is left of an
        embedding is zero.
    """
    used, starts = np.unique(members.rows, return_index=True)
    ends = np.append(starts, len(members.rows))
    dim = source.dim if pooling.halves == "whole" else source.dim // 2
    vectors = np.zeros((count, dim))
    values = np.zeros(count) if each is not None else None
    has_norms = False
    for start in range(0, len(used), BLOCK_ROWS):
        rows = used[start : start + BLOCK_ROWS]
        block = source.take(rows)
        has_norms = has_norms or _vary(block)
        block = take_halves(block, pooling.halves, rows)
        part = slice(ends[start], ends[start + len(rows)])
        places = np.searchsorted(rows, members.rows[part])
        factors = members.shares[part] * members.weights[part]
        if pooling.raw_norm and block.norms is not None:
            factors = factors * block.norms[places]
        _add(vectors, members.templates[part], places, factors, block)
        if each is not None and values is not None:
            found = each(block)[places] * members.shares[part]
            values += np.bincount(members.templates[part], found, count)
        if progress is not None:
            progress(len(rows))
    if pooling.raw_norm and not has_norms:
        raise InputError(
            source.origin,
            "knows no lengths before normalisation but 1; expected those of the network's outputs",
            hint="embed the images with damcli embed, which keeps them, or convert the vectors as "
            "the network gave them",
        )
    return Sums(vectors, None if values is None else values / members.media_counts(count))


def _vary(block: Embeddings) -> bool:
    """Whether some length is known that is not that of a normalised vector."""
    return block.norms is not None and bool((np.abs(block.norms - 1) > _UNIT).any())


def _add(
    vectors: Floats, templates: Rows, places: Rows, factors: Floats, block: Embeddings
) -> None:
    """Add a block's rows to the sums of those templates that have a part in it."""
    from scipy import sparse

    touched, codes = np.unique(templates, return_inverse=True)
    shape = (len(touched), len(block))
    shares = sparse.coo_array((factors, (codes, places)), shape=shape).tocsr()
    vectors[touched] += shares @ block.vectors.astype(np.float64)
