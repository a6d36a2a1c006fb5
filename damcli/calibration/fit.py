"""The logistic models: four forms, from plain cosine to a quadratic in the LIDs.

Two things differ from a plain logistic regression on pairs, both because of what low false
accept rates hang on. A form is fitted at a prior of 0.003: at even odds, the millions of easy
impostors would decide where the model is good. And each subject's genuine pairs weigh as
much as another's: a subject with 500 samples has 125,000 of them, one with 2 samples has 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import UserError
from damcli.evaluation.sample import Side
from damcli.metrics.calibrated import CONSTANT, FEATURES, Floats, Terms, log_odds, terms_of
from damcli.metrics.dam import Combination
from damcli.storage.calibration import FORMS, SLOPES

Labels = NDArray[np.int64]
Mask = NDArray[np.bool_]

TRAINING_PRIOR = 0.003
# The rows of a development side's scores.
COSINE_ROW, DAM_ROW, MIN_LID_ROW, MAX_LID_ROW = range(4)
# Ridge against standardised columns, weak: it is there for separable data.
_RIDGE_INVERSE = 100.0
# The last step has one slope and one constant to find; separable data must not make them infinite.
_WEAK = 1e3
_SOLVER: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-8, "max_iter": 200}
# The slope of cosine in one place is at least about this share of its slope elsewhere.
_LEAST_SLOPE = 0.02


class Fitted(NamedTuple):
    """A fitted form."""

    form: str
    coefficients: Mapping[str, float]
    lid_range: tuple[float, float]


def development_terms(side: Side, lid_range: tuple[float, float], combine: Combination) -> Terms:
    """Make the terms of development pairs."""
    return terms_of(*side.scores, lid_range=lid_range, combine=combine)


def fit(
    form: str,
    genuine: Side,
    impostors: Side,
    *,
    prior: float = 0.5,
    combine: Combination = "sum",
) -> Fitted:
    """Fit one form to development pairs.

    Parameters
    ----------
    form
        One of `damcli.storage.calibration.FORMS`.
    genuine, impostors
        The pairs; rows of ``scores`` are cosine, log DAM, the smaller and the larger log LID.
    prior
        At which the log-likelihood ratios are calibrated best.
    combine
        The form that log DAM has.

    Returns
    -------
    Fitted
        The slope of cosine is above 0 for all LIDs.

    Raises
    ------
    UserError
        Genuine pairs are not more similar than impostor pairs.
    """
    lid_range = _lid_range(genuine, impostors)
    names = FORMS[form]
    columns = np.stack(
        [
            np.concatenate(
                [
                    FEATURES[name](development_terms(side, lid_range, combine))
                    for side in (genuine, impostors)
                ]
            )
            for name in names
        ],
        axis=1,
    )
    labels = np.repeat([1, 0], [len(genuine.weights), len(impostors.weights)])
    weights = _Weights(genuine, impostors)
    raw = np.ones(1)
    with _summing_in_one_order():
        if len(names) > 1:
            raw = _monotone(columns, labels, weights, np.isin(names, SLOPES))
        scale, constant = _recalibrate(columns @ raw, labels, weights, prior)
    if scale <= 0 or not raw[np.isin(names, SLOPES)].any():
        raise UserError(
            "genuine pairs are not more similar than impostor pairs, so nothing can be calibrated",
            hint="check the labels: 1 is genuine, 0 is impostor",
        )
    coefficients = {CONSTANT: constant}
    coefficients |= {name: float(scale * weight) for name, weight in zip(names, raw, strict=True)}
    return Fitted(form, coefficients, lid_range)


def units_of(genuine: Side) -> int:
    """Return how many independent units there are: subjects, or pairs where these are unknown."""
    known = (genuine.probe_subjects >= 0).all()
    return len(np.unique(genuine.probe_subjects)) if known else len(genuine.weights)


def _lid_range(genuine: Side, impostors: Side) -> tuple[float, float]:
    low = min(float(side.scores[MIN_LID_ROW].min()) for side in (genuine, impostors))
    high = max(float(side.scores[MAX_LID_ROW].max()) for side in (genuine, impostors))
    return low, max(high, low + 1e-9)


class _Weights:
    """The weights of development pairs: each subject's genuine pairs count 1 together."""

    def __init__(self, genuine: Side, impostors: Side) -> None:
        mine = genuine.weights
        if (genuine.probe_subjects >= 0).all():
            _, subject = np.unique(genuine.probe_subjects, return_inverse=True)
            mine = mine / np.bincount(subject, weights=mine)[subject]
        self._genuine = mine / mine.sum()
        self._impostors = impostors.weights / impostors.weights.sum()
        self._units = units_of(genuine)

    def at(self, prior: float) -> Floats:
        """Return the weights that make the share of genuine pairs so large."""
        odds = (1 - prior) / prior
        return self._units * np.concatenate([self._genuine, odds * self._impostors])


def _summing_in_one_order() -> Any:
    """Keep BLAS to one thread: sums in parts would differ in their last bits by the threads."""
    import sklearn.linear_model  # noqa: F401 - it brings a BLAS of its own, which must be there
    from threadpoolctl import threadpool_limits

    return threadpool_limits(1)


def _monotone(columns: Floats, labels: Labels, weights: _Weights, slopes: Mask) -> Floats:
    """Fit a logistic regression in which cosine raises the score wherever the pair stands.

    Its slope is linear in the LIDs, so it is positive everywhere if it is so in the three
    corners, whose slopes are the coefficients of the columns that ``slopes`` marks. A corner
    that comes out below 0 is held at the least slope, and the rest fitted again.
    """
    from sklearn.linear_model import LogisticRegression

    mixed = columns.copy()
    mixed[:, slopes] += _LEAST_SLOPE * columns[:, slopes].sum(axis=1, keepdims=True)
    even = weights.at(0.5)
    even = even / even.sum()
    centre = even @ mixed
    spread = np.sqrt(even @ (mixed - centre) ** 2)
    standard = (mixed - centre) / np.where(spread > 0, spread, 1)
    at_prior = weights.at(TRAINING_PRIOR)
    used = np.ones(columns.shape[1], dtype=bool)
    while True:
        model = LogisticRegression(C=_RIDGE_INVERSE, **_SOLVER)
        model.fit(standard[:, used], labels, sample_weight=at_prior)
        found = np.zeros(len(used))
        found[used] = model.coef_[0]
        falling = slopes & (found < 0)
        if not falling.any():
            break
        used[np.argmin(np.where(falling, found, 0))] = False
    raw = found / np.where(spread > 0, spread, 1)
    raw[slopes] += _LEAST_SLOPE * raw[slopes].sum()
    return np.asarray(raw)


def _recalibrate(
    scores: Floats, labels: Labels, weights: _Weights, prior: float
) -> tuple[float, float]:
    """Find the scale and the constant that make scores log-likelihood ratios."""
    from sklearn.linear_model import LogisticRegression

    centre, spread = float(scores.mean()), float(scores.std()) or 1.0
    model = LogisticRegression(C=_WEAK, **_SOLVER)
    model.fit(((scores - centre) / spread)[:, None], labels, sample_weight=weights.at(prior))
    scale = float(model.coef_[0, 0]) / spread
    return scale, float(model.intercept_[0]) - scale * centre - log_odds(prior)
