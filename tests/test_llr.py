from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from damcli.evaluation.llr import quality_of_arrays, quality_of_matches
from damcli.metrics.calibrated import log_odds, posterior
from damcli.scoring.matches import MatchSpool

SCORES = st.lists(st.integers(-6, 6).map(float), min_size=1, max_size=30)


def judged(genuine: list[float], impostors: list[float], prior: float = 0.5):
    sides = [(np.array(side), np.ones(len(side))) for side in (genuine, impostors)]
    return quality_of_arrays(sides[0], sides[1], prior)


def streamed(genuine: list[float], impostors: list[float], prior: float = 0.5):
    matches = MatchSpool(["cosine", "calibrated"])
    llr = np.array(genuine + impostors)
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [len(genuine), len(impostors)])
    matches.append(labels, [np.zeros(len(llr)), llr])
    return quality_of_matches(matches, "calibrated", prior)


def cllr(genuine: np.ndarray, impostors: np.ndarray) -> float:
    mine = [np.log2(1 + np.exp(-x)) for x in genuine]
    theirs = [np.log2(1 + np.exp(x)) for x in impostors]
    return (np.mean(mine) + np.mean(theirs)) / 2


def pooled(genuine: list[float], impostors: list[float]) -> float:
    """Minimum Cllr, pair by pair: isotonic probabilities, less the sample's own prior."""
    scores = np.array(genuine + impostors)
    labels = np.repeat([1.0, 0.0], [len(genuine), len(impostors)])
    p = IsotonicRegression(y_min=0, y_max=1).fit_transform(scores, labels)
    with np.errstate(divide="ignore"):
        llr = np.log(p) - np.log(1 - p) - np.log(len(genuine) / len(impostors))
    return cllr(llr[labels == 1], llr[labels == 0])


def test_scores_without_information_cost_one_bit() -> None:
    found = judged([0.0] * 3, [0.0] * 50)
    assert found.cllr == pytest.approx(1)
    assert found.min_cllr == pytest.approx(1)
    assert found.ece == pytest.approx(0)


def test_perfect_scores_cost_nothing() -> None:
    found = judged([60.0, 70.0], [-60.0])
    assert found.cllr == pytest.approx(0, abs=1e-12)
    assert found.min_cllr == pytest.approx(0)
    assert found.ece == pytest.approx(0)


@given(SCORES, SCORES)
def test_against_the_formulas(genuine: list[float], impostors: list[float]) -> None:
    for found in (judged(genuine, impostors), streamed(genuine, impostors)):
        assert found.cllr == pytest.approx(cllr(np.array(genuine), np.array(impostors)))
        assert found.min_cllr == pytest.approx(pooled(genuine, impostors), abs=1e-9)
        assert found.min_cllr <= found.cllr + 1e-9


@given(SCORES, SCORES, st.sampled_from([1e-4, 0.1, 0.5, 0.9]))
def test_streaming_changes_nothing(
    genuine: list[float], impostors: list[float], prior: float
) -> None:
    one, other = judged(genuine, impostors, prior), streamed(genuine, impostors, prior)
    assert one.ece == pytest.approx(other.ece, abs=1e-12)
    assert [b.mass for b in one.bins] == pytest.approx([b.mass for b in other.bins])


@given(SCORES, SCORES, st.sampled_from([0.01, 0.5]))
def test_reliability_pair_by_pair(
    genuine: list[float], impostors: list[float], prior: float
) -> None:
    found = judged(genuine, impostors, prior)
    weights = [prior / len(genuine)] * len(genuine) + [(1 - prior) / len(impostors)] * len(
        impostors
    )
    stated = [1 / (1 + np.exp(-x) * (1 - prior) / prior) for x in genuine + impostors]
    ece = 0.0
    for one in found.bins:
        inside = [i for i, p in enumerate(stated) if one.low <= p < one.high or p == one.high == 1]
        mass = sum(weights[i] for i in inside)
        assert one.mass == pytest.approx(mass, abs=1e-12)
        assert one.genuine == sum(i < len(genuine) for i in inside)
        if mass:
            observed = sum(weights[i] for i in inside if i < len(genuine)) / mass
            mean = sum(weights[i] * stated[i] for i in inside) / mass
            assert (one.observed, one.stated) == pytest.approx((observed, mean))
            ece += mass * abs(observed - mean)
    assert sum(b.mass for b in found.bins) == pytest.approx(1)
    assert found.ece == pytest.approx(ece, abs=1e-12)


def test_weights_count_as_repetitions() -> None:
    one = quality_of_arrays(
        (np.array([1.0, 3.0]), np.array([2.0, 1.0])),
        (np.array([-1.0, 2.0]), np.array([1.0, 3.0])),
        0.3,
    )
    other = judged([1.0, 1.0, 3.0], [-1.0, 2.0, 2.0, 2.0], 0.3)
    assert (one.cllr, one.min_cllr, one.ece) == pytest.approx(
        (other.cllr, other.min_cllr, other.ece)
    )


@given(st.floats(-800, 800), st.floats(1e-6, 1 - 1e-6))
def test_probability_is_bayes_rule(llr: float, prior: float) -> None:
    found = float(posterior(np.array(llr), prior))
    assert 0 <= found <= 1
    if abs(llr) < 30:
        assert found == pytest.approx(
            prior * np.exp(llr) / (prior * np.exp(llr) + 1 - prior), rel=1e-6, abs=1e-12
        )
    assert float(posterior(np.array(-log_odds(prior)), prior)) == pytest.approx(0.5)
