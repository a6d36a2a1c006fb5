from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import damcli
from damcli.errors import InputError, UserError
from damcli.evaluation.results import MetricResult
from damcli.lid import log_lid
from damcli.protocols.pairs import PairList, read_pairs
from damcli.scoring.all_pairs import all_pairs
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.sweeping import lids, measure
from damcli.sweeping.choose import judge, shared
from damcli.sweeping.lids import draw, log_lids
from damcli.sweeping.settings import DEFAULT, Plan, Setting
from damcli.sweeping.sweep import Sweep, default_plan, sweep
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs

PLAN = Plan((1, 3, 10), (0.5, 1.0, 8.0), (12, 25, 40), (0, 1))
FARS = (1e-2, 0.1)


@pytest.fixture
def people() -> Embeddings:
    return faces(12, 3)


@pytest.fixture
def pairs(tmp_path: Path, people: Embeddings) -> PairList:
    return read_pairs(write_pairs(tmp_path / "pairs.csv", people))


def drawn(others: Anchors, setting: Setting) -> Anchors:
    if setting.size is None:
        return others
    order = np.random.default_rng(setting.seed).permutation(len(others))
    return Anchors.of(others.take(np.sort(order[: setting.size])))


def numbers(metric: MetricResult) -> MetricResult:
    """The numbers alone, without the name and the intervals."""
    tars = tuple(None if one is None else replace(one, **BARE) for one in metric.tars)
    found = {name: replace(getattr(metric, name), **BARE) for name in ("eer", "auc")}
    best = replace(metric.best_accuracy, **BARE)
    return replace(metric, name="", tars=tars, best_accuracy=best, **found)


BARE: dict[str, None] = {"interval": None, "difference_interval": None}


@pytest.mark.parametrize("combine", ["sum", "product"])
@pytest.mark.parametrize("way", ["list", "all pairs"])
def test_each_setting_is_what_score_and_evaluate_say(
    people: Embeddings, pairs: PairList, combine: str, way: str
) -> None:
    others = anchors()
    source = pairs if way == "list" else all_pairs(people)
    found = sweep(
        *(source, people, others), plan=PLAN, fars=FARS, combine=combine, resamples=20, seed=3
    )
    assert len(found.evaluation.metrics) == 1 + 9 + 6
    for one in (*PLAN.grid, *PLAN.drawn):
        scores = damcli.score(
            *(source, people, drawn(others, one)), k=one.k, s=one.s, combine=combine
        )
        expected = damcli.evaluate(scores.matches(), fars=FARS, resamples=20, seed=3)
        assert numbers(found.of(one)) == numbers(expected.metrics[1])
        assert found.cosine == expected.metrics[0]
        if one in PLAN.curves:  # these have intervals, on the same resamples
            assert replace(found.of(one), name="DAM-R") == expected.metrics[1]
        else:
            assert found.of(one).eer.difference_interval is None


def test_a_few_settings_at_a_time_are_all_of_them(
    people: Embeddings, pairs: PairList, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sweep(pairs, people, anchors(), plan=PLAN, fars=FARS, resamples=5)
    held = []
    scored_by = measure.ListedScores.scored_by

    def watched(scores: measure.ListedScores, scorer: measure.Scorer) -> measure.ListedScores:
        held.append(len(scorer.rivals))
        return scored_by(scores, scorer)

    monkeypatch.setattr(measure.ListedScores, "scored_by", watched)
    monkeypatch.setattr(measure, "_TOGETHER", 2)
    done: list[int] = []
    parts = sweep(
        *(pairs, people, anchors()), plan=PLAN, fars=FARS, resamples=5, evaluating=done.append
    )
    assert parts.evaluation == whole.evaluation
    assert max(held) == 2
    assert sum(done) == 9 + 6


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 200), min_size=1, max_size=4, unique=True),
    st.integers(200, 300),
)
def test_smaller_draws_are_part_of_larger_ones(seed: int, sizes: list[int], count: int) -> None:
    draws = [draw(count, size, seed) for size in sorted(sizes)]
    for size, rows in zip(sorted(sizes), draws, strict=True):
        assert np.array_equal(rows, np.unique(rows))
        assert len(rows) == size
        assert 0 <= rows.min() <= rows.max() < count
        assert np.array_equal(rows, draw(count, size, seed))
    for small, large in itertools.pairwise(draws):
        assert set(small) <= set(large)


