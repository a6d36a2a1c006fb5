"""Unit rows are so rounded that float64 sums up their products without any error."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.storage.embeddings import Embeddings


def unit(seed: int, dim: int, spread: float) -> np.ndarray:
    """Some rows, of which a large spread leaves but a few components that matter."""
    rng = np.random.default_rng(seed)
    raw = rng.normal(size=(6, dim)) * np.exp(spread * rng.normal(size=dim))
    return Embeddings.from_arrays(raw).vectors


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3, 64, 512]), st.floats(0, 6))
def test_a_float64_product_is_the_exact_one_in_any_order(
    seed: int, dim: int, spread: float
) -> None:
    vectors = unit(seed, dim, spread)
    wide = vectors.astype(np.float64)
    exact = sum(Fraction(float(a)) * Fraction(float(b)) for a, b in zip(*wide[:2], strict=True))
    order = np.random.default_rng(seed).permutation(dim)
    one_by_one = 0.0
    for a, b in zip(wide[0, order], wide[1, order], strict=True):
        one_by_one += float(a * b)
    assert Fraction(one_by_one) == exact
    assert Fraction(float(wide[0] @ wide[1])) == exact
    assert Fraction(float((wide @ wide.T)[0, 1])) == exact


@pytest.mark.parametrize("dim", [2, 128, 512])
def test_rounding_moves_a_row_by_less_than_float32_does(dim: int) -> None:
    raw = np.random.default_rng(0).normal(size=(50, dim))
    exact = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    found = Embeddings.from_arrays(raw).vectors.astype(np.float64)
    assert np.abs(found - exact).max() <= 2.0**-25 + 2.0**-27
    small = np.abs(exact) < 0.25
    assert np.abs(found - exact)[small].max() <= 2.0**-27 * 1.001


@given(st.integers(0, 10_000), st.sampled_from([1, 2, 3, 8, 512]), st.floats(0, 6))
def test_unit_rows_that_are_read_again_stay_as_they_are(seed: int, dim: int, spread: float) -> None:
    vectors = unit(seed, dim, spread)
    assert (Embeddings.from_arrays(vectors).vectors == vectors).all()
