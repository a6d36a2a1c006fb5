"""What the report says of numbers: its verdicts and its warnings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from damcli.evaluation import Evaluation, evaluate
from damcli.evaluation.groups import evaluate_groups
from damcli.evaluation.results import Estimate, Interval
from damcli.reports.cautions import cautions
from damcli.reports.html import bar, table
from damcli.reports.tables import Grid
from damcli.reports.verdicts import Effect, headline, side_effects, verdicts
from damcli.scoring.groups import NO_GROUP, GroupNumbers
from damcli.scoring.matches import MatchSpool

FARS = (1e-3, 1e-2, 1e-1)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    rng = np.random.default_rng(0)
    matches = MatchSpool(["cosine", "DAM-R"])
    labels = np.repeat([1, 0], [300, 2000]).astype(np.int8)
    scores = rng.normal(2 * labels, 1)
    matches.append(labels, [scores, scores + 0.1 * rng.normal(size=2300)])
    return evaluate(matches, fars=FARS, resamples=10)


def judged(found: Evaluation, *ends: tuple[float, float] | None, **others: Interval) -> Evaluation:
    """Put intervals of the difference into the second metric."""
    mine = found.metrics[1]
    tars = [
        None if one is None else Estimate(0.5, Interval(0.4, 0.6), sum(one) / 2, Interval(*one))
        for one in ends
    ]
    changed = {
        name: Estimate(0.5, Interval(0.4, 0.6), sum(one) / 2, one) for name, one in others.items()
    }
    return replace(found, metrics=(found.metrics[0], replace(mine, tars=tuple(tars), **changed)))


@pytest.mark.parametrize(
    ("ends", "sentence"),
    [
        (
            [(0.01, 0.02), (0.01, 0.02), (0.01, 0.02)],
            "DAM-R helps at every FAR that these pairs can measure",
        ),
        (
            [(-0.02, -0.01), (0.01, 0.02), (0.01, 0.02)],
            "DAM-R helps at FAR 1e-2 and 1e-1; DAM-R hurts at FAR 1e-3",
        ),
        (
            [None, (-0.02, -0.01), (-0.02, 0.01)],
            "DAM-R hurts at FAR 1e-2; no difference is shown at FAR 1e-1",
        ),
        (
            [None, (0.0, 0.0), (-0.1, 0.1)],
            "No difference is shown at any FAR that these pairs can measure",
        ),
        ([None, None, (0.1, 0.2)], "DAM-R helps at FAR 1e-1"),
        ([None, None, None], "These pairs cannot tell whether DAM-R helps against cosine"),
        # An end that touches 0 holds it.
        ([None, None, (0.0, 0.2)], "No difference is shown at FAR 1e-1"),
    ],
)
def test_headline(found: Evaluation, ends: list[tuple[float, float] | None], sentence: str) -> None:
    assert headline(verdicts(judged(found, *ends), "DAM-R")) == sentence


def test_a_lower_eer_is_better_and_a_lower_auc_worse(found: Evaluation) -> None:
    down = Interval(-0.03, -0.01)
    none = [(-0.1, 0.1)] * 3
    told = {
        one.what: one.effect for one in verdicts(judged(found, *none, eer=down, auc=down), "DAM-R")
    }
    assert told["EER"] is Effect.HELPS
    assert told["AUC"] is Effect.HURTS
    said = side_effects(verdicts(judged(found, *none, eer=down, auc=down), "DAM-R"))
    assert [one.split(":")[0] for one in said] == ["EER gets better", "AUC gets worse"]
    assert "-2.00 [-3.00, -1.00] points" in said[0]
    same = Interval(-0.01, 0.01)
    assert side_effects(verdicts(judged(found, *none, eer=same, auc=same), "DAM-R")) == []


def test_few_of_everything(found: Evaluation) -> None:
    few = replace(found, genuine=25, subjects=12)
    said = "\n".join(cautions(few, "DAM-R", record={}))
    assert "Only 25 genuine pairs: one of them is 4.0 points of TAR." in said
    assert "Only 12 subjects" in said
    assert "At FAR 1e-3 the threshold is set by the 3 highest of 2,000 impostor pairs" in said
    assert "pairs are resampled" not in said


def test_nothing_to_say_of_many_pairs(found: Evaluation) -> None:
    metrics = tuple(replace(one, points=one.points[1:], tars=one.tars[1:]) for one in found.metrics)
    enough = replace(found, subjects=400, metrics=metrics)
    assert cautions(enough, "DAM-R", record={"allow_overlap": "None"}) == []


def test_fars_without_enough_impostors_are_told_together(found: Evaluation) -> None:
    points = [replace(found.metrics[0].points[0], far=far, allowed=0) for far in (1e-5, 1e-4)]
    metrics = tuple(replace(one, points=tuple(points), tars=(None, None)) for one in found.metrics)
    said = cautions(replace(found, metrics=metrics), "DAM-R", record={})
    assert said[0] == (
        "Too few impostor pairs for FAR 1e-5, 1e-4: there are 2,000, and FAR 1e-4 takes 10,000 "
        "or more."
    )


def test_a_group_that_pays_is_named() -> None:
    """Of two groups, one's genuine pairs sink below the threshold."""
    rng = np.random.default_rng(1)
    labels = np.repeat([1, 0], [400, 4000]).astype(np.int8)
    codes = np.tile([0, 1], 2200).astype(np.int16)
    cosine = rng.normal(5 * labels, 1)
    other = cosine - 3 * ((codes == 1) & (labels == 1))
    numbers = GroupNumbers("crop", "here")
    for name in ("good", "failed"):
        numbers._number(name)
    matches = MatchSpool(["cosine", "DAM-R"], groups=[numbers])
    matches.append(labels, [cosine, other], groups=np.stack([codes, codes])[None])
    assert NO_GROUP not in codes
    found = evaluate(matches, fars=[1e-2], resamples=50)
    said = cautions(found, "DAM-R", evaluate_groups(matches, found), {})
    assert [line for line in said if line.startswith("By ")] == [
        "By crop, failed: DAM-R has a higher FNMR than cosine, beyond its interval, at FAR 1e-2."
    ]


def test_cells_that_repeat_become_tall() -> None:
    grid = Grid(
        ("FAR", "group", "metric"), [("1", "a", "x"), ("", "", "y"), ("", "b", ""), ("2", "", "z")]
    )
    text = table(grid, "c")
    assert '<th scope="row" rowspan="3">1</th><td rowspan="2" class="name">a</td>' in text
    assert '<tr><td class="name">y</td></tr>' in text
    assert '<tr><td class="name">b</td><td class="name"></td></tr>' in text
    assert '<th scope="row">2</th><td class="name"></td>' in text


def test_a_bar_stands_on_the_side_of_its_difference() -> None:
    right, left = bar(0.5, 0.2, 1.0, 1.0, "mark"), bar(-0.5, -1.0, -0.2, 1.0, "mark")
    assert 'x1="112.8" x2="184.0"' in right
    assert 'x1="6.0" x2="77.2"' in left
