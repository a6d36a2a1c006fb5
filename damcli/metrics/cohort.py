"""Other ways to take the neighbourhood of each side into account, besides DAM.

All of them judge a similarity by those of its two embeddings to a cohort of other people,
which here are the anchors.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
# Below this length, what is left of a float32 unit vector is rounding.
_NOTHING = 1e-6


def csls(similarities: Floats, probe_mean: Floats, reference_mean: Floats) -> Floats:
    """Cross-domain similarity local scaling, ``2c - r1 - r2`` (Conneau et al., ICLR 2018).

    Parameters
    ----------
    similarities
        Cosine similarities c, float64.
    probe_mean, reference_mean
        r of each side: its mean similarity to its k nearest anchors, float64, of a shape
        that broadcasts with ``similarities``.

    Returns
    -------
    ndarray
        float64 in [-4, 4], of the broadcast shape; higher means more similar.
    """
    return 2 * similarities - (probe_mean + reference_mean)


def standardized(similarities: Floats, mean: Floats, deviation: Floats) -> Floats:
    """Z-norm with the statistics of the probe, T-norm with those of the reference.

    Parameters
    ----------
    similarities
        Cosine similarities c, float64.
    mean, deviation
        Mean and standard deviation (ddof 0, above 0) of one side's similarities to the
        cohort, float64, of a shape that broadcasts with ``similarities``.

    Returns
    -------
    ndarray
        ``(c - mean) / deviation``, float64; higher means more similar.
    """
    return (similarities - mean) / deviation


def s_norm(
    similarities: Floats,
    probe_mean: Floats,
    probe_deviation: Floats,
    reference_mean: Floats,
    reference_deviation: Floats,
) -> Floats:
    """Symmetric normalisation, ``½[(c - μ1)/σ1 + (c - μ2)/σ2]`` (Kenny, Odyssey 2010).

    With the statistics of each side's n most similar anchors it is AS-norm (Matějka et
    al., Interspeech 2017).

    Parameters
    ----------
    similarities, probe_mean, probe_deviation, reference_mean, reference_deviation
        As for `standardized`, for both sides.

    Returns
    -------
    ndarray
        float64, of the broadcast shape; higher means more similar.
    """
    return (
        standardized(similarities, probe_mean, probe_deviation)
        + standardized(similarities, reference_mean, reference_deviation)
    ) / 2


def subtract_negatives(vectors: NDArray[np.float32], negatives: Floats, beta: float) -> Floats:
    """Negative embedding subtraction, ``v ← unit(v - β·n)`` (Yokoo, arXiv 2112.04323).

    Parameters
    ----------
    vectors
        (N, D) float32 unit rows.
    negatives
        (N, D) float64, for each row the mean of its k nearest anchors.
    beta
        How much of them is taken away, > 0.

    Returns
    -------
    ndarray
        (N, D) float64 unit rows; NaN where nothing is left that has a direction.
    """
    rest = vectors - beta * negatives
    lengths = np.linalg.norm(rest, axis=1, keepdims=True)
    return np.asarray(rest / np.where(lengths > _NOTHING, lengths, np.nan))
