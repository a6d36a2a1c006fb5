from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import UserError
from damcli.evaluation.evaluate import evaluate, wilson
from damcli.evaluation.gates import judge, judge_not_worse
from damcli.evaluation.requirements import parse_requirement
from damcli.evaluation.thresholds import apply_threshold, pick_threshold
from damcli.scoring.table import Accept, ScoredChunk
from tests.test_evaluate import TIED, crowd, spool

RATES = st.floats(1e-9, 1, exclude_max=True)


@settings(deadline=None)
@given(TIED, TIED, st.sampled_from([0.05, 0.1, 0.29, 0.5, 0.9]))
def test_a_threshold_is_the_smallest_within_the_budget(
    genuine: list[float], impostors: list[float], far: float
) -> None:
    made = spool(genuine, impostors)
    budget = math.floor(round(far * len(impostors), 9))
    if budget == 0:
        with pytest.raises(UserError, match="allow no false accept"):
            pick_threshold(made, far, resamples=0)
        return
    picked = pick_threshold(made, far, resamples=0)
    threshold, found = picked.threshold.value, picked.decisions
    assert sum(i >= threshold for i in impostors) == found.false_accepts <= budget
    assert sum(i >= np.nextafter(threshold, -np.inf) for i in impostors) > budget
    assert found.true_accepts == sum(g >= threshold for g in genuine)
    assert found.far.value == found.false_accepts / len(impostors)
    assert found.tar.value == found.true_accepts / len(genuine)
    assert apply_threshold(made, threshold, resamples=0) == found


def test_the_interval_covers_the_true_threshold() -> None:
    true = 1.6448536269514722  # of a normal distribution, at FAR 0.05
    covered = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        made = spool(list(rng.normal(3, 1, 20)), list(rng.normal(size=600)))
        interval = pick_threshold(made, 0.05, resamples=200, seed=seed).threshold.interval
        covered += interval.low <= true <= interval.high
    assert 88 <= covered <= 99


def test_subjects_widen_the_interval_of_a_threshold() -> None:
    made, _ = crowd(people=10)
    by_subject = pick_threshold(made, 0.1, score="cosine")
    without = spool(
        *(
            list(np.concatenate([c.scores[0] for c in side()]))
            for side in (made.genuine, made.impostors)
        )
    )
    by_pair = pick_threshold(without, 0.1)
    widths = [p.threshold.interval.high - p.threshold.interval.low for p in (by_subject, by_pair)]
    assert widths[0] > 1.3 * widths[1]
    assert (by_subject.resampled, by_pair.resampled) == ("subjects", "pairs")


def test_rates_at_a_threshold_have_intervals_with_a_width() -> None:
    made, _ = crowd()
    found = apply_threshold(made, 99.0, score="cosine")
    assert (found.tar.value, found.far.value) == (0, 0)
    assert found.far.interval == wilson(0.0, found.impostors)
    assert 0 < found.tar.interval.high < 0.2
    without = spool([1.0, 2.0], [0.0, 1.5])
    assert apply_threshold(without, 1.2).tar.interval == wilson(0.5, 2)


def test_a_score_at_the_threshold_is_accepted() -> None:
    found = apply_threshold(spool([1.0, 1.5], [0.0, 1.5]), 1.5)
    assert (found.true_accepts, found.false_accepts) == (1, 1)
    rows = np.arange(3)
    chunk = ScoredChunk(rows, rows, None, None, {}, [np.array([1.0, 1.5, 2.0])], ("cosine",))
    assert Accept(0, 1.5).of(chunk).tolist() == [0, 1, 1]


def test_an_unknown_score_is_named() -> None:
    with pytest.raises(UserError, match="no score 'x'; expected one of cosine"):
        pick_threshold(spool([1.0], [0.0]), 0.5, score="x")


@given(
    st.sampled_from(["", "cosine:", "a:b: "]),
    st.sampled_from(["TAR@", "EER", "auc", "Accuracy", "TAR", "FAR"]),
    RATES,
    st.sampled_from([">=", ">", "<=", "<"]),
    RATES,
    st.booleans(),
)
def test_requirements_are_read_as_written(
    score: str, quantity: str, far: float, sign: str, bound: float, spaced: bool
) -> None:
    space = " " if spaced else ""
    rate = repr(far) if quantity == "TAR@" else ""
    found = parse_requirement(f"{score}{quantity}{rate}{space}{sign}{space}{bound!r}")
    assert found.score == (score.strip()[:-1] or None)
    assert found.quantity.lower() == quantity.rstrip("@").lower()
    assert found.far == (far if rate else None)
    assert (found.sign, found.bound) == (sign, bound)
    assert found.at_threshold == (quantity in ("TAR", "FAR"))


