"""How far the error rates of groups lie apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.counts import Floats
from damcli.evaluation.group_results import DEVIATION, MAX_GEOMEAN, MAX_MIN

Flags = NDArray[np.bool_]


def spread(rates: Floats, measure: str) -> Floats:
    """Take a measure of spread over the last axis.

    Parameters
    ----------
    rates
        (..., groups) float64; NaN where a group has none, which leaves the group out.
    measure
        ``max/min``: the highest rate over the lowest. ``max/geometric mean``: the highest over
        the geometric mean of all. ``standard deviation``: with ddof = 1.

    Returns
    -------
    ndarray
        (...,) float64. A ratio is infinite where some group has no error, and NaN where none
        has any; everything is NaN with fewer than two groups.
    """
    if not rates.shape[-1]:
        return np.full(rates.shape[:-1], np.nan)
    known = ~np.isnan(rates)
    enough = known.sum(axis=-1) > 1
    if measure == DEVIATION:
        return _deviation(rates, known, enough)
    highest = np.where(known, rates, -np.inf).max(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if measure == MAX_MIN:
            below = np.where(known, rates, np.inf).min(axis=-1)
        else:
            assert measure == MAX_GEOMEAN
            logs = np.where(known, np.log(rates), 0).sum(axis=-1)
            below = np.exp(logs / known.sum(axis=-1))
        return np.asarray(np.where(enough, highest / below, np.nan))


def _deviation(rates: Floats, known: Flags, enough: Flags) -> Floats:
    count = np.maximum(known.sum(axis=-1), 2)
    mean = np.where(known, rates, 0).sum(axis=-1) / count
    squares = np.where(known, (rates - mean[..., None]) ** 2, 0).sum(axis=-1)
    return np.asarray(np.where(enough, np.sqrt(squares / (count - 1)), np.nan))
