from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from damcli.errors import UserError
from damcli.evaluation import Evaluation, bootstrap, evaluate, sample
from damcli.evaluation.counts import allowed_false_accepts, count_matches
from damcli.evaluation.evaluate import around, wilson
from damcli.evaluation.rates import (
    area_under_roc,
    best_accuracy,
    equal_error_rate,
    operating_point,
)
from damcli.scoring import matches as matches_module
from damcli.scoring.matches import MatchSpool

TIED = st.lists(st.integers(0, 12), min_size=1, max_size=40)


def spool(
    genuine: list[float], impostors: list[float], *more: np.ndarray, **columns: np.ndarray
) -> MatchSpool:
    labels = np.repeat(np.array([1, 0], dtype=np.int8), [len(genuine), len(impostors)])
    scores = np.array([*genuine, *impostors], dtype=float)
    subjects = columns.get("probe")
    count = 0 if subjects is None else len(np.unique(subjects))
    names = ["cosine", *(f"other{i}" for i in range(len(more)))]
    made = MatchSpool(names, subject_count=count, has_folds="folds" in columns)
    made.append(
        labels,
        [scores, *more],
        subjects,
        columns.get("reference"),
        columns.get("folds"),
    )
    return made


def crowd(seed: int = 0, people: int = 30, pairs: int = 1500) -> tuple[MatchSpool, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = np.sort((rng.random(pairs) < 0.2).astype(np.int8))[::-1]
    scores = rng.normal(size=pairs) + 2 * labels
    probe, reference = rng.integers(0, people, size=(2, pairs))
    reference[labels == 1] = probe[labels == 1]
    count = int(labels.sum())
    noisy = scores + rng.normal(size=pairs)
    made = spool(
        list(scores[:count]), list(scores[count:]), noisy, probe=probe, reference=reference
    )
    return made, scores


@settings(deadline=None)
@given(TIED, TIED, st.sampled_from([0.02, 0.1, 0.29, 0.5, 0.9]))
def test_tar_at_far_is_conservative_with_ties(
    genuine: list[float], impostors: list[float], far: float
) -> None:
    (counts,) = count_matches(spool(genuine, impostors), [far])
    point = operating_point(counts, far)
    budget = math.floor(round(far * len(impostors), 9))
    assert point.allowed == budget
    if budget == 0:
        assert point.tar is None
        assert point.threshold is None
        return
    thresholds = [t for t in {*genuine, *impostors, 99} if sum(i >= t for i in impostors) <= budget]
    lowest = min(thresholds)
    assert point.tar == sum(g >= lowest for g in genuine) / len(genuine)
    assert point.false_accepts == sum(i >= point.threshold for i in impostors) <= budget
    assert point.true_accepts == sum(g >= point.threshold for g in genuine)
    labels = [1] * len(genuine) + [0] * len(impostors)
    fpr, tpr, _ = roc_curve(labels, [*genuine, *impostors], drop_intermediate=False)
    assert point.tar == pytest.approx(tpr[fpr * len(impostors) <= budget + 1e-9].max())


@settings(deadline=None)
@given(TIED, TIED)
def test_auc_eer_and_accuracy_against_scikit_learn(
    genuine: list[float], impostors: list[float]
) -> None:
    (counts,) = count_matches(spool(genuine, impostors), [0.1])
    labels, scores = [1] * len(genuine) + [0] * len(impostors), [*genuine, *impostors]
    assert area_under_roc(counts) == pytest.approx(roc_auc_score(labels, scores))
    fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
    along = np.linspace(0, len(fpr) - 1, 200 * (len(fpr) - 1) + 1)
    far, frr = (np.interp(along, np.arange(len(fpr)), line) for line in (fpr, 1 - tpr))
    nearest = np.argmin(np.abs(far - frr))
    assert equal_error_rate(counts).rate == pytest.approx(far[nearest], abs=0.01)
    right = tpr * len(genuine) + (1 - fpr) * len(impostors)
    best = best_accuracy(counts)
    assert best.rate == pytest.approx(right.max() / len(labels))
    decided = [
        (score >= best.threshold) == bool(label)
        for score, label in zip(scores, labels, strict=True)
    ]
    assert np.mean(decided) == pytest.approx(best.rate)


def test_a_budget_is_counted_without_the_rounding_of_floats() -> None:
    assert allowed_false_accepts(0.29, 100) == 29
    assert allowed_false_accepts(1e-6, 87_307_271) == 87
    assert allowed_false_accepts(1e-4, 9_999) == 0


@pytest.mark.parametrize("size", [1, 7, 100])
def test_chunks_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = crowd()
    whole = evaluate(made, fars=[0.01, 0.1], resamples=20)
    monkeypatch.setattr(matches_module, "CHUNK_MATCHES", size)
    assert evaluate(made, fars=[0.01, 0.1], resamples=20) == whole


def test_a_rising_transform_changes_no_rate() -> None:
    rng = np.random.default_rng(3)
    scores = rng.normal(size=400)
    same = spool(
        list(scores[:100] + 1), list(scores[100:]), np.exp(np.r_[scores[:100] + 1, scores[100:]])
    )
    first, second = evaluate(same, fars=[0.1], resamples=50).metrics
    assert second.tars[0].value == first.tars[0].value
    assert second.tars[0].difference == 0
    assert second.tars[0].difference_interval == (0, 0)
    assert second.eer.difference_interval == (0, 0)
    assert second.auc.difference_interval == pytest.approx((0, 0), abs=1e-12)


def test_weights_count_as_repeated_pairs() -> None:
    rng = np.random.default_rng(1)
    genuine, impostors = rng.integers(3, 9, 25) / 2, rng.integers(0, 7, 60) / 2
    g_times, i_times = rng.integers(0, 4, 25), rng.integers(0, 4, 60)
    sides = [
        sample.Side(scores[None], times.astype(float), np.empty(0), np.empty(0))
        for scores, times in ((genuine, g_times), (impostors, i_times))
    ]
    ranked = bootstrap._Ranked(0, *sides, [0.05, 0.2])
    found = ranked.rates(g_times[None].astype(float), i_times[None].astype(float))[0]
    repeated = spool(list(np.repeat(genuine, g_times)), list(np.repeat(impostors, i_times)))
    (counts,) = count_matches(repeated, [0.05, 0.2])
    expected = [
        *(operating_point(counts, far).tar for far in (0.05, 0.2)),
        equal_error_rate(counts).rate,
        area_under_roc(counts),
        best_accuracy(counts).rate,
    ]
    assert found == pytest.approx(expected)


def test_intervals_do_not_depend_on_threads_but_on_the_seed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, _ = crowd()
    found = {}
    for threads, seed in ((1, 0), (2, 0), (5, 0), (2, 1)):
        monkeypatch.setattr(bootstrap.os, "cpu_count", lambda threads=threads: threads)
        found[threads, seed] = evaluate(made, fars=[0.1], resamples=40, seed=seed).metrics
    assert found[1, 0] == found[2, 0] == found[5, 0]
    assert found[2, 1] != found[2, 0]


def test_subjects_widen_the_intervals_of_pairs_that_share_them() -> None:
    rng = np.random.default_rng(5)
    person = np.repeat(np.arange(12), 100)
    ease = rng.normal(size=12)[person] * 2
    labels = np.tile([1, 0], 600)
    order = np.argsort(-labels, kind="stable")
    scores = (ease + labels + 0.1 * rng.normal(size=1200))[order]
    probe = person[order]

    def width(result: Evaluation) -> float:
        interval = result.metrics[0].auc.interval
        return interval.high - interval.low

    reference = np.where(labels[order] == 1, probe, (probe + 1) % 12)
    with_subjects = spool(list(scores[:600]), list(scores[600:]), probe=probe, reference=reference)
    by_subject = evaluate(with_subjects, fars=[0.1], resamples=200)
    by_pair = evaluate(spool(list(scores[:600]), list(scores[600:])), fars=[0.1], resamples=200)
    assert (by_subject.resampled, by_pair.resampled) == ("subjects", "pairs")
    assert width(by_subject) > 2 * width(by_pair)


def test_a_sample_keeps_the_top_and_stands_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("KEEP_ALL", 100), ("_TOP", 50), ("_REST", 400), ("_GENUINE", 80)):
        monkeypatch.setattr(sample, name, value)
    rng = np.random.default_rng(0)
    impostors = rng.normal(size=20_000)
    made = spool(list(rng.normal(size=300) + 3), list(impostors))
    counts = count_matches(made, [1e-3, 1e-2])
    _, kept = sample.sample(made, counts, 1)
    assert len(kept.weights) < 1000
    top = np.sort(impostors)[-50:]
    assert np.isin(top, kept.scores[0]).all()
    assert kept.weights.sum() == pytest.approx(20_000, rel=0.15)
    for cut in (2.5, 1.5, 0.0):
        estimated = kept.weights[kept.scores[0] >= cut].sum()
        assert estimated == pytest.approx((impostors >= cut).sum(), rel=0.25)


