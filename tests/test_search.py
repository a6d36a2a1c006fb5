"""Every search gives the neighbours of an exhaustive one, to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli import kernels
from damcli.errors import UserError
from damcli.lid import gpu, int8, log_lid, search
from damcli.lid.candidates import Neighbours, compare_with_all, float32_error
from damcli.lid.flat import FlatSearch
from damcli.lid.gpu import GpuSearch
from damcli.lid.int8 import Int8Search
from damcli.lid.own import Codes
from damcli.storage.embeddings import Embeddings
from tests.faces import anchors, faces

needs_int8 = pytest.mark.skipif(
    not (kernels.COMPILED and search.has_fast_int8()), reason="no such processor, or no compiler"
)
KINDS = st.sampled_from(["apart", "crowded", "copies", "one direction"])


def unit(rng: np.random.Generator, count: int, dim: int, kind: str) -> np.ndarray:
    """Rows that are spread out, or near each other, or the same, or nearly one line."""
    raw = rng.normal(size=(count, dim))
    if kind == "crowded":
        raw = raw[:3][rng.integers(0, min(3, count), count)] + 1e-3 * raw
    if kind == "copies":
        raw = raw[rng.integers(0, max(1, count // 20), count)]
    if kind == "one direction":
        raw[:, 0] += 100
    return Embeddings.from_arrays(raw).vectors


def oracle(queries: np.ndarray, others: np.ndarray, own: Codes, k: int) -> Neighbours:
    """Sort everything, one row after the other."""
    similarities, rows = [], []
    for row, query in enumerate(queries.astype(np.float64)):
        all_of_row = others.astype(np.float64) @ query
        for mine, theirs in own:
            all_of_row[(theirs == mine[row]) & (theirs >= 0)] = -np.inf
        order = sorted(range(len(others)), key=lambda at: (-all_of_row[at], at))[:k]
        similarities.append(all_of_row[order])
        rows.append([at if np.isfinite(all_of_row[at]) else -1 for at in order])
    return Neighbours(np.array(similarities), np.array(rows))


def same(found: Neighbours, expected: Neighbours) -> None:
    assert np.array_equal(found.similarities, expected.similarities)
    assert np.array_equal(found.rows, expected.rows)


def codes(rng: np.random.Generator, queries: int, others: int, people: int) -> Codes:
    """Own anchors of most rows; -1 stands for nobody known."""
    return [(rng.integers(-1, people, queries), rng.integers(-1, people, others))]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 10_000),
    others=st.integers(1, 300),
    dim=st.sampled_from([1, 2, 8, 65]),
    k=st.integers(1, 40),
    kind=KINDS,
    people=st.integers(0, 30),
)
def test_the_flat_search_is_exact(
    seed: int, others: int, dim: int, k: int, kind: str, people: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, table = unit(rng, 9, dim, kind), unit(rng, others, dim, kind)
    own = codes(rng, 9, others, people) if people else []
    expected = oracle(queries, table, own, k)
    same(FlatSearch(table).nearest(queries, own, k), expected)
    same(compare_with_all(queries, table, own, k), expected)


@needs_int8
@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    others=st.integers(1, 5000),
    dim=st.sampled_from([1, 2, 8, 65, 512]),
    k=st.integers(1, 20),
    kind=KINDS,
    people=st.sampled_from([0, 300, 3000]),
)
def test_the_int8_search_is_exact(
    seed: int, others: int, dim: int, k: int, kind: str, people: int
) -> None:
    rng = np.random.default_rng(seed)
    queries, table = unit(rng, 9, dim, kind), unit(rng, others, dim, kind)
    own = codes(rng, 9, others, people) if people else []
    found = Int8Search(table).nearest(queries, own, min(k, others))
    same(found, oracle(queries, table, own, min(k, others)))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10_000),
    others=st.integers(1, 600),
    dim=st.sampled_from([1, 2, 8, 65, 512]),
    k=st.integers(1, 20),
    kind=KINDS,
    people=st.sampled_from([0, 30, 300]),
)
def test_the_search_of_the_gpu_is_exact(
    seed: int, others: int, dim: int, k: int, kind: str, people: int
) -> None:
    """As PyTorch does it on the CPU."""
    rng = np.random.default_rng(seed)
    queries, table = unit(rng, 9, dim, kind), unit(rng, others, dim, kind)
    own = codes(rng, 9, others, people) if people else []
    same(GpuSearch(table, "cpu").nearest(queries, own, k), oracle(queries, table, own, k))


@pytest.mark.parametrize(("kind", "again"), [("apart", 0), ("one direction", 9)])
def test_what_half_precision_cannot_tell_is_searched_again(
    kind: str, again: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []

    class Counted(FlatSearch):
        def nearest(self, queries: np.ndarray, own: Codes, k: int) -> Neighbours:
            searched.append(len(queries))
            return super().nearest(queries, own, k)

    monkeypatch.setattr(gpu, "FlatSearch", Counted)
    rng = np.random.default_rng(1)
    queries, table = unit(rng, 9, 64, kind), unit(rng, 3000, 64, kind)
    same(GpuSearch(table, "cpu").nearest(queries, [], 5), oracle(queries, table, [], 5))
    assert sum(searched) == again


def test_a_gpu_that_fails_is_named_with_the_way_round_it() -> None:
    table = unit(np.random.default_rng(1), 5, 4, "apart")
    with pytest.raises(UserError, match="the GPU failed at the nearest anchors: ") as caught:
        GpuSearch(table, "nowhere")
    assert "CUDA_VISIBLE_DEVICES= damcli" in str(caught.value.hint)


def test_a_gpu_is_asked_for_where_there_is_one_and_much_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = unit(np.random.default_rng(1), 50, 4, "apart")
    monkeypatch.setattr(search, "GpuSearch", lambda anchors: GpuSearch(anchors, "cpu"))
    monkeypatch.setattr(search, "gpu_is_there", lambda: True)
    assert isinstance(search._chosen(table, table, 5)[0], FlatSearch)
    monkeypatch.setattr(search, "_LEAST_FOR_GPU", 1)
    assert isinstance(search._chosen(table, table, 5)[0], GpuSearch)
    blocks = list(search.search_blocks(table, table, [], 5, 0))
    assert [block.start for block, _ in blocks] == [0]
    same(blocks[0][1], oracle(table, table, [], 5))
    monkeypatch.setattr(search, "gpu_is_there", gpu.gpu_is_there)
    monkeypatch.setattr(gpu, "_DRIVER", tmp_path / "none")
    assert isinstance(search._chosen(table, table, 5)[0], FlatSearch)
    monkeypatch.setattr(gpu, "_DRIVER", tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert isinstance(search._chosen(table, table, 5)[0], GpuSearch)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert isinstance(search._chosen(table, table, 5)[0], FlatSearch)


@needs_int8
@pytest.mark.parametrize(("kind", "crowded"), [("apart", False), ("one direction", True)])
def test_int8_hands_over_what_lies_too_close_together(
    kind: str, crowded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[int] = []

    class Counted(FlatSearch):
        def __init__(self, table: np.ndarray) -> None:
            built.append(len(table))
            super().__init__(table)

    monkeypatch.setattr(int8, "FlatSearch", Counted)
    rng = np.random.default_rng(1)
    queries, table = unit(rng, 9, 64, kind), unit(rng, 6000, 64, kind)
    by_int8 = int8.Int8Search(table)
    for _ in range(2):
        same(by_int8.nearest(queries, [], 5), oracle(queries, table, [], 5))
    assert built == [6000] * crowded


def test_float32_errs_by_less_than_its_bound() -> None:
    rng = np.random.default_rng(0)
    for dim in (2, 64, 512):
        one, other = unit(rng, 500, dim, "apart"), unit(rng, 500, dim, "crowded")
        exact = np.einsum("nd,nd->n", one.astype(np.float64), other.astype(np.float64))
        near = np.einsum("nd,nd->n", one, other)
        assert np.abs(near - exact).max() <= float32_error(dim)


@needs_int8
def test_whichever_search_is_chosen_the_lids_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    people, others = faces(300, 4, dim=32), anchors(2000, dim=32)
    flat = log_lid(people, others, k=7)
    monkeypatch.setattr(search, "int8_pays", lambda *_: True)
    done: list[int] = []
    assert np.array_equal(log_lid(people, others, k=7, progress=done.append), flat)
    assert sum(done) == len(people)


@pytest.mark.parametrize(
    ("work", "fast", "expected"),
    [
        ((100_000, 50_000, 512, 10), True, True),
        ((100_000, 50_000, 512, 10), False, False),
        ((200, 50_000, 512, 10), True, True),
        ((200, 50_000, 128, 10), True, False),
        ((512, 8_192, 512, 10), True, False),
        ((1_000_000, 500, 512, 10), True, False),
        ((100_000, 50_000, 512, 500), True, False),
    ],
)
def test_the_search_is_chosen_by_the_work_and_the_machine(
    work: Any, fast: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "COMPILED", True)
    monkeypatch.setattr(search, "has_fast_int8", lambda: fast)
    assert search.int8_pays(*work) is expected
    monkeypatch.setattr(kernels, "COMPILED", False)
    assert not search.int8_pays(*work)
