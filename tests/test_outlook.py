"""How anchors look from probes and from each other, against slow sums."""

from __future__ import annotations

import numpy as np
import pytest

from damcli.lid.outlook import QUANTILES, Outlook, outlook
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from tests.faces import anchors, faces


def slow_log_lid(vector: np.ndarray, others: np.ndarray, k: int, s: float) -> float:
    nearest = np.sort(others.astype(np.float64) @ vector.astype(np.float64))[::-1][:k]
    return float(np.log(np.exp(s * nearest).sum()))


def test_against_slow_sums() -> None:
    probes, others = faces(30, 2), anchors(60)
    seen = outlook(probes, others, k=7, s=2.0)
    for row, lid in zip(seen.probe_rows, seen.probe_log_lid, strict=True):
        assert lid == pytest.approx(slow_log_lid(probes.vectors[row], others.vectors, 7, 2.0))
    for row, lid in enumerate(seen.anchor_log_lid):
        rest = np.delete(others.vectors, row, axis=0)
        assert lid == pytest.approx(slow_log_lid(others.vectors[row], rest, 7, 2.0))
    similarities = -np.sort(-(probes.vectors @ others.vectors.T), axis=1)
    expected = np.quantile(similarities, QUANTILES, axis=0)
    np.testing.assert_allclose(seen.similarities, expected, atol=1e-6)


def test_own_anchors_are_left_out() -> None:
    probes = faces(10, 2)
    seen = outlook(probes, Anchors.of(probes, kind="real-db"), k=3, s=1.0)
    assert seen.similarities.shape == (5, 18)
    np.testing.assert_array_equal(seen.probe_log_lid, seen.anchor_log_lid)
    assert seen.more_crowded == 0.5


def test_the_chance_is_that_of_all_pairs(rng: np.random.Generator) -> None:
    probe, anchor = rng.integers(0, 9, 40).astype(float), rng.integers(2, 12, 30).astype(float)
    seen = Outlook(np.arange(40), np.zeros((5, 1)), probe, anchor, 10, 1.0)
    above = (probe[:, None] > anchor).mean() + (probe[:, None] == anchor).mean() / 2
    assert seen.more_crowded == pytest.approx(above)


def test_anchors_of_another_domain_are_told() -> None:
    probes = faces(60, 1)
    assert not outlook(probes, anchors(60), k=5, s=1.0).is_far_apart
    rng = np.random.default_rng(0)
    crowd = Embeddings.from_arrays(rng.normal(size=(60, 16)) * 0.1 + 1)
    seen = outlook(probes, Anchors.of(crowd, kind="real-db"), k=5, s=1.0)
    assert seen.more_crowded < 0.1
    assert seen.is_far_apart
    assert outlook(crowd, anchors(60), k=5, s=1.0).more_crowded > 0.5


def test_many_are_looked_at_evenly() -> None:
    rng = np.random.default_rng(0)
    probes = Embeddings.from_arrays(rng.normal(size=(12_000, 4)))
    seen = outlook(probes, anchors(20, dim=4), k=2, s=1.0)
    assert len(seen.probe_rows) == 5_000
    assert (seen.probe_rows[0], seen.probe_rows[-1]) == (0, 11_999)
    assert set(np.diff(seen.probe_rows)) == {2, 3}
