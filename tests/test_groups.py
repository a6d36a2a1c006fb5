"""Rates by groups against oracles of a few lines, and whether their intervals cover."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from damcli.evaluation import evaluate
from damcli.evaluation import groups as groups_module
from damcli.evaluation import sample as sample_module
from damcli.evaluation.evaluate import wilson
from damcli.evaluation.group_results import (
    CROSS,
    DEVIATION,
    ERROR,
    FMR,
    FNMR,
    MAX_GEOMEAN,
    MAX_MIN,
    UNKNOWN,
    WITHIN,
    GroupEvaluation,
    GroupRate,
    GroupSpread,
)
from damcli.evaluation.groups import evaluate_groups
from damcli.evaluation.spread import spread
from damcli.protocols.pairs import Coded
from damcli.scoring import matches as matches_module
from damcli.scoring.groups import GroupNumbers
from damcli.scoring.matches import MatchSpool

Labels = Sequence[str]


def grouped(
    labels: np.ndarray,
    scores: Sequence[np.ndarray],
    sides: tuple[Labels, Labels],
    subjects: tuple[np.ndarray, np.ndarray] | None = None,
) -> MatchSpool:
    numbers = GroupNumbers("race", "pairs")
    names, codes = np.unique(np.array([*sides[0], *sides[1]], dtype=object), return_inverse=True)
    found = numbers.encode(Coded(codes, names)).reshape(1, 2, -1)
    people = 0 if subjects is None else len(np.unique(np.concatenate(subjects)))
    made = MatchSpool(["cosine", "dam"][: len(scores)], subject_count=people, groups=[numbers])
    made.append(labels.astype(np.int8), list(scores), *(subjects or (None, None)), None, found)
    return made


def crowd(
    seed: int = 0, people: int = 40, pairs: int = 3000
) -> tuple[MatchSpool, np.ndarray, list[np.ndarray], tuple[list[str], list[str]]]:
    rng = np.random.default_rng(seed)
    of = rng.choice(["01", "1", "b, c", ""], size=people)
    probe, reference = rng.integers(0, people, size=(2, pairs))
    genuine = rng.random(pairs) < 0.3
    reference[genuine] = probe[genuine]
    labels = (probe == reference).astype(int)
    scores = [rng.normal(size=pairs).round(1) + 2 * labels for _ in range(2)]
    sides = list(of[probe]), list(of[reference])
    return grouped(labels, scores, sides, (probe, reference)), labels, scores, sides


def by_groups(made: MatchSpool, *, resamples: int = 0, fars: Sequence[float] = (0.1,)) -> object:
    return evaluate_groups(made, evaluate(made, fars=fars, resamples=resamples))[0]


def rate(found: GroupEvaluation, quantity: str, name: str, metric: int = 0) -> GroupRate:
    (one,) = [
        r
        for r in found.rates
        if (r.quantity, r.line.name, r.point.metric) == (quantity, name, metric)
    ]
    return one


def measure(found: GroupEvaluation, quantity: str, what: str, metric: int = 0) -> GroupSpread:
    (one,) = [
        s
        for s in found.spreads
        if (s.quantity, s.measure, s.point.metric) == (quantity, what, metric)
    ]
    return one


@pytest.mark.parametrize("metric", [0, 1])
def test_every_rate_is_a_count_over_a_count(metric: int) -> None:
    made, labels, scores, (probe, reference) = crowd()
    whole = evaluate(made, fars=[0.1], resamples=0)
    (found,) = evaluate_groups(made, whole)
    belongs = {
        **{g: [a == b == g for a, b in zip(probe, reference, strict=True)] for g in ["01", "1"]},
        "b, c": [a == b == "b, c" for a, b in zip(probe, reference, strict=True)],
        WITHIN: [a == b != "" for a, b in zip(probe, reference, strict=True)],
        CROSS: [a != b and a != "" != b for a, b in zip(probe, reference, strict=True)],
        UNKNOWN: [a == "" or b == "" for a, b in zip(probe, reference, strict=True)],
    }
    assert [line.name for line in found.lines] == list(belongs)
    at = whole.metrics[metric].points[0].threshold
    best = whole.metrics[metric].best_threshold
    for name, mine in belongs.items():
        chosen = list(zip(np.array(labels)[mine], scores[metric][mine], strict=True))
        impostors, genuine = ([s for label, s in chosen if label == which] for which in (0, 1))
        wrong = {
            FMR: (sum(s >= at for s in impostors), len(impostors)),
            FNMR: (sum(s < at for s in genuine), len(genuine)),
            ERROR: (
                sum(s >= best for s in impostors) + sum(s < best for s in genuine),
                len(chosen),
            ),
        }
        for quantity, (errors, pairs) in wrong.items():
            one = rate(found, quantity, name, metric)
            assert (one.errors, one.pairs) == (errors, pairs)
            if one.estimate is not None:
                assert one.estimate.value == errors / pairs


def test_spreads_are_those_of_the_groups_alone() -> None:
    made, *_ = crowd(pairs=6000)
    found = by_groups(made)
    for quantity in (FMR, FNMR, ERROR):
        rates = [rate(found, quantity, line.name).estimate.value for line in found.groups]
        assert measure(found, quantity, MAX_MIN).estimate.value == pytest.approx(
            max(rates) / min(rates)
        )
        product = math.prod(rates) ** (1 / len(rates))
        assert measure(found, quantity, MAX_GEOMEAN).estimate.value == pytest.approx(
            max(rates) / product
        )
        assert measure(found, quantity, DEVIATION).estimate.value == pytest.approx(
            np.std(rates, ddof=1)
        )


@given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=6), st.floats(0.1, 10))
def test_ratios_do_not_depend_on_the_unit(rates: list[float], unit: float) -> None:
    for what in (MAX_MIN, MAX_GEOMEAN):
        one, other = spread(np.array(rates), what), spread(np.array(rates) * unit, what)
        assert one == pytest.approx(other)
        assert one >= 1 - 1e-12
    assert spread(np.array(rates), MAX_MIN) >= spread(np.array(rates), MAX_GEOMEAN) - 1e-12
    with_none = np.array([*rates, np.nan])
    for what in (MAX_MIN, MAX_GEOMEAN, DEVIATION):
        assert spread(with_none, what) == pytest.approx(spread(np.array(rates), what))


def test_a_ratio_over_no_errors_is_none_and_says_of_whom() -> None:
    labels = np.array([1] * 40 + [0] * 40)
    group = (["a"] * 20 + ["b"] * 20) * 2
    scores = np.where(labels == 1, 2.0, np.linspace(0, 1, 80))
    scores[:5] = -1  # five genuine pairs of a are refused
    found = by_groups(grouped(labels, [scores], (group, group)), resamples=50)
    for what in (MAX_MIN, MAX_GEOMEAN):
        one = measure(found, FNMR, what)
        assert one.estimate is None
        assert one.without_errors == ("b",)
    assert measure(found, FNMR, DEVIATION).estimate.value == pytest.approx(0.25 / math.sqrt(2))


def test_a_group_with_fewer_impostors_than_one_in_far_has_no_rate() -> None:
    _, labels, scores, _ = crowd()
    sides = ["few"] * 9 + ["many"] * (len(labels) - 9)
    labels[:9] = 0
    found = by_groups(grouped(labels, scores, (sides, sides)))
    few = rate(found, FMR, "few")
    assert few.estimate is None
    assert few.pairs == 9
    assert rate(found, FNMR, "few").estimate is None
    assert rate(found, FMR, "many").estimate is not None
    assert measure(found, FMR, MAX_MIN).estimate is None
    assert measure(found, FMR, MAX_MIN).groups == ("many",)


def test_impostors_are_listed_by_the_groups_of_both_sides() -> None:
    made, labels, scores, (probe, reference) = crowd()
    whole = evaluate(made, fars=[0.1], resamples=0)
    (found,) = evaluate_groups(made, whole)
    cells = [cell for cell in found.cells if cell.point == found.points[0]]
    assert len({cell.groups for cell in cells}) == 6
    at = whole.metrics[0].points[0].threshold
    for cell in cells:
        mine = [
            score
            for score, label, *sides in zip(scores[0], labels, probe, reference, strict=True)
            if label == 0 and sorted(sides) == sorted(cell.groups)
        ]
        assert cell.impostors == len(mine)
        assert cell.false_accepts == sum(score >= at for score in mine)


def test_a_given_threshold_is_taken_as_it_is() -> None:
    made, labels, scores, (probe, reference) = crowd()
    whole = evaluate(made, fars=[0.1], resamples=20)
    (found,) = evaluate_groups(made, whole, given=("dam", 0.5, 0.01))
    assert {rate.point.metric for rate in found.rates} == {1}
    assert {rate.quantity for rate in found.rates} == {FMR, FNMR}
    mine = (np.array(probe) == "1") & (np.array(reference) == "1") & (labels == 0)
    assert rate(found, FMR, "1", 1).errors == (scores[1][mine] >= 0.5).sum()


@pytest.mark.parametrize("size", [1, 7])
def test_chunks_change_nothing(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    made, *_ = crowd(pairs=300)
    whole = by_groups(made, resamples=20)
    monkeypatch.setattr(matches_module, "CHUNK_MATCHES", size)
    assert by_groups(made, resamples=20) == whole


def test_order_and_swapped_sides_change_nothing() -> None:
    made, labels, scores, sides = crowd(pairs=500)
    found = by_groups(made)
    back = [column[::-1] for column in scores]
    turned = grouped(labels[::-1], back, (sides[1][::-1], sides[0][::-1]))
    assert by_groups(turned) == found


def test_a_threshold_for_all_can_be_unfair_and_another_score_fair() -> None:
    """One group is crowded, by 1.5 on every similarity; the other score divides that out."""
    rng = np.random.default_rng(3)
    people, pairs = 300, 20_000
    crowded = np.arange(people) < people // 2
    probe = rng.integers(0, people, size=pairs)
    reference = np.where(rng.random(pairs) < 0.3, probe, rng.permutation(probe))
    same = crowded[probe] == crowded[reference]
    probe, reference = probe[same], reference[same]
    labels = (probe == reference).astype(int)
    fair = rng.normal(size=len(labels)) + 5 * labels
    cosine = fair + 1.5 * crowded[probe]
    of = np.where(crowded, "crowded", "sparse")
    made = grouped(
        labels, [cosine, fair], (list(of[probe]), list(of[reference])), (probe, reference)
    )
    found = evaluate_groups(made, evaluate(made, fars=[0.02], resamples=200))[0]
    before, after = (measure(found, FMR, MAX_MIN, metric) for metric in (0, 1))
    assert before.estimate.interval.low > 5
    assert after.estimate.interval.low < 1.1
    assert after.estimate.value < 1.5
    assert after.factor.value == pytest.approx(after.estimate.value / before.estimate.value)
    assert after.factor.interval.high < 0.5
    crowded_after = rate(found, FMR, "crowded", 1).estimate
    assert crowded_after.difference_interval.high < 0
    assert measure(found, FMR, DEVIATION, 1).estimate.difference_interval.high < 0


def test_no_error_at_all_has_an_interval_with_a_width() -> None:
    rng = np.random.default_rng(1)
    probe = rng.integers(0, 30, size=900)
    reference = np.where(rng.random(900) < 0.5, probe, (probe + 1 + rng.integers(0, 29)) % 30)
    labels = (probe == reference).astype(int)
    scores = rng.normal(size=900) + 99 * labels
    group = ["a" if one < 15 else "b" for one in probe]
    made = grouped(labels, [scores], (group, group), (probe, reference))
    found = by_groups(made, resamples=50)
    assert rate(found, FNMR, "a").estimate.interval == wilson(0.0, 15)


def test_a_sample_of_many_pairs_leads_to_like_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    made, *_ = crowd(people=60, pairs=20_000)
    whole = by_groups(made, resamples=300)
    for module, name, value in (
        (sample_module, "KEEP_ALL", 3000),
        (groups_module, "KEEP_ALL", 3000),
        (sample_module, "_TOP", 2000),
        (sample_module, "_REST", 1000),
        (groups_module, "_BY_GROUP", 8000),
    ):
        monkeypatch.setattr(module, name, value)
    thin = by_groups(made, resamples=300)
    for one, other in zip(whole.rates, thin.rates, strict=True):
        assert (one.estimate is None) == (other.estimate is None)
        if one.estimate is not None:
            assert one.estimate.value == other.estimate.value
            widths = [e.interval.high - e.interval.low for e in (one.estimate, other.estimate)]
            assert 0.5 < widths[1] / widths[0] < 2


def test_intervals_of_group_rates_cover_the_truth() -> None:
    """People differ, and pairs share them; a and b have true FMR at one true threshold."""
    far, shift, simulations = 0.1, 0.5, 150
    # Impostor scores: N(0, 1) in b, N(shift, 1) in a, half of the pairs each.
    grid = np.linspace(-2, 4, 60_001)
    mixed = (norm.sf(grid) + norm.sf(grid - shift)) / 2
    threshold = float(grid[np.argmin(np.abs(mixed - far))])
    true = {
        (FMR, "a"): norm.sf(threshold - shift),
        (FMR, "b"): norm.sf(threshold),
        (FNMR, "a"): norm.cdf(threshold - 2),
    }
    covered = dict.fromkeys(true, 0)
    ratio, factor = 0, 0
    for seed in range(simulations):
        found = simulated(seed, shift, far)
        for (quantity, name), value in true.items():
            interval = rate(found, quantity, name).estimate.interval
            covered[quantity, name] += interval.low <= value <= interval.high
        interval = measure(found, FMR, MAX_MIN).estimate.interval
        ratio += interval.low <= true[FMR, "a"] / true[FMR, "b"] <= interval.high
        interval = measure(found, FMR, MAX_MIN, 1).factor.interval
        factor += interval.low <= 1 <= interval.high
    shares = [n / simulations for n in (*covered.values(), ratio, factor)]
    assert all(share >= 0.9 for share in shares), shares
    assert min(shares[:3]) <= 0.995, shares


def simulated(seed: int, shift: float, far: float) -> GroupEvaluation:
    """Make scores whose variance 1 is half the people's own, and a metric as good as it."""
    rng = np.random.default_rng(seed)
    people, pairs = 60, 1600
    half = people // 2
    probe = rng.integers(0, half, size=pairs)
    reference = (probe + rng.integers(1, half, size=pairs)) % half
    group = np.repeat([0, 1], pairs // 2)
    own = rng.normal(scale=0.5, size=(2, people))
    labels = np.concatenate([np.zeros(pairs), np.ones(6 * people)]).astype(int)
    probe = np.concatenate([probe + half * group, np.repeat(np.arange(people), 6)])
    reference = np.concatenate([reference + half * group, np.repeat(np.arange(people), 6)])
    in_a = probe < half
    scores = []
    for mine in own:
        noise = rng.normal(scale=math.sqrt(0.5), size=len(labels))
        person = np.where(labels == 1, math.sqrt(2) * mine[probe], mine[probe] + mine[reference])
        scores.append(noise + person + np.where(labels == 1, 2, shift * in_a))
    names = ["a" if one else "b" for one in in_a]
    made = grouped(labels, scores, (names, names), (probe, reference))
    return evaluate_groups(made, evaluate(made, fars=[far], resamples=100, seed=seed))[0]


def test_intervals_of_tar_at_far_cover_the_truth() -> None:
    """The bootstrap over subjects: the truth is that of all people there could be."""
    far, simulations, covered = 0.1, 150, 0
    true = norm.sf(norm.isf(far) - 2)
    for seed in range(simulations):
        rng = np.random.default_rng(seed)
        people, pairs = 60, 1600
        own = rng.normal(scale=0.5, size=people)
        probe = rng.integers(0, people, size=pairs)
        reference = (probe + rng.integers(1, people, size=pairs)) % people
        probe, reference = (
            np.concatenate([x, np.arange(people).repeat(6)]) for x in (probe, reference)
        )
        labels = (probe == reference).astype(int)
        person = np.where(labels == 1, math.sqrt(2) * own[probe], own[probe] + own[reference])
        scores = person + rng.normal(scale=math.sqrt(0.5), size=len(labels)) + 2 * labels
        made = MatchSpool(["cosine"], subject_count=people)
        made.append(labels.astype(np.int8), [scores], probe, reference)
        interval = evaluate(made, fars=[far], resamples=100, seed=seed).metrics[0].tars[0].interval
        covered += interval.low <= true <= interval.high
    assert 0.9 <= covered / simulations <= 0.995


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from(["007", "7", " x", "", "  ", "é"]), min_size=1, max_size=20))
def test_labels_stay_as_they_are_and_blanks_are_none(labels: list[str]) -> None:
    names, codes = np.unique(np.array(labels, dtype=object), return_inverse=True)
    numbers = GroupNumbers("race", "pairs")
    found = numbers.encode(Coded(codes, names))
    known = numbers.grouping.labels
    assert [known[n] if n >= 0 else "" for n in found] == [
        label if label.strip() else "" for label in labels
    ]