def test_sampling_moves_no_value_and_hardly_an_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    made, _ = crowd(people=60, pairs=6000)
    whole = evaluate(made, fars=[0.01], resamples=300)
    for name, value in (("KEEP_ALL", 100), ("_TOP", 300), ("_REST", 1500), ("_GENUINE", 900)):
        monkeypatch.setattr(sample, name, value)
    thinned = evaluate(made, fars=[0.01], resamples=300)
    for one, other in zip(whole.metrics, thinned.metrics, strict=True):
        assert one.tars[0].value == other.tars[0].value
        assert one.eer.value == other.eer.value
        assert other.tars[0].interval == pytest.approx(one.tars[0].interval, abs=0.05)
        assert other.eer.interval == pytest.approx(one.eer.interval, abs=0.02)


def test_a_perfect_tar_has_an_interval_with_a_width() -> None:
    made = spool([5.0] * 20, list(np.linspace(0, 1, 50)))
    (metric,) = evaluate(made, fars=[0.1], resamples=30).metrics
    assert metric.tars[0].value == 1
    assert metric.tars[0].interval == pytest.approx(wilson(1.0, 20))
    assert metric.tars[0].interval.low == pytest.approx(0.8389, abs=1e-4)


@pytest.mark.parametrize("seed", range(20))
def test_the_best_accuracy_of_few_subjects_lies_within_its_interval(seed: int) -> None:
    """Of scores that tell nothing, the best threshold of each resample would flatter most."""
    rng = np.random.default_rng(seed)
    made = MatchSpool(["score"], subject_count=30)
    labels = np.repeat(np.array([1, 0], dtype=np.int8), 60)
    made.append(labels, [rng.normal(size=120)], *rng.integers(0, 30, (2, 120)))
    (metric,) = evaluate(made, fars=[0.1], resamples=200, seed=seed).metrics
    found = metric.best_accuracy
    assert found.interval is not None
    assert found.interval.low <= found.value <= found.interval.high


