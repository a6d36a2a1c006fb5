from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.metrics import all_similarities, log_dam, pair_similarities
from tests.faces import faces

LIDS = st.floats(-50, 50)


@given(st.floats(-1, 1), LIDS, LIDS, st.floats(0.1, 64))
def test_log_dam_is_the_logarithm_of_eq_3(c: float, g1: float, g2: float, s: float) -> None:
    by_hand = math.exp(s * c) * (1 / math.exp(g1) + 1 / math.exp(g2))
    found = log_dam(np.array([c]), np.array([g1]), np.array([g2]), s=s)
    assert found[0] == pytest.approx(math.log(by_hand), rel=1e-12, abs=1e-9)


@given(st.floats(-1, 1), LIDS, LIDS, st.floats(0.1, 64))
def test_product_form(c: float, g1: float, g2: float, s: float) -> None:
    by_hand = math.exp(s * c) / (math.exp(g1) * math.exp(g2))
    found = log_dam(np.array([c]), np.array([g1]), np.array([g2]), s=s, combine="product")
    assert found[0] == pytest.approx(math.log(by_hand), rel=1e-12, abs=1e-9)


@given(st.floats(-1, 1), LIDS, LIDS, st.sampled_from(["sum", "product"]))
def test_dam_is_symmetric_in_the_pair(c: float, g1: float, g2: float, combine: str) -> None:
    one, other = (
        log_dam(np.array([c]), np.array([a]), np.array([b]), combine=combine)  # type: ignore[arg-type]
        for a, b in ((g1, g2), (g2, g1))
    )
    assert one == other


def test_dam_stays_finite_where_eq_3_overflows() -> None:
    assert np.isfinite(
        log_dam(np.array([1.0]), np.array([-2000.0]), np.array([2000.0]), s=900)
    ).all()


@given(st.integers(1, 1500), st.integers(0, 2**32 - 1))
def test_listed_similarities_equal_the_matrix(count: int, seed: int) -> None:
    people = faces(9, 3, dim=7)
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, len(people), size=(2, count))
    listed = pair_similarities(people.vectors, people.vectors, a, b)
    matrix = all_similarities(people.vectors, people.vectors)
    assert np.allclose(listed, matrix[a, b], rtol=0, atol=1e-14)
    exact = [
        math.fsum(
            float(x) * float(y) for x, y in zip(people.vectors[i], people.vectors[j], strict=True)
        )
        for i, j in zip(a[:5], b[:5], strict=True)
    ]
    assert np.allclose(listed[:5], exact, rtol=0, atol=1e-14)
