"""How well numbers order samples as a target does: Spearman's rank correlation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.counts import Floats
from damcli.evaluation.evaluate import around
from damcli.evaluation.results import Estimate


def rank_correlations(
    target: Floats,
    metrics: Sequence[Floats],
    units: NDArray[Any] | None = None,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> list[Estimate | None]:
    """Correlate the ranks of each metric with those of a target.

    Parameters
    ----------
    target
        (n,) float64.
    metrics
        (n,) float64 each; the first is the baseline.
    units
        (n,) what hangs together, such as the subject; by default each sample by itself.
    resamples, seed
        Of the bootstrap over units behind the 95 % intervals, the same for all metrics.

    Returns
    -------
    list
        An estimate, -1 to 1, for each metric; None where a side is one and the same number.
    """
    places = [np.unique(column, return_inverse=True)[1] for column in (target, *metrics)]
    codes = np.arange(len(target))
    if units is not None:
        codes = np.unique(units.astype(str), return_inverse=True)[1]
    values = _spearman(places, np.ones(len(target)))
    rng = np.random.default_rng(seed)
    count = int(codes.max()) + 1
    found = np.empty((resamples, len(metrics)))
    for number in range(resamples):
        drawn = np.bincount(rng.integers(count, size=count), minlength=count)
        found[number] = _spearman(places, drawn[codes].astype(np.float64))
    return [_estimate(values, found - values, place) for place in range(len(metrics))]


def _spearman(places: Sequence[NDArray[np.int64]], weights: Floats) -> Floats:
    """Correlate the ranks of the first with those of the others, each sample so many times.

    Places say which samples are equal, and in what order the others stand.
    """
    target, *metrics = (_ranks(one, weights) for one in places)
    # Not as products of vectors, whose last bits would hang on the number of threads.
    lengths = [np.sqrt((weights * one**2).sum()) for one in (target, *metrics)]
    products = [(weights * target * one).sum() for one in metrics]
    return np.array(
        [
            product / (lengths[0] * length) if lengths[0] * length > 0 else np.nan
            for product, length in zip(products, lengths[1:], strict=True)
        ]
    )


def _ranks(places: NDArray[np.int64], weights: Floats) -> Floats:
    """Rank samples about 0; equal ones share the mean of their ranks."""
    held = np.bincount(places, weights)
    middle = np.cumsum(held) - held / 2
    return np.asarray((middle - weights.sum() / 2)[places])


def _estimate(values: Floats, deviations: Floats, place: int) -> Estimate | None:
    value = float(values[place])
    if np.isnan(value):
        return None
    paired = None if place == 0 or np.isnan(values[0]) else float(value - values[0])
    if not len(deviations):
        return Estimate(value, difference=paired)
    mine = deviations[:, place]
    interval = around(value, mine, -1, 1)
    if paired is None:
        return Estimate(value, interval)
    return Estimate(value, interval, paired, around(paired, mine - deviations[:, 0], -2, 2))
