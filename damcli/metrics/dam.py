"""The Discrepancy Alignment Metric, in log space (Liu et al., ICCV 2021)."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

Combination = Literal["sum", "product"]
COMBINATIONS: tuple[str, ...] = get_args(Combination)


def log_dam(
    similarities: NDArray[np.float64],
    probe_log_lid: NDArray[np.float64],
    reference_log_lid: NDArray[np.float64],
    *,
    s: float = 1.0,
    combine: Combination = "sum",
) -> NDArray[np.float64]:
    """Score pairs by the logarithm of Eq. 3.

    ``DAM(f1, f2) = exp(s·c) · (1/G1 + 1/G2)``, c = <f1, f2>, G the local inter-class
    discrepancy (LID) of each side. Its logarithm orders pairs the same way and stays
    finite for every s. ``combine="product"`` is the form of Sec. 4.6, ``exp(s·c)/(G1·G2)``.

    Parameters
    ----------
    similarities
        Cosine similarities c, float64 in [-1, 1].
    probe_log_lid, reference_log_lid
        log G of each side, float64, of a shape that broadcasts with ``similarities``;
        see `damcli.log_lid`.
    s
        Scale, > 0; the one that the log LID was taken with.
    combine
        ``sum`` (Eq. 3) or ``product``.

    Returns
    -------
    ndarray
        log DAM, float64, of the broadcast shape; higher means more similar.
    """
    scaled = s * similarities
    if combine == "sum":
        # As np.logaddexp does, of which numpy has no vectorised form: a third of the time.
        apart = np.abs(probe_log_lid - reference_log_lid)
        smaller = np.minimum(probe_log_lid, reference_log_lid)
        return np.asarray(scaled + (np.log(1 + np.exp(-apart)) - smaller))
    return scaled - (probe_log_lid + reference_log_lid)  # so that sides may change places
