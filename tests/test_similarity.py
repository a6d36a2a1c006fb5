"""Similarities of listed pairs: the same bits whichever way they are taken."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli import kernels, threads
from damcli.metrics import all_similarities, pair_similarities, similarity
from damcli.storage.embeddings import Embeddings


def unit(rows: int, dim: int, seed: int = 0) -> np.ndarray:
    return Embeddings.from_arrays(np.random.default_rng(seed).normal(size=(rows, dim))).vectors


def one_by_one(probes: np.ndarray, references: np.ndarray, pairs: np.ndarray) -> list[float]:
    found = []
    for a, b in pairs.T:
        total = 0.0
        for x, y in zip(probes[a], references[b], strict=True):
            total += float(x) * float(y)
        found.append(total)
    return found


@st.composite
def lists(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw pairs of all kinds: scattered, in cells that are full, in any order, repeated."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    probes = unit(draw(st.integers(1, 40)), 5, 1)
    references = draw(st.sampled_from([probes, unit(33, 5, 2)]))
    count = draw(st.integers(0, 300))
    some = rng.integers(0, (len(probes), len(references)), size=(count, 2)).T
    full = np.array(np.meshgrid(np.arange(len(probes)), np.arange(9) % len(references)))
    pairs = np.concatenate([some, full.reshape(2, -1)], axis=1)
    order = draw(st.sampled_from(["as made", "by probe", "by reference", "any"]))
    if order == "any":
        pairs = rng.permutation(pairs, axis=1)
    elif order != "as made":
        pairs = pairs[:, np.argsort(pairs[int(order == "by reference")], kind="stable")]
    return probes, references, pairs


@pytest.fixture(scope="module", params=[True, False], ids=["compiled", "numpy"])
def ways(request: pytest.FixtureRequest) -> object:
    """Take short windows, so that short lists go every way there is."""
    if request.param and not kernels.COMPILED:
        pytest.skip("installed without a C compiler")
    patch = pytest.MonkeyPatch()
    patch.setattr(kernels, "COMPILED", request.param)
    patch.setattr(similarity, "_GATHER", 7)
    patch.setattr(similarity, "_LEAST_WINDOW", 50)
    yield
    patch.undo()


@pytest.mark.usefixtures("ways")
@given(lists(), st.sampled_from([1, 2, 3]))
def test_every_way_gives_the_same_bits(
    drawn: tuple[np.ndarray, np.ndarray, np.ndarray], workers: int
) -> None:
    probes, references, pairs = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(similarity, "cores", lambda: workers)
        patch.setattr("damcli.threads.cores", lambda: workers)
        found = pair_similarities(probes, references, *pairs)
    assert found.tolist() == one_by_one(probes, references, pairs)


def test_listed_blocks_and_matrix_agree_to_the_bit_at_full_size() -> None:
    people = unit(700, 512)
    matrix = all_similarities(people, people)
    rng = np.random.default_rng(3)
    for share in (0.01, 0.2):
        a, b = np.nonzero(rng.random((700, 700)) < share)
        listed = pair_similarities(people, people, a, b)
        assert (listed == matrix[a, b]).all()
        assert (
            listed[:50]
            == [
                float(np.float64(people[i]) @ people[j].astype(float))
                for i, j in zip(a[:50], b[:50], strict=True)
            ]
        ).all()


def test_blas_has_its_threads_back_when_the_last_block_ends() -> None:
    from threadpoolctl import threadpool_info

    def of_blas() -> list[int]:
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    before = of_blas()
    with threads.one_blas_thread():
        with threads.one_blas_thread():
            assert set(of_blas()) == {1}
        assert set(of_blas()) == {1}
    assert of_blas() == before