def test_seeds_draw_different_anchors() -> None:
    assert len({tuple(draw(50, 10, seed)) for seed in range(20)}) == 20


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000),
    st.integers(20, 70),
    st.lists(st.tuples(st.integers(1, 9), st.sampled_from([0.25, 1.0, 64.0])), min_size=1),
    st.lists(st.tuples(st.integers(9, 20), st.integers(0, 3)), max_size=4),
    st.booleans(),
    st.sampled_from([1, 2, 30]),
)
def test_log_lids_are_those_of_a_search_for_each(
    seed: int,
    count: int,
    full: list[tuple[int, float]],
    parts: list[tuple[int, int]],
    own: bool,
    spare: int,
) -> None:
    people = faces(8, 2, seed=seed)
    others = anchors(count, seed=seed + 1)
    if own:  # some anchors show scored people
        both = np.concatenate([others.vectors, people.vectors[:6]])
        names = [*others.ids, *people.ids[:6]]
        assert others.subjects is not None
        assert people.subjects is not None
        shown = [*others.subjects, *people.subjects[:6]]
        others = Anchors.of(Embeddings.from_arrays(both, names, shown), kind="real-db")
    asked = [Setting(k, s) for k, s in full]
    asked += [Setting(min(full)[0], 2.0, size, drawn_by) for size, drawn_by in parts]
    with pytest.MonkeyPatch.context() as patch:  # few to spare: draws have to be searched
        patch.setattr(lids, "_SPARE", spare)
        found = log_lids(people, others, asked)
    for column, one in enumerate(asked):
        expected = log_lid(people, drawn(others, one), k=one.k, s=one.s)
        assert np.array_equal(found[:, column], expected)


