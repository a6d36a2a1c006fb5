from __future__ import annotations

import itertools
import math
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import damcli
from damcli.errors import InputError, UserError
from damcli.lid import cohort
from damcli.lid.cohort import cohort_statistics, mean_nearest
from damcli.metrics.cohort import csls, s_norm, standardized, subtract_negatives
from damcli.protocols.pairs import read_pairs
from damcli.scoring.all_pairs import AllPairScores, all_pairs
from damcli.scoring.compare import set_names
from damcli.scoring.score import ListedScores
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings
from tests.faces import anchors, faces
from tests.lidrs import lidr
from tests.test_scoring import write_pairs

NAMES = (
    *("cosine", "DAM-R", "DAM-R product", "CSLS"),
    *("Z-norm", "T-norm", "S-norm", "AS-norm", "NES"),
)


def others_of(people: Embeddings, row: int, cohort_set: Anchors) -> np.ndarray:
    """Return the anchors that show somebody else, in float64."""
    keep = [
        one
        for one in range(len(cohort_set))
        if cohort_set.ids[one] != people.ids[row]
        and (
            people.subjects is None
            or cohort_set.subjects is None
            or cohort_set.subjects[one] != people.subjects[row]
        )
    ]
    return cohort_set.vectors[keep].astype(np.float64)


def falling(vector: np.ndarray, rows: np.ndarray) -> list[float]:
    return sorted((float(row @ vector.astype(np.float64)) for row in rows), reverse=True)


def mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)


def deviation(values: list[float]) -> float:
    return math.sqrt(math.fsum((value - mean(values)) ** 2 for value in values) / len(values))


def by_hand(
    people: Embeddings, a: int, b: int, cohort_set: Anchors, k: int, s: float, n: int
) -> dict[str, float]:
    """Score one pair by every formula, a few lines each."""
    u, v = people.vectors[a].astype(float), people.vectors[b].astype(float)
    c = float(u @ v)
    first, second = (
        falling(people.vectors[row], others_of(people, row, cohort_set)) for row in (a, b)
    )
    g1, g2 = (math.fsum(math.exp(s * x) for x in side[:k]) for side in (first, second))
    z, t = ((c - mean(side)) / deviation(side) for side in (first, second))
    top = [(c - mean(side[:n])) / deviation(side[:n]) for side in (first, second)]
    return {
        "cosine": c,
        "DAM-R": math.log(math.exp(s * c) * (1 / g1 + 1 / g2)),
        "DAM-R product": math.log(math.exp(s * c) / (g1 * g2)),
        "CSLS": 2 * c - mean(first[:k]) - mean(second[:k]),
        "Z-norm": z,
        "T-norm": t,
        "S-norm": (z + t) / 2,
        "AS-norm": (top[0] + top[1]) / 2,
    }


def subtracted(
    people: Embeddings, row: int, cohort_set: Anchors, k: int, beta: float, steps: int
) -> np.ndarray:
    vector, rows = people.vectors[row].astype(float), others_of(people, row, cohort_set)
    for _ in range(steps):
        nearest = sorted(rows, key=lambda one: -float(one @ vector))[:k]
        vector = vector - beta * sum(nearest) / len(nearest)
        vector = vector / np.linalg.norm(vector)
    return vector


def table(scores: ListedScores | AllPairScores) -> dict[str, np.ndarray]:
    columns = zip(*(chunk.scores for chunk in scores.chunks()), strict=True)
    return {
        name: np.concatenate(parts) for name, parts in zip(scores.metrics, columns, strict=True)
    }


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(1, 30),
    n=st.integers(3, 30),  # of two, both may be one anchor and its copy
    s=st.floats(0.1, 20),
    copies=st.integers(0, 8),
    overlap=st.booleans(),
    nameless=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_score_against_a_slow_oracle(
    k: int, n: int, s: float, copies: int, overlap: bool, nameless: bool, seed: int
) -> None:
    people, others = faces(3, 2, seed=seed), anchors(20, seed=seed + 1)
    rows = np.concatenate([np.arange(20), np.arange(copies)])
    some = others.vectors[rows]
    ids = [f"anchor {row}" for row in range(len(rows))]
    names = list(others.subjects[rows])
    if overlap:  # two anchors of a scored person, one of which is the very sample
        some, ids = np.concatenate([some, people.vectors[:2]]), [*ids, people.ids[0], "another"]
        names += [people.subjects[0]] * 2
    made = Embeddings.from_arrays(some, ids, names)
    if nameless:
        made = replace(made, subjects=None)
    cohort_set = Anchors.of(made, kind="real-db")
    # Small blocks, so that what comes of several is put together.
    with patch.object(cohort, "_QUERY_ROWS", 4), patch.object(cohort, "_ANCHOR_ROWS", 7):
        found = table(
            damcli.compare(
                all_pairs(people), people, [cohort_set], k=k, s=s, cohort_size=n, allow_overlap=True
            )
        )
    assert tuple(found) == NAMES
    for place, (a, b) in enumerate(itertools.combinations(range(len(people)), 2)):
        for name, value in by_hand(people, a, b, cohort_set, k, s, n).items():
            assert found[name][place] == pytest.approx(value, abs=1e-8), name


