"""Evaluation of parts adds up to the evaluation of the whole, however the pairs are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.evaluation import evaluate, sample
from damcli.evaluation.counts import Tally, count_matches
from damcli.evaluation.sample import Draws
from damcli.scoring import matches as matches_module
from damcli.scoring.matches import MatchSpool
from damcli.threads import in_order

SCORES = st.lists(st.integers(-5, 5).map(float), max_size=40)


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=12), st.lists(SCORES))
def test_tallies_of_parts_are_the_tally_of_the_whole(
    genuine: list[float], parts: list[list[float]]
) -> None:
    ascending = np.sort(np.array(genuine))
    whole = np.array([score for part in parts for score in part])
    for keep in (1, 3, 1000):
        merged = Tally.empty(len(genuine), keep)
        for part in parts:
            merged.add(Tally.of(np.array(part), ascending, keep))
        assert merged.at.tolist() == [int((whole >= score).sum()) for score in ascending]
        assert merged.above.tolist() == [int((whole > score).sum()) for score in ascending]
        assert merged.highest().tolist() == sorted(whole, reverse=True)[:keep]


@given(st.integers(0, 1000), st.lists(st.integers(0, 9), max_size=8))
def test_what_is_drawn_for_a_place_does_not_depend_on_where_the_stream_is_cut(
    seed: int, pieces: list[int]
) -> None:
    draws, start, found = Draws(seed, 1), 0, []
    for count in pieces:
        found += draws(start, count).tolist()
        start += count
    assert found == draws(0, sum(pieces)).tolist()
    assert all(0 <= value < 1 for value in found)
    assert draws(0, 4).tolist() != Draws(seed, 0)(0, 4).tolist()


def test_the_chunks_of_a_spool_move_no_number_and_no_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in (("KEEP_ALL", 100), ("_TOP", 20), ("_REST", 100), ("_GENUINE", 50)):
        monkeypatch.setattr(sample, name, value)
    rng = np.random.default_rng(0)
    made = MatchSpool(["cosine", "score"], subject_count=40)
    labels = rng.integers(0, 2, 2000).astype(np.int8)
    scores = [rng.normal(size=2000) + labels for _ in range(2)]
    made.append(labels, scores, *rng.integers(0, 40, (2, 2000)))
    found = []
    for size in (7, 333, 1 << 20):
        monkeypatch.setattr(matches_module, "CHUNK_MATCHES", size)
        found.append(evaluate(made, fars=[0.01, 0.1], resamples=20, seed=3))
    assert found[0] == found[1] == found[2]
    (counts, _) = count_matches(made, [0.1])
    assert counts.impostors == int((labels == 0).sum())


def test_work_comes_back_in_order_and_is_read_ahead_by_a_few_only() -> None:
    read: list[int] = []

    def numbers() -> object:
        for number in range(1000):
            read.append(number)
            yield number

    found = in_order(lambda number: number * 2, numbers())
    assert [next(found) for _ in range(3)] == [0, 2, 4]
    assert len(read) < 100
    assert list(found) == [2 * number for number in range(3, 1000)]


def test_a_fault_in_a_thread_is_raised_where_the_work_is_asked_for() -> None:
    def fail(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    with pytest.raises(ValueError, match="five"):
        list(in_order(fail, range(100)))