def test_the_whole_set_is_searched_once_and_large_draws_not_again(
    people: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[tuple[int, int]] = []
    nearest_anchors, neighbour_blocks = lids.nearest_anchors, lids.neighbour_blocks

    def again(used: Embeddings, others: Anchors, k: int) -> lids.Neighbours:
        searched.append((len(used), len(others)))
        return nearest_anchors(used, others, k)

    def once(used: Embeddings, others: Anchors, k: int, **more: object) -> object:
        searched.append((len(used), len(others)))
        return neighbour_blocks(used, others, k, **more)

    monkeypatch.setattr(lids, "nearest_anchors", again)
    monkeypatch.setattr(lids, "neighbour_blocks", once)
    plan = Plan((1, 2), (1.0, 4.0), (20, 300, 600), (0, 1, 2))
    log_lids(people, anchors(1000), [*plan.grid, *plan.drawn])
    assert searched[0] == (36, 1000)
    assert {size for _, size in searched[1:]} == {20}


def test_draws_of_own_anchors_alone(people: Embeddings) -> None:
    assert people.subjects is not None
    both = np.concatenate([people.vectors[:3], anchors(5).vectors])
    shown = [*people.subjects[:3], *(f"a{number}" for number in range(5))]
    few = Anchors.of(Embeddings.from_arrays(both, [f"x{i}" for i in range(8)], shown))
    seed = next(seed for seed in itertools.count() if set(draw(8, 2, seed)) <= {0, 1, 2})
    asked = [Setting(1, 1.0), Setting(1, 1.0, 2, seed)]
    assert np.isfinite(log_lids(people.take(slice(3, 9)), few, asked)).all()
    with pytest.raises(InputError, match="every anchor is of the same subject as 'p000/0'"):
        log_lids(people, few, asked)


def test_curves_go_through_what_is_nearest_the_default() -> None:
    assert Plan().base == DEFAULT == Setting(10, 1.0)
    assert Plan((300, 1, 5), (0.25, 64.0)).base == Setting(5, 0.25)
    assert Plan((5, 20), (0.5, 2.0)).base == Setting(5, 0.5)
    assert PLAN.curves == (
        Setting(10, 1.0),
        *(Setting(1, 1.0), Setting(3, 1.0)),
        *(Setting(10, 0.5), Setting(10, 8.0)),
    )
    assert PLAN.drawn[0] == Setting(10, 1.0, 12, 0)
    assert len(PLAN.drawn) == 6


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ({"ks": (0,)}, "k 0: expected a whole number above 0"),
        ({"ks": (2.5,)}, r"k 2\.5: expected a whole number"),
        ({"ks": ()}, "no k to try"),
        ({"ks": (1, 2, 1)}, "a k was given twice"),
        ({"scales": (1.0, -2.0)}, "s -2: expected a number above 0"),
        ({"scales": (float("inf"),)}, "s inf: expected a number above 0"),
        ({"scales": (float("nan"),)}, "s nan: expected a number above 0"),
        ({"sizes": (20, 20), "seeds": (0,)}, "a size was given twice"),
        ({"sizes": (5,), "seeds": (0,)}, "5 anchors; expected at least 10"),
        ({"sizes": (20,)}, "go together"),
    ],
)
def test_plans_that_are_none(lists: dict[str, tuple[float, ...]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Plan(**lists)  # type: ignore[arg-type]


def test_more_than_there_are_anchors(people: Embeddings, pairs: PairList) -> None:
    with pytest.raises(InputError, match="40 anchors; expected at least 50, the largest k"):
        sweep(pairs, people, anchors(), plan=Plan((1, 50)))
    with pytest.raises(InputError, match="at least 41, the largest size"):
        sweep(pairs, people, anchors(), plan=Plan((1,), sizes=(2, 41), seeds=(0,)))
    assert default_plan(anchors()).ks == (1, 2, 5, 10, 20)


def test_a_list_without_labels(tmp_path: Path, people: Embeddings) -> None:
    listed = read_pairs(write_pairs(tmp_path / "plain.csv", people, labels=False))
    with pytest.raises(InputError, match=r"plain\.csv: carries no labels"):
        sweep(listed, people, anchors(), plan=PLAN)


def test_the_best_is_the_highest_then_the_plainest(people: Embeddings, pairs: PairList) -> None:
    found = sweep(pairs, people, anchors(), plan=PLAN, fars=FARS, resamples=0)
    for place, far in enumerate(FARS):
        tars = {one: found.of(one).points[place].tar or 0 for one in PLAN.grid}
        best = found.best(far)
        assert tars[best] == max(tars.values())
        equals = [one for one in PLAN.grid if tars[one] == tars[best]]
        smallest = min(one.k for one in equals)
        assert best.k == smallest
        rest = [one.s for one in equals if one.k == smallest]
        assert abs(np.log(best.s)) == min(abs(np.log(rest)))
    # All settings alike: the smallest k, and the default s.
    same = found.of(PLAN.base)
    metrics = [replace(same, name=metric.name) for metric in found.evaluation.metrics]
    alike = Sweep(PLAN, 40, replace(found.evaluation, metrics=tuple(metrics)), found.measured)
    assert alike.best(0.1) == Setting(1, 1.0)


def test_no_best_where_no_false_accept_is_allowed(people: Embeddings, pairs: PairList) -> None:
    found = sweep(pairs, people, anchors(), plan=PLAN, fars=(1e-5,), resamples=0)
    with pytest.raises(InputError, match="594 impostor pairs; expected at least 100,000"):
        found.best(1e-5)


def test_judged_beside_cosine_and_the_default(people: Embeddings, pairs: PairList) -> None:
    options = {"fars": FARS, "resamples": 20, "combine": "product"}
    found = judge(pairs, people, anchors(), Setting(3, 8.0), **options)
    cosine, default, chosen = found.evaluation.metrics
    for metric, k, s in ((default, 10, 1.0), (chosen, 3, 8.0)):
        scores = damcli.score(pairs, people, anchors(), k=k, s=s, combine="product")
        expected = damcli.evaluate(scores.matches(), fars=FARS, resamples=20)
        assert (cosine, replace(metric, name="DAM-R")) == expected.metrics
    alone = judge(pairs, people, anchors(), DEFAULT, **options)
    assert [metric.name for metric in alone.evaluation.metrics] == ["cosine", "k = 10, s = 1"]


def test_what_two_lists_share(tmp_path: Path, people: Embeddings) -> None:
    def opened(used: Embeddings, *lines: str) -> measure.SettingScores:
        path = tmp_path / "some.csv"
        path.write_text("\n".join(["probe_id,reference_id,label", *lines]) + "\n")
        return measure.open_settings(read_pairs(path), measure.Faces(used, anchors()), [DEFAULT])

    one = opened(people, "p000/0,p000/1,1", "p000/0,p001/1,0")
    other = opened(people, "p001/0,p001/1,1", "p001/0,p002/1,0")
    apart = opened(people, "p003/0,p003/1,1", "p003/0,p002/1,0")
    assert shared(one, other) == (["p001"], ["p001/1"])
    assert shared(one, apart) == ([], [])
    nameless = replace(people, subjects=None)
    assert shared(one, opened(nameless, "p001/0,p001/1,1", "p001/0,p002/1,0")) == ([], ["p001/1"])
    # Row numbers of two files name different faces, those of one file the same.
    numbered = [Embeddings.from_arrays(faces(6, 2, seed=seed).vectors) for seed in (0, 1)]
    first, same, second = (
        opened(used, "0,1,1", "0,2,0") for used in (numbered[0], numbered[0], numbered[1])
    )
    assert shared(first, same).ids == ["0", "1", "2"]
    assert shared(first, second).ids == []
