"""The loops in C: against loops of a few lines in Python, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli import kernels
from damcli.storage.embeddings import Embeddings

pytestmark = pytest.mark.skipif(not kernels.COMPILED, reason="installed without a C compiler")
SEEDS = st.integers(0, 2**32 - 1)


def unit(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    return Embeddings.from_arrays(rng.normal(size=(rows, dim))).vectors


def dot(one: np.ndarray, other: np.ndarray) -> float:
    return sum(float(x) * float(y) for x, y in zip(one, other, strict=True))


@settings(deadline=None)
@given(
    seed=SEEDS,
    rows=st.integers(1, 3000),
    others=st.integers(1, 3000),
    dim=st.sampled_from([1, 3, 8, 17, 300]),
    count=st.integers(0, 400),
)
def test_pairs_find_their_products_and_their_places(
    seed: int, rows: int, others: int, dim: int, count: int
) -> None:
    """Over tables of several blocks, probes of several digits, and runs of all lengths."""
    rng = np.random.default_rng(seed)
    probes, references = unit(rng, rows, dim), unit(rng, others, dim)
    few = rng.integers(0, rows, 5)
    mine = np.where(rng.random(count) < 0.5, few[rng.integers(0, 5, count)], rows - 1)
    theirs = rng.integers(0, others, count)
    out = np.full(count, np.nan)
    kernels.multiply_pairs(probes, references, mine, theirs, out)
    expected = np.vecdot(probes[mine].astype(float), references[theirs].astype(float))
    assert out.tolist() == expected.tolist()


@pytest.mark.parametrize("dim", [1, 7, 8, 9, 64, 65])
def test_a_product_is_that_of_a_loop(dim: int) -> None:
    """Of one pair alone, and of enough that they are taken together."""
    rng = np.random.default_rng(dim)
    rows = unit(rng, 20, dim)
    for count in (1, 7, 8, 9, 20):
        out = np.empty(count)
        first, second = np.zeros(count, np.int64), np.arange(count)
        kernels.multiply_pairs(rows, rows, first, second, out)
        assert out.tolist() == [dot(rows[0], rows[at]) for at in range(count)]


@pytest.mark.parametrize("row", [-1, 3, 2**40])
def test_a_row_beyond_its_table_is_refused(row: int) -> None:
    table, out = np.eye(3, dtype=np.float32), np.empty(2)
    good, bad = np.array([0, 2]), np.array([0, row])
    for sides in ((good, bad), (bad, good)):
        with pytest.raises(IndexError, match="the table does not have"):
            kernels.multiply_pairs(table, table, *sides, out)
    found = np.zeros(1, kernels.CANDIDATE)
    found["anchor"] = row if row < 2**31 else 3
    room = np.full((3, 1), -np.inf), np.full((3, 1), -1)
    with pytest.raises(IndexError, match="the table does not have"):
        kernels.rank_candidates(table, table, found, np.zeros(3), *room)


def test_arrays_that_do_not_belong_together_are_refused() -> None:
    table, rows, floats = np.eye(3, dtype=np.float32), np.arange(2), np.zeros(3)
    with pytest.raises(ValueError, match="do not belong together"):
        kernels.multiply_pairs(table, table, rows, rows, np.empty(3))
    with pytest.raises(ValueError, match="do not belong together"):
        kernels.round_rows(table, np.ones(2))
    one = np.ones(1)
    for width, wanted in ((64, 3), (64, 0), (65, 1)):
        with pytest.raises(ValueError, match="do not belong together"):
            kernels.find_candidates(
                np.zeros((1, width), np.int32),
                np.arange(3, dtype=np.int32),
                np.array([wanted]),
                one,
                one,
                np.zeros((1, 2)),
                np.empty(9, kernels.CANDIDATE),
                0,
            )
    with pytest.raises(ValueError, match="do not belong together"):
        nothing = np.empty(0, kernels.CANDIDATE)
        kernels.rank_candidates(table, table, nothing, floats, np.zeros((2, 1)), np.zeros((2, 1)))


@given(seed=SEEDS, rows=st.integers(1, 20), dim=st.integers(1, 70))
def test_rounding_says_how_far_it_moves_a_row(seed: int, rows: int, dim: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = unit(rng, rows, dim)
    scales = np.abs(vectors.astype(float)).max(axis=1) / 127
    steps, residuals, norms = kernels.round_rows(vectors, scales)
    near = steps * scales[:, None]
    assert (np.abs(vectors - near) <= scales[:, None] * (0.5 + 1e-9)).all()
    assert np.allclose(residuals, np.linalg.norm(vectors - near, axis=1), rtol=1e-12, atol=1e-15)
    assert np.allclose(norms, np.linalg.norm(near, axis=1), rtol=1e-12)


@given(
    seed=SEEDS,
    anchors=st.integers(1, 200),
    blocks=st.integers(1, 3),
    error=st.sampled_from([0.0, 0.5, 30.0]),
    spread=st.sampled_from([3, 1000]),
)
def test_no_anchor_that_may_be_near_is_left_out(
    seed: int, anchors: int, blocks: int, error: float, spread: int
) -> None:
    """Whatever similarities the errors allow, the nearest are among the candidates."""
    rng = np.random.default_rng(seed)
    queries, columns = 4, 256
    wanted = rng.integers(1, 4, queries)
    unit, errors = rng.uniform(0.5, 2, queries), np.full(queries, error)
    bounds = np.full((queries, 3), -np.inf)
    room = np.empty(queries * anchors * blocks, kernels.CANDIDATE)
    products = rng.integers(-spread, spread, (blocks, queries, columns)).astype(np.int32)
    used: int | None = 0
    for number, part in enumerate(products):
        numbers = np.arange(anchors, dtype=np.int32) + number * anchors
        used = kernels.find_candidates(part, numbers, wanted, unit, errors, bounds, room, used)
        assert used is not None
    found = room[:used]
    similarities = np.concatenate(list(products[:, :, :anchors]), axis=1) * unit[:, None]
    for query in range(queries):
        mine = found[found["query"] == query]
        assert len(set(mine["anchor"])) == len(mine)
        row = similarities[query]
        assert np.allclose(mine["upper"], row[mine["anchor"]] + error, rtol=1e-12)
        largest = np.sort(row - error)[::-1][: wanted[query]]
        assert np.allclose(bounds[query, : len(largest)], largest, rtol=1e-12)
        near = row + error >= (largest[-1] + 1e-9 if len(row) >= wanted[query] else -np.inf)
        assert set(np.flatnonzero(near)) <= set(mine["anchor"].tolist())


def test_where_there_is_no_room_it_says_so() -> None:
    products = np.zeros((1, 64), np.int32)
    args = np.arange(10, dtype=np.int32), np.array([1]), np.ones(1), np.ones(1)
    for room, expected in ((9, None), (10, 10)):
        bounds, found = np.full((1, 1), -np.inf), np.empty(room, kernels.CANDIDATE)
        assert kernels.find_candidates(products, *args, bounds, found, 0) == expected


@given(seed=SEEDS, count=st.integers(0, 300), k=st.integers(1, 9), copies=st.booleans())
def test_the_nearest_candidates_are_ranked(seed: int, count: int, k: int, copies: bool) -> None:
    rng = np.random.default_rng(seed)
    queries, anchors = unit(rng, 3, 5), unit(rng, 100, 5)
    if copies:
        anchors = anchors[rng.integers(0, 4, 100)]
    all_pairs = rng.permutation(300)[:count]
    found = np.empty(count, kernels.CANDIDATE)
    found["query"], found["anchor"] = np.divmod(all_pairs, 100)
    exact = queries.astype(float) @ anchors.T.astype(float)
    found["upper"] = exact.ravel()[all_pairs] + rng.uniform(0, 0.1, count)
    floors = rng.uniform(-1, 1, 3)
    similarities, rows = np.full((3, k), -np.inf), np.full((3, k), -1)
    kernels.rank_candidates(queries, anchors, found, floors, similarities, rows)
    for query in range(3):
        mine = found[(found["query"] == query) & (found["upper"] >= floors[query])]["anchor"]
        order = sorted(mine.tolist(), key=lambda at: (-exact[query, at], at))[:k]
        assert rows[query].tolist() == order + [-1] * (k - len(order))
        assert similarities[query, : len(order)].tolist() == exact[query, order].tolist()
