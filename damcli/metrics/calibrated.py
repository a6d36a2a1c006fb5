"""The calibrated score: a log-likelihood ratio from cosine, log DAM and the two LIDs.

For given LIDs it is linear in cosine: ``llr = slope(g1, g2) · c + offset(g1, g2)``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.metrics.dam import Combination, log_dam

Floats = NDArray[np.float64]
CONSTANT = "constant"


class Terms(NamedTuple):
    """What features are made of: float64 arrays that broadcast to one shape.

    The log LIDs are cut to the range of the development pairs and mapped to [0, 1], so that
    a face in a more crowded place than any of these counts as the most crowded of them.
    """

    cosine: Floats
    log_dam: Floats
    low: Floats
    """The smaller log LID of the two sides, in [0, 1]."""
    high: Floats
    """The larger one."""
    lid_term: Floats
    """log DAM of the cut LIDs at a cosine of 0."""


FEATURES: dict[str, Callable[[Terms], Floats]] = {
    "cosine": lambda t: t.cosine,
    "log_dam": lambda t: t.log_dam,
    # These three sum to cosine; their coefficients are its slope where both faces stand
    # alone, where one of them does, and where none does.
    "cosine_alone": lambda t: t.cosine * (1 - t.high),
    "cosine_mixed": lambda t: t.cosine * (t.high - t.low),
    "cosine_crowded": lambda t: t.cosine * t.low,
    "min_lid": lambda t: t.low,
    "max_lid": lambda t: t.high,
    "min_lid_squared": lambda t: t.low**2,
    "max_lid_squared": lambda t: t.high**2,
    "min_times_max_lid": lambda t: t.low * t.high,
    "lid_term": lambda t: t.lid_term,
}


def terms_of(
    cosine: Floats,
    log_dam_scores: Floats,
    probe_log_lid: Floats,
    reference_log_lid: Floats,
    *,
    lid_range: tuple[float, float],
    combine: Combination,
) -> Terms:
    """Make the terms of pairs; symmetric in the two sides.

    Parameters
    ----------
    cosine, log_dam_scores
        float64, of the pairs.
    probe_log_lid, reference_log_lid
        log G of each side, float64, of shapes that broadcast with ``cosine``.
    lid_range
        The smallest and the largest log LID of the development pairs.
    combine
        The form that log DAM has.
    """
    first, second = lid_range
    low = np.clip(np.minimum(probe_log_lid, reference_log_lid), first, second)
    high = np.clip(np.maximum(probe_log_lid, reference_log_lid), first, second)
    width = second - first
    return Terms(
        cosine,
        log_dam_scores,
        (low - first) / width,
        (high - first) / width,
        log_dam(np.zeros(()), low, high, combine=combine),
    )


def log_likelihood_ratio(coefficients: Mapping[str, float], terms: Terms) -> Floats:
    """Weigh the features of pairs.

    Parameters
    ----------
    coefficients
        A number for each feature that counts, by its name, and ``constant``.
    terms
        Of the pairs.

    Returns
    -------
    ndarray
        log [p(pair | genuine) / p(pair | impostor)], natural logarithm, float64, of the
        terms' shape; higher means more similar.
    """
    llr: Floats = np.full(terms.cosine.shape, coefficients[CONSTANT])
    for name, weight in coefficients.items():
        if name != CONSTANT:
            llr += weight * FEATURES[name](terms)
    return llr


def posterior(llr: Floats, prior: float) -> Floats:
    """Return the probability that a pair is genuine.

    Parameters
    ----------
    llr
        Log-likelihood ratios, float64 of any shape.
    prior
        The share of genuine pairs where the score is used, between 0 and 1.
    """
    # By the hyperbolic tangent, which no llr makes overflow.
    return 0.5 + 0.5 * np.tanh(0.5 * (llr + log_odds(prior)))


def log_odds(prior: float) -> float:
    """Return log [prior / (1 - prior)]."""
    return float(np.log(prior) - np.log1p(-prior))