@settings(max_examples=25, deadline=None)
@given(
    k=st.integers(1, 30),
    beta=st.floats(0.05, 0.8),
    steps=st.integers(1, 4),
    seed=st.integers(0, 1000),
)
def test_negative_embedding_subtraction_against_a_slow_oracle(
    k: int, beta: float, steps: int, seed: int
) -> None:
    people, others = faces(3, 2, seed=seed), anchors(20, seed=seed + 1)
    mixed = Anchors.of(
        Embeddings.from_arrays(
            np.concatenate([others.vectors, people.vectors[:2]]),
            [*others.ids, people.ids[0], "another"],
            [*others.subjects, *people.subjects[:2]],
        ),
        kind="real-db",
    )
    found = table(
        damcli.compare(
            all_pairs(people),
            people,
            [mixed],
            **{"k": k, "beta": beta, "nes_steps": steps, "allow_overlap": True},
        )
    )["NES"]
    vectors = [subtracted(people, row, mixed, k, beta, steps) for row in range(len(people))]
    expected = [float(a @ b) for a, b in itertools.combinations(vectors, 2)]
    assert found == pytest.approx(expected, abs=1e-5)  # the vectors are float32


def test_means_of_nearest_anchors_leave_own_ones_out() -> None:
    people = faces(4, 3)
    own = Anchors.of(people, kind="real-db")
    found = mean_nearest(people, own, 50)
    for row in range(len(people)):
        assert found[row] == pytest.approx(others_of(people, row, own).mean(axis=0), abs=1e-12)


def test_row_numbers_are_no_ids() -> None:
    people = replace(faces(4, 1), subjects=None)
    numbered_alike = replace(faces(4, 1, seed=1), subjects=None, ids=people.ids)
    numbered = replace(people, attributes={ROW_NUMBER_IDS: True})
    own = Anchors.of(people, kind="real-db")
    others = Anchors.of(numbered_alike, kind="real-db")
    largest = (numbered.vectors @ others.vectors.T).max(axis=1)
    assert cohort_statistics(numbered, others, k=1, top=2).nearest_mean == pytest.approx(
        largest, abs=1e-6
    )
    assert (cohort_statistics(people, own, k=1, top=2).nearest_mean < 0.999).all()


def test_formulas_by_numbers() -> None:
    c = np.array([0.5])
    assert csls(c, np.array([0.1]), np.array([0.3])) == pytest.approx([0.6])
    assert standardized(c, np.array([0.1]), np.array([0.2])) == pytest.approx([2])
    both = (np.array([0.1]), np.array([0.2])), (np.array([0.4]), np.array([0.1]))
    assert s_norm(c, *both[0], *both[1]) == pytest.approx([1.5])
    unit = np.array([[1, 0], [0, 1]], dtype=np.float32)
    rest = subtract_negatives(unit, np.array([[0, 2.0], [0, 2.0]]), 0.5)
    assert rest[0] == pytest.approx([0.5**0.5, -(0.5**0.5)])
    assert np.isnan(rest[1]).all()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000))
def test_sides_change_places_and_space_turns(seed: int) -> None:
    people, others = faces(8, 2, seed=seed), anchors(seed=seed + 1)
    first, second = (people.take(slice(start, 16, 2)) for start in (0, 1))

    def scores(probes: Embeddings, gallery: Embeddings, cohort_set: Anchors) -> dict:
        found = damcli.compare(
            *(all_pairs(probes, gallery), probes, [cohort_set]), gallery=gallery, cohort_size=9
        )
        return dict(zip(found.metrics, found.scorer.block(slice(0, 8), slice(0, 8)), strict=True))

    one = scores(first, second, others)
    exchanged = scores(second, first, others)
    partner = {name: name for name in NAMES} | {"Z-norm": "T-norm", "T-norm": "Z-norm"}
    for name in NAMES:
        assert exchanged[partner[name]] == pytest.approx(one[name].T, abs=1e-10), name
    turn = np.linalg.qr(np.random.default_rng(seed).normal(size=(16, 16)))[0]

    def turned(side: Embeddings) -> Embeddings:
        return replace(side, vectors=(side.vectors @ turn).astype(np.float32))

    rotated = scores(turned(first), turned(second), turned(others))
    for name in NAMES:
        assert rotated[name] == pytest.approx(one[name], abs=2e-5), name


def test_a_list_is_scored_as_all_pairs_are(tmp_path: Path) -> None:
    people, others = faces(5, 2), anchors()
    pairs = read_pairs(write_pairs(tmp_path / "p.csv", people))
    listed = table(damcli.compare(pairs, people, [others], chunk_pairs=7))
    whole = table(damcli.compare(all_pairs(people), people, [others]))
    for name in NAMES:
        assert listed[name] == pytest.approx(whole[name], abs=1e-12)


