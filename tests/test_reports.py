from __future__ import annotations

import csv
import io
import json
import math
import re

import numpy as np
import pytest

from damcli.evaluation import Evaluation, evaluate
from damcli.reports.documents import as_csv, as_document
from damcli.reports.rows import COLUMNS, rows_of
from damcli.reports.tables import print_report, scientific
from damcli.scoring.matches import MatchSpool

FARS = (1e-6, 1e-2, 0.1)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    """A second metric that is worse than the baseline, on 40 subjects with two folds."""
    rng = np.random.default_rng(0)
    labels = (np.arange(2000) % 10 == 0).astype(np.int8)
    good = rng.normal(size=2000) + 3 * labels
    matches = MatchSpool(["cosine", "worse"], subject_count=40, has_folds=True)
    people = rng.integers(0, 40, size=(2, 2000))
    people[1][labels == 1] = people[0][labels == 1]
    noisy = good + 2 * rng.normal(size=2000)
    matches.append(labels, [good, noisy], people[0], people[1], np.arange(2000) // 1000)
    return evaluate(matches, fars=FARS, resamples=200)


def printed(evaluation: Evaluation) -> str:
    stream = io.StringIO()
    print_report(evaluation, stream=stream)
    return stream.getvalue()


def test_csv_and_json_hold_the_same_numbers_at_full_precision(evaluation: Evaluation) -> None:
    document = json.loads(
        json.dumps(
            as_document(evaluation, command="score", inputs={}, settings={}), allow_nan=False
        )
    )
    in_json = {
        (metric["name"], row["quantity"], row["far"]): row
        for metric in document["metrics"]
        for row in metric["rows"]
    }
    in_csv = list(csv.DictReader(io.StringIO(as_csv(evaluation))))
    assert len(in_csv) == len(in_json) == 2 * (len(FARS) + 4)
    for row in in_csv:
        far = float(row["far"]) if row["far"] else None
        other = in_json[(row["metric"], row["quantity"], far)]
        for name in COLUMNS[3:]:
            text = "" if other[name] is None else str(other[name])
            assert row[name] == text, name


def test_the_terminal_shows_the_rounded_rows(evaluation: Evaluation) -> None:
    text = printed(evaluation)
    for row in rows_of(evaluation):
        if row.value is not None:
            assert f"{100 * row.value:.2f} %" in text
        if row.low is not None:
            assert f"[{100 * row.low:.2f}, {100 * row.high:.2f}]" in text
        if row.difference is not None:
            assert f"{100 * row.difference:+.2f}" in text
        if row.false_accepts is not None:
            assert f"{row.false_accepts:,} / {row.allowed_false_accepts:,}" in text


def test_rows_equal_the_evaluation(evaluation: Evaluation) -> None:
    rows = rows_of(evaluation)
    worse = evaluation.metrics[1]
    (found,) = [r for r in rows if r.metric == "worse" and r.far == 0.1]
    assert found.value == worse.tars[2].value == worse.points[2].tar
    assert found.threshold == worse.points[2].threshold
    assert found.difference == worse.tars[2].value - evaluation.metrics[0].tars[2].value
    (folds,) = [r for r in rows if r.metric == "worse" and r.quantity == "accuracy over folds"]
    assert (folds.value, folds.standard_error) == worse.folds[:2]


def test_a_far_without_budget_has_no_number(evaluation: Evaluation) -> None:
    rows = [row for row in rows_of(evaluation) if row.far == 1e-6]
    assert [row.note for row in rows] == ["n/a (needs ≥ 1,000,000 impostor pairs)"] * 2
    assert all(row.value is None and row.threshold is None for row in rows)
    assert "n/a (needs ≥ 1,000,000 impostor pairs)" in printed(evaluation)


def test_a_loss_is_marked_like_a_gain(evaluation: Evaluation) -> None:
    (row,) = [r for r in rows_of(evaluation) if r.metric == "worse" and r.quantity == "AUC"]
    assert row.difference < 0
    assert row.is_significant
    text = printed(evaluation)
    assert re.search(r"AUC.*\n.*worse.*-\d+\.\d\d \[-\d+\.\d\d, -\d+\.\d\d\] \*", text)
    assert "interval of the difference excludes 0" in text


def test_no_line_is_cut_where_there_is_no_terminal(evaluation: Evaluation) -> None:
    assert "…" not in printed(evaluation)


def test_how_the_intervals_were_made_is_said(evaluation: Evaluation) -> None:
    assert "200 resamples of subjects" in printed(evaluation)
    document = as_document(evaluation, command="evaluate", inputs={"scores": "ab"}, settings={})
    assert document["intervals"] == {
        "level": 0.95,
        "resampled": "subjects",
        "resamples": 200,
        "seed": 0,
    }
    assert document["inputs"] == {"scores": "ab"}
    assert document["schema_version"] == 1


def test_without_resamples_there_are_no_intervals() -> None:
    matches = MatchSpool(["cosine"])
    matches.append(np.array([1, 0, 1, 0], dtype=np.int8), [np.array([0.9, 0.1, 0.3, 0.4])])
    text = printed(evaluate(matches, fars=[0.5], resamples=0))
    assert "resamples" not in text
    assert "50.00 %" in text
    assert "Δ" not in text


def test_an_infinite_threshold_is_left_out() -> None:
    matches = MatchSpool(["cosine"])
    labels = np.array([1, *[0] * 9], dtype=np.int8)
    matches.append(labels, [np.array([0.0, *np.linspace(0.1, 1, 9)])])
    result = evaluate(matches, fars=[0.5], resamples=0)
    assert math.isinf(result.metrics[0].best_threshold)
    (row,) = [row for row in rows_of(result) if row.quantity == "best accuracy"]
    assert row.threshold is None
    json.dumps(as_document(result, command="x", inputs={}, settings={}), allow_nan=False)


@pytest.mark.parametrize(
    ("far", "text"), [(1e-4, "1e-4"), (1e-6, "1e-6"), (0.025, "2.5e-2"), (0.1, "1e-1"), (None, "")]
)
def test_false_accept_rates_are_written_as_in_papers(far: float | None, text: str) -> None:
    assert scientific(far) == text