def test_wilson_against_published_values() -> None:
    assert wilson(0.0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(0.5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_folds_choose_their_threshold_on_the_others() -> None:
    rng = np.random.default_rng(0)
    genuine, impostors = rng.normal(1, 1, 60), rng.normal(-1, 1, 60)
    folds = np.tile(np.arange(3), 40)
    result = evaluate(spool(list(genuine), list(impostors), folds=folds), fars=[0.1], resamples=0)
    shares = []
    scores, labels = np.r_[genuine, impostors], np.repeat([1, 0], 60)
    for fold in range(3):
        train, test = folds != fold, folds == fold
        candidates = np.unique(scores[train])
        right = [((scores[train] >= t) == labels[train]).mean() for t in candidates]
        above = candidates[int(np.flatnonzero(np.array(right) == max(right))[0])]
        below = scores[train][scores[train] < above].max()
        # All thresholds between the two are as good on the other folds; midway is taken.
        decided = (scores[test] >= (above + below) / 2) == labels[test]
        shares.append(decided.mean())
    found = result.metrics[0].folds
    assert found.mean == pytest.approx(np.mean(shares))
    assert found.standard_error == pytest.approx(np.std(shares, ddof=1) / math.sqrt(3))


def test_one_fold_cannot_choose_a_threshold() -> None:
    made = spool([1.0, 2.0], [0.0, 0.5], folds=np.zeros(4, dtype=int))
    with pytest.raises(UserError, match="one fold holds all"):
        evaluate(made, fars=[0.5], resamples=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fars": [0.0]}, "FAR 0: expected a fraction"),
        ({"fars": [1.0]}, "FAR 1: expected a fraction"),
        ({"fars": [math.nan]}, "FAR nan: expected a fraction"),
        ({"fars": [0.1, 0.1]}, "given twice"),
        ({"resamples": -1}, "expected 0 or more"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate(spool([1.0], [0.0]), **options)


@pytest.mark.parametrize(("genuine", "impostors"), [([1.0], []), ([], [1.0])])
def test_labels_of_one_class(genuine: list[float], impostors: list[float]) -> None:
    with pytest.raises(UserError, match="labels of one class only"):
        evaluate(spool(genuine, impostors))


@given(st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_resamples_without_a_difference_hold_0(rates: list[float]) -> None:
    mine, baseline, same, other = rates
    # In all resamples both have one rate, which only rounding can keep from a difference of 0.
    resampled = np.array([same, same, other])
    paired = (resampled - mine) - (resampled - baseline)
    interval = around(mine - baseline, paired, -1, 1)
    assert (interval.low, interval.high) == (0, 0)