def test_only_scored_embeddings_count(tmp_path: Path) -> None:
    people = faces(6, 2)
    pairs = tmp_path / "p.csv"
    pairs.write_text("p000/0,p000/1\np001/0,p000/1\n")
    rest = Anchors.of(people.take(slice(4, 12)), kind="real-db")
    found = table(damcli.compare(read_pairs(pairs), people, [rest]))
    assert all(np.isfinite(column).all() and len(column) == 2 for column in found.values())


def test_dam_is_that_of_score() -> None:
    people, others, learnt = faces(6, 2), anchors(), lidr()
    found = table(damcli.compare(all_pairs(people), people, [others], lidr=learnt))
    for name, source in (("DAM-R", {"anchors": others}), ("DAM-L", {"lidr": learnt})):
        for suffix, combine in (("", "sum"), (" product", "product")):
            alone = table(damcli.score(all_pairs(people), people, combine=combine, **source))
            assert np.array_equal(found[name + suffix], alone[name])


def test_sets_are_told_apart() -> None:
    real, fake = anchors(), replace(anchors(), attributes={"kind": "fake-db"})
    assert set_names([real]) == ("",)
    assert set_names([real, fake]) == ("real-db", "fake-db")
    files = [replace(real, origin=f"a/{name}.h5") for name in ("ffhq", "utk")]
    assert set_names(files) == ("ffhq", "utk")
    assert set_names([replace(real, origin="a/x-y.h5"), replace(real, origin="b/x_y.h5")]) == (
        *("1", "2"),
    )
    people = faces(4, 2)
    scores = damcli.compare(all_pairs(people), people, [real, fake])
    assert scores.metrics == (
        "cosine",
        *(f"{name} (real-db)" for name in NAMES[1:]),
        *(f"{name} (fake-db)" for name in NAMES[1:]),
    )
    assert scores.scorer.columns[1] == "dam_r_real_db"


def test_two_sets_are_scored_as_each_alone() -> None:
    people, one, other = faces(4, 2), anchors(), anchors(30, seed=5)
    both = table(damcli.compare(all_pairs(people), people, [one, other]))
    for number, alone in enumerate((one, other), 1):
        for name, column in table(damcli.compare(all_pairs(people), people, [alone])).items():
            full = name if name == "cosine" else f"{name} ({number})"
            assert np.array_equal(both[full], column)


def test_the_anchors_of_scored_people_are_refused() -> None:
    people = faces(4, 2)
    with pytest.raises(InputError, match="4 subjects stand among the anchors"):
        damcli.compare(all_pairs(people), people, [Anchors.of(people, kind="real-db")])


def test_nobody_else_among_the_anchors() -> None:
    person = faces(1, 3)
    with pytest.raises(InputError, match="every anchor is of the same subject as 'p000/0'"):
        cohort_statistics(person, Anchors.of(person, kind="real-db"))
    with pytest.raises(InputError, match="every anchor is of the same subject as 'p000/0'"):
        mean_nearest(person, Anchors.of(person, kind="real-db"), 2)


def test_other_dimensions_are_refused() -> None:
    with pytest.raises(InputError, match="anchors of dimension 8; expected 16"):
        cohort_statistics(faces(dim=16), anchors(dim=8))


@pytest.mark.parametrize("count", [1, 3])
def test_similarities_that_do_not_vary_are_refused(count: int) -> None:
    copies = Embeddings.from_arrays(np.ones((count, 16)), [f"copy {i}" for i in range(count)])
    with pytest.raises(InputError, match=f"'p000/0' .* is equally similar to all {count}"):
        cohort_statistics(faces(), Anchors.of(copies, kind="real-db"))


def test_nothing_left_of_an_embedding() -> None:
    people = faces(3, 2)
    made = Embeddings.from_arrays(
        np.concatenate([people.vectors[:1], anchors(5).vectors]), list("abcdef")
    )
    with pytest.raises(InputError, match="leaves nothing of 'p000/0' at beta = 1"):
        damcli.compare(all_pairs(people), people, [Anchors.of(made, kind="real-db")], k=1, beta=1.0)


@pytest.mark.parametrize(
    "options",
    [{"cohort_size": 1}, {"nes_steps": 0}, {"beta": 0.0}, {"beta": math.inf}, {"beta": math.nan}],
)
def test_options_out_of_range(options: dict) -> None:
    people = faces(3, 2)
    with pytest.raises(ValueError, match="expected at least 2, at least 1, and above 0"):
        damcli.compare(all_pairs(people), people, [anchors()], **options)


def test_nothing_to_compare() -> None:
    people = faces(3, 2)
    with pytest.raises(UserError, match="neither anchors nor a lidr were given"):
        damcli.compare(all_pairs(people), people)
    with pytest.raises(ValueError, match="expected k >= 1 and top >= 2"):
        cohort_statistics(people, anchors(), top=1)
