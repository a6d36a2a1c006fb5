from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import InputError
from damcli.lid import log_lid, nearest_anchors, search
from damcli.metrics import log_dam
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings
from tests.faces import anchors, faces


def slow_g(query: np.ndarray, others: np.ndarray, k: int, s: float) -> float:
    """Eq. 3's G, one exact dot product at a time."""
    dots = [math.fsum(float(x) * float(y) for x, y in zip(query, a, strict=True)) for a in others]
    return math.fsum(math.exp(s * c) for c in sorted(dots, reverse=True)[:k])


@settings(max_examples=60, deadline=None)
@given(
    k=st.integers(1, 45),
    s=st.floats(0.1, 64),
    copies=st.integers(0, 12),
    seed=st.integers(0, 1000),
    combine=st.sampled_from(["sum", "product"]),
)
def test_eq_3_against_a_slow_oracle(k: int, s: float, copies: int, seed: int, combine: str) -> None:
    people = faces(3, 2, dim=8, seed=seed)
    others = anchors(30, dim=8, seed=seed + 1)
    tied = np.concatenate([others.vectors, np.repeat(others.vectors[:1], copies, axis=0)])
    ids = [f"a{i}" for i in range(len(tied))]
    anchor_set = Anchors.of(Embeddings.from_arrays(tied, ids), kind="real-db")
    lids = log_lid(people, anchor_set, k=k, s=s)
    by_hand = [slow_g(q, anchor_set.vectors, k, s) for q in people.vectors]
    c = math.fsum(
        float(x) * float(y) for x, y in zip(people.vectors[0], people.vectors[1], strict=True)
    )
    inverse = 1 / by_hand[0] + 1 / by_hand[1] if combine == "sum" else 1 / (by_hand[0] * by_hand[1])
    expected = math.exp(s * c) * inverse
    found = log_dam(np.array([c]), lids[:1], lids[1:2], s=s, combine=combine)  # type: ignore[arg-type]
    assert math.exp(found[0]) == pytest.approx(expected, rel=1e-6)
    assert lids == pytest.approx(np.log(by_hand), rel=1e-9, abs=1e-9)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, 40))
def test_a_rotation_of_everything_changes_nothing(seed: int, k: int) -> None:
    people, others = faces(6, 2, dim=10, seed=seed), anchors(30, dim=10)
    turn, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(10, 10)))

    def turned(side: Embeddings) -> Embeddings:
        return Embeddings.from_arrays(side.vectors @ turn, side.ids, side.subjects)

    before = log_lid(people, others, k=k, s=4)
    after = log_lid(turned(people), Anchors.of(turned(others), kind="real-db"), k=k, s=4)
    assert after == pytest.approx(before, abs=1e-5)


def test_blocks_and_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import faiss

    people, others = faces(50, 3, dim=24), anchors(300, dim=24)
    whole = log_lid(people, others, k=7, s=64)
    for rows, threads in ((1, 1), (13, 2), (149, 1)):
        monkeypatch.setattr(search, "_FLAT_ROWS", rows)
        faiss.omp_set_num_threads(threads)
        assert np.array_equal(log_lid(people, others, k=7, s=64), whole)


def test_own_id_and_own_subject_are_never_anchors() -> None:
    people = faces(15, 4, dim=8)
    everyone = Anchors.of(people, kind="real-db")
    found = log_lid(people, everyone, k=5, s=3)
    for row in range(len(people)):
        others = people.vectors[people.subjects != people.subjects[row]]
        assert found[row] == pytest.approx(math.log(slow_g(people.vectors[row], others, 5, 3)))


def test_own_row_is_skipped_without_subjects() -> None:
    people = replace(faces(10, 2, dim=8), subjects=None)
    nearest = nearest_anchors(people, Anchors.of(people, kind="real-db"), 19)
    assert not (nearest.rows == np.arange(len(people))[:, None]).any()
    assert (np.sort(nearest.rows, axis=1)[:, 0] >= 0).all()


def test_row_numbers_of_two_files_are_not_the_same_people() -> None:
    people, others = faces(5, 1, dim=8), faces(20, 1, dim=8, seed=5)
    numbered = [
        replace(
            side,
            ids=np.array([str(i) for i in range(len(side))], dtype=object),
            subjects=None,
            attributes={ROW_NUMBER_IDS: True},
        )
        for side in (people, others)
    ]
    nearest = nearest_anchors(numbered[0], Anchors.of(numbered[1], kind="real-db"), 20)
    assert (np.sort(nearest.rows, axis=1) == np.arange(20)).all()


def test_more_neighbours_than_anchors_sums_all() -> None:
    people, others = faces(3, 1, dim=8), anchors(4, dim=8)
    assert log_lid(people, others, k=99) == pytest.approx(log_lid(people, others, k=4))


def test_neighbours_come_nearest_first() -> None:
    nearest = nearest_anchors(faces(), anchors(), 9)
    assert (np.diff(nearest.similarities, axis=1) <= 0).all()


def test_a_dimension_that_differs() -> None:
    with pytest.raises(InputError, match="anchors of dimension 8; expected 16"):
        log_lid(faces(dim=16), anchors(dim=8))


def test_no_anchor_of_another_person() -> None:
    person = faces(1, 3)
    with pytest.raises(InputError, match="every anchor is of the same subject as 'p000/0'"):
        log_lid(person, Anchors.of(person, kind="real-db"))


@pytest.mark.parametrize(("k", "s"), [(0, 1.0), (3, 0.0), (3, -1.0), (3, math.nan)])
def test_k_and_s_out_of_range(k: int, s: float) -> None:
    with pytest.raises(ValueError, match="expected k >= 1 and s > 0"):
        log_lid(faces(), anchors(), k=k, s=s)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_own_row_is_skipped_where_ids_are_row_numbers_of_arrays_in_memory(dtype: type) -> None:
    vectors = faces(8, 2, dim=8).vectors
    some = Embeddings.from_arrays(vectors.astype(dtype))
    whole = Anchors.of(Embeddings.from_arrays(vectors), kind="real-db")
    nearest = nearest_anchors(some, whole, 15)
    assert not (nearest.rows == np.arange(16)[:, None]).any()
    assert (nearest.rows >= 0).all()