@pytest.mark.parametrize(
    ("text", "bound", "far"),
    [
        ("TAR@0.01% >= 99.9%", 0.999, 1e-4),
        ("EER <= 2 %", 0.02, None),
        ("AUC > .5", 0.5, None),
        ("TAR@1E-4 >= 95%", 0.95, 1e-4),
    ],
)
def test_percentages_are_rounded_once(text: str, bound: float, far: float | None) -> None:
    found = parse_requirement(text)
    assert (found.bound, found.far) == (bound, far)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a quantity"),
        ("TAR@1e-4", "expected a quantity"),
        ("TAR@1e-4 => 0.95", "expected a quantity"),
        ("TAR@1e-4 >= high", "expected a quantity"),
        ("TAR@ >= 0.95", "expected a quantity"),
        ("TAR@1e-4 >= -0.95", "expected a quantity"),
        ("GAR@1e-4 >= 0.95", "expected a quantity"),
        ("EER@1e-4 <= 0.1", "EER takes no rate"),
        ("TAR@2 >= 0.95", "FAR 2; expected a fraction"),
        ("TAR@0 >= 0.95", "FAR 0; expected a fraction"),
        ("TAR@1e-4 >= 95", "bound 95; expected a fraction up to 1, or 95%"),
        ("TAR@1e-4 >= 1e999", "bound inf"),
    ],
)
def test_what_is_no_requirement(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_requirement(text)


@given(st.text(max_size=30))
def test_any_text_is_a_requirement_or_a_fault_of_the_user(text: str) -> None:
    try:
        found = parse_requirement(text)
    except UserError:
        return
    assert 0 <= found.bound <= 1


@pytest.mark.parametrize(
    ("text", "passed"),
    [
        ("TAR@0.1 >= 0.75", True),
        ("TAR@0.1 > 0.75", False),
        ("TAR@0.1 <= 75%", True),
        ("TAR@0.1 < 75%", False),
        ("TAR@0.1 >= 0.7500001", False),
        ("cosine:AUC >= 0.5", True),
        ("accuracy >= 0.85", True),
        ("EER <= 0.3", True),
    ],
)
def test_equality_decides_by_the_sign(text: str, passed: bool) -> None:
    found = evaluate(spool([8.5, 9, 10, 0], list(range(10))), fars=[0.1], resamples=0)
    assert judge(found, parse_requirement(text)).passed is passed


def test_what_cannot_be_measured_fails_whatever_the_sign() -> None:
    found = evaluate(spool([1.0], [0.0] * 9), fars=[0.1], resamples=0)
    for sign in (">=", ">", "<=", "<"):
        verdict = judge(found, parse_requirement(f"TAR@0.1 {sign} 0.5"))
        assert (verdict.passed, verdict.value, verdict.impostors_needed) == (False, None, 10)


def test_accuracy_is_that_over_folds_where_there_are_folds() -> None:
    rng = np.random.default_rng(0)
    scores = list(rng.normal(1, 1, 60)), list(rng.normal(-1, 1, 60))
    found = evaluate(spool(*scores, folds=np.tile(np.arange(3), 40)), fars=[0.1], resamples=0)
    verdict = judge(found, parse_requirement("accuracy > 0"))
    assert verdict.quantity == "accuracy over folds"
    assert verdict.value == found.metrics[0].folds.mean


def test_not_worse_fails_where_the_interval_says_so_and_only_there() -> None:
    rng = np.random.default_rng(2)
    genuine, impostors = rng.normal(2, 1, 400), rng.normal(0, 1, 2000)
    both = np.r_[genuine, impostors]
    worse, better = both + 2 * rng.normal(size=2400), both + np.r_[[1.0] * 400, [0.0] * 2000]
    found = evaluate(spool(list(genuine), list(impostors), both, worse, better), fars=[0.01, 1e-6])
    for name in ("other0", "other2"):
        (verdict,) = judge_not_worse(found, name)
        assert verdict.passed
    failed = judge_not_worse(found, "other1")
    assert [(one.quantity, one.far) for one in failed] == [("TAR", 0.01), ("EER", None)]
    assert failed[0].interval.high < 0 < failed[1].interval.low
    assert not any(one.passed for one in failed)
