from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

import damcli
from damcli.calibration.choose import Resampled, choose
from damcli.calibration.crossvalidate import folds_of, hold_out
from damcli.calibration.fit import TRAINING_PRIOR, Fitted, development_terms, fit
from damcli.errors import InputError, OutputError, UserError
from damcli.evaluation.sample import Side
from damcli.metrics import log_dam
from damcli.metrics.calibrated import FEATURES, log_likelihood_ratio, terms_of
from damcli.protocols.pairs import read_pairs
from damcli.scoring.all_pairs import all_pairs
from damcli.scoring.calibrated import check_calibration
from damcli.storage.calibration import FORMS, SLOPES, Calibration
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs


def side(scores: np.ndarray, probe: np.ndarray, reference: np.ndarray) -> Side:
    return Side(scores, np.ones(scores.shape[1]), probe, reference)


def development(seed: int = 0, subjects: int = 40, apart: float = 0.3) -> tuple[Side, Side]:
    """Pairs whose cosine says less about identity the more crowded both sides are."""
    rng = np.random.default_rng(seed)
    people = np.repeat(np.arange(subjects), 3)
    crowd = 2.3 + rng.gamma(2, 0.2, len(people))
    a, b = np.triu_indices(len(people), 1)
    same = people[a] == people[b]
    g = np.stack([crowd[a], crowd[b]])
    cosine = 0.1 * (g.sum(axis=0) - 5) + apart * same + 0.12 * rng.normal(size=len(a))
    scores = np.stack([cosine, log_dam(cosine, *g), g.min(axis=0), g.max(axis=0)])
    sides = [side(scores[:, m], people[a[m]], people[b[m]]) for m in (same, ~same)]
    return sides[0], sides[1]


@pytest.fixture(scope="module")
def pairs() -> tuple[Side, Side]:
    return development()


def llr(model: Fitted, of: Side) -> np.ndarray:
    return log_likelihood_ratio(model.coefficients, development_terms(of, model.lid_range, "sum"))


@pytest.mark.parametrize("form", FORMS)
def test_every_feature_is_known_and_every_form_separates(
    form: str, pairs: tuple[Side, Side]
) -> None:
    assert set(FORMS[form]) <= set(FEATURES)
    model = fit(form, *pairs)
    assert set(model.coefficients) == {*FORMS[form], "constant"}
    genuine, impostors = (llr(model, one) for one in pairs)
    assert genuine.mean() > 1
    assert impostors.mean() < -1


def test_the_linear_form_is_scikit_learns(pairs: tuple[Side, Side]) -> None:
    """The slope ratios of a logistic regression on the same standardised features."""
    model = fit("linear", *pairs)
    both = [development_terms(one, model.lid_range, "sum") for one in pairs]
    columns = np.concatenate(
        [np.stack([t.cosine, t.low, t.high, t.lid_term], axis=1) for t in both]
    )
    n = [len(one.weights) for one in pairs]
    labels = np.repeat([1, 0], n)
    even = np.repeat([0.5 / n[0], 0.5 / n[1]], n)
    centre = even @ columns
    spread = np.sqrt(even @ (columns - centre) ** 2)
    odds = (1 - TRAINING_PRIOR) / TRAINING_PRIOR
    theirs = LogisticRegression(C=100, tol=1e-10, max_iter=10_000).fit(
        (columns - centre) / spread,
        labels,
        sample_weight=40 * np.repeat([1 / n[0], odds / n[1]], n),
    )
    ratio = theirs.coef_[0] / spread
    mine = np.array([model.coefficients[name] for name in FORMS["linear"]])
    assert mine / mine[0] == pytest.approx(ratio / ratio[0], rel=1e-3)


def test_llr_are_calibrated_at_the_prior(pairs: tuple[Side, Side]) -> None:
    """The best scale and constant at that prior are the ones that the llr have already."""
    for prior in (0.5, 0.01):
        genuine, impostors = (llr(fit("quadratic", *pairs, prior=prior), one) for one in pairs)
        weights = np.repeat(
            [prior / len(genuine), (1 - prior) / len(impostors)], [len(genuine), len(impostors)]
        )
        again = LogisticRegression(C=1e8, tol=1e-10).fit(
            np.concatenate([genuine, impostors])[:, None],
            np.repeat([1, 0], [len(genuine), len(impostors)]),
            sample_weight=weights,
        )
        assert again.coef_[0, 0] == pytest.approx(1, abs=0.02)
        assert again.intercept_[0] == pytest.approx(np.log(prior / (1 - prior)), abs=0.05)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from(list(FORMS)),
    st.floats(-1, 1),
    st.floats(0, 8),
    st.floats(0, 8),
    st.sampled_from(["sum", "product"]),
)
def test_symmetric_and_rising_with_cosine(
    form: str, cosine: float, one: float, other: float, combine: str
) -> None:
    genuine, impostors = development(3)
    model = _FITTED.setdefault(form, fit(form, genuine, impostors))

    def score(c: float, first: float, second: float) -> float:
        g = np.array([first]), np.array([second])
        dam = log_dam(np.array([c]), *g, combine=combine)
        terms = terms_of(np.array([c]), dam, *g, lid_range=model.lid_range, combine=combine)
        return float(log_likelihood_ratio(model.coefficients, terms)[0])

    assert score(cosine, one, other) == score(cosine, other, one)
    assert score(cosine + 0.01, one, other) > score(cosine, one, other)


_FITTED: dict[str, Fitted] = {}


def test_where_cosine_would_count_against_a_pair_its_slope_is_held_above_zero() -> None:
    genuine, impostors = development(1, apart=0.35)
    # Crowded pairs: the more similar, the likelier two people.
    for one, sign in ((genuine, -1), (impostors, 1)):
        crowded = one.scores[2] > 2.8
        one.scores[0, crowded] += sign * 0.4
        one.scores[1, crowded] += sign * 0.4
    model = fit("quadratic", genuine, impostors)
    slopes = [model.coefficients[name] for name in SLOPES if name in model.coefficients]
    assert min(slopes) > 0
    assert min(slopes) < 0.1 * max(slopes)


def test_one_persons_many_pairs_do_not_count_more() -> None:
    genuine, impostors = development(2)
    mine = np.flatnonzero(genuine.probe_subjects == 0)
    repeated = np.concatenate([np.arange(len(genuine.weights)), *[mine] * 50])
    many = Side(*(part[..., repeated] for part in genuine))
    one, other = (fit("quadratic", g, impostors).coefficients for g in (genuine, many))
    assert list(one.values()) == pytest.approx(list(other.values()), rel=1e-3)


def test_separable_pairs_get_finite_llr() -> None:
    genuine, impostors = development(4, apart=9)
    for form in FORMS:
        model = fit(form, genuine, impostors)
        assert np.isfinite(list(model.coefficients.values())).all()
        assert llr(model, genuine).min() > llr(model, impostors).max()


def test_swapped_labels_are_refused(pairs: tuple[Side, Side]) -> None:
    for form in FORMS:
        with pytest.raises(UserError, match="not more similar"):
            fit(form, pairs[1], pairs[0])


@settings(max_examples=30, deadline=None)
@given(st.integers(3, 8), st.integers(0, 99), st.integers(10, 40))
def test_nobody_is_scored_by_a_model_that_saw_them(folds: int, seed: int, subjects: int) -> None:
    genuine, impostors = development(seed, max(subjects, 2 * folds))
    of_genuine, of_impostors = folds_of(genuine, impostors, folds, seed)
    fold = dict(zip(genuine.probe_subjects.tolist(), of_genuine[0].tolist(), strict=True))
    assert set(fold.values()) == set(range(folds))
    for p, r, pair in zip(
        impostors.probe_subjects, impostors.reference_subjects, of_impostors.T, strict=True
    ):
        assert sorted((fold[p], fold[r])) == list(pair)


def test_held_out_scores_come_from_other_people(pairs: tuple[Side, Side]) -> None:
    held = hold_out(*pairs, folds=4, seed=0, prior=0.5, combine="sum")
    folds = folds_of(*pairs, 4, 0)
    row = held.row("linear")
    for first, second in ((0, 0), (1, 3)):
        known = []
        for one, f in zip(pairs, folds, strict=True):
            outside = ~((f == first) | (f == second)).any(axis=0)
            known.append(Side(*(part[..., outside] for part in one)))
        inside = (folds[1][0] == first) & (folds[1][1] == second)
        expected = llr(fit("linear", *known), pairs[1])[inside]
        assert held.impostors.scores[row, inside] == pytest.approx(expected)
    assert np.isfinite(held.genuine.scores).all()
    assert np.isfinite(held.impostors.scores).all()


def test_a_list_too_thin_for_its_folds(pairs: tuple[Side, Side]) -> None:
    folds = folds_of(*pairs, 3, 0)[1]
    across = folds[0] != folds[1]
    thin = Side(*(part[..., across] for part in pairs[1]))
    with pytest.raises(UserError, match="no impostor pair is left outside two folds"):
        hold_out(pairs[0], thin, folds=3, seed=0, prior=0.5, combine="sum")


def made_up(rates: list[list[float]], noise: float = 0.001) -> Resampled:
    plain = np.array(rates)
    spread = noise * np.random.default_rng(0).normal(size=(200, *plain.shape))
    return Resampled((1e-4, 1e-3, 1e-2), (50, 500, 5000), plain, plain + spread)


def test_the_choice() -> None:
    cosine, dam = [0.5, 0.6, 0.9, 0.05], [0.6, 0.7, 0.9, 0.05]
    best, good = [0.6, 0.7, 0.9, 0.03], [0.6, 0.7, 0.91, 0.05]
    assert choose(made_up([cosine, dam, good, best]), 100) == "quadratic"
    assert choose(made_up([cosine, dam, best, good]), 100) == "linear"
    assert choose(made_up([cosine, dam, cosine, cosine]), 100) == "dam"
    assert choose(made_up([dam, cosine, cosine, cosine]), 100) == "cosine"
    gives_back = [0.55, 0.7, 0.9, 0.01]  # best on average, but surely worse at 1e-4
    assert choose(made_up([cosine, dam, good, gives_back]), 100) == "linear"


def calibrated(**options: object) -> damcli.calibration.Calibrated:
    people = faces(40, 4, noise=1.0)
    return damcli.calibrate(
        all_pairs(people), people, anchors(60), resamples=100, fars=[1e-2, 1e-6], **options
    )


def test_all_pairs_and_a_list_give_one_calibration(tmp_path: Path) -> None:
    people = faces(40, 4, noise=1.0)
    listed = damcli.calibrate(
        read_pairs(write_pairs(tmp_path / "p.csv", people)),
        people,
        anchors(60),
        resamples=100,
        fars=[1e-2, 1e-6],
    )
    whole = calibrated()
    assert listed.calibration.form == whole.calibration.form
    assert listed.calibration.counts == {"genuine": 240, "impostors": 12480, "subjects": 40}
    assert list(listed.calibration.coefficients.values()) == pytest.approx(
        list(whole.calibration.coefficients.values()), rel=1e-6
    )
    assert [row.values is None for row in whole.expected.rows] == [False, True, False]
    assert any("40 subjects" in text for text in whole.warnings)


def test_the_score_is_the_fitted_llr() -> None:
    people, others = faces(10, 3, seed=5), anchors(60)
    made = replace(
        calibrated().calibration,
        form="quadratic",
        coefficients={name: i + 1.0 for i, name in enumerate((*FORMS["quadratic"], "constant"))},
    )
    scores = damcli.score(all_pairs(people), people, others, calibration=made, linear=True)
    assert scores.metrics == ("cosine", "DAM-R", "calibrated")
    g = damcli.log_lid(people, others)
    low, high = made.lid_range
    for chunk in scores.chunks():
        for i in range(0, len(chunk.probe_rows), 50):
            pair = sorted([g[chunk.probe_rows[i]], g[chunk.reference_rows[i]]])
            x, y = ((min(max(v, low), high) - low) / (high - low) for v in pair)
            c = chunk.scores[0][i]
            lids = [min(max(v, low), high) for v in pair]
            slope = 1 * (1 - y) + 2 * (y - x) + 3 * x
            offset = 4 * x + 5 * y + 6 * x * x + 7 * y * y + 8 * x * y
            offset += 9 * np.logaddexp(-lids[0], -lids[1]) + 10
            assert chunk.scores[2][i] == pytest.approx(slope * c + offset)


def test_too_few_pairs_are_counted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="4 genuine and 24 impostor pairs; expected at least 20"):
        people = faces(4, 2)
        damcli.calibrate(all_pairs(people), people, anchors(60))
    with pytest.raises(UserError, match=r"genuine pairs of 8 subjects; expected at least 10"):
        people = faces(8, 4)
        damcli.calibrate(all_pairs(people), people, anchors(60))
    unlabelled = write_pairs(tmp_path / "p.csv", faces(8, 4), labels=False)
    with pytest.raises(UserError, match="carry no labels"):
        damcli.calibrate(read_pairs(unlabelled), faces(8, 4), anchors(60))
    with pytest.raises(UserError, match="no LIDs"):
        damcli.calibrate(read_pairs(unlabelled), faces(8, 4))


@pytest.mark.parametrize(
    "options", [{"prior": 0.0}, {"prior": 1.0}, {"folds": 2}, {"fars": [2.0]}, {"resamples": 9}]
)
def test_options_out_of_range(options: dict[str, object]) -> None:
    people = faces(12, 3)
    with pytest.raises(UserError, match="expected"):
        damcli.calibrate(all_pairs(people), people, anchors(), **options)


def test_separable_and_nameless_pairs_are_warned_of(tmp_path: Path) -> None:
    people = faces(20, 3, noise=0.01)
    nameless = replace(people, subjects=None)
    found = damcli.calibrate(
        read_pairs(write_pairs(tmp_path / "p.csv", people)), nameless, anchors(60), resamples=100
    )
    text = " ".join(found.warnings)
    assert "every genuine pair outscores every impostor pair" in text
    assert "subjects are not known" in text
    assert "1,710 impostor pairs" in text
    assert found.expected.resampled == "pairs"
    assert found.calibration.counts["subjects"] == 0


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Calibration]:
    path = tmp_path_factory.mktemp("calibration") / "calibration.json"
    made = replace(calibrated().calibration, form="linear")
    made = replace(made, coefficients=dict.fromkeys((*FORMS["linear"], "constant"), 1.5))
    damcli.write_calibration(path, made)
    return path, made


def test_round_trip(saved: tuple[Path, Calibration]) -> None:
    path, made = saved
    assert replace(damcli.read_calibration(path), origin=made.origin) == made
    with pytest.raises(OutputError, match="exists already"):
        damcli.write_calibration(path, made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "schema is 'other'"),
        ({"schema_version": 2}, "schema_version is 2; expected 1"),
        ({"form": "cubic"}, "form is 'cubic'; expected one of"),
        ({"prior": 1.0}, "prior is 1.0; expected a number between 0 and 1"),
        ({"prior": "0.5"}, "prior is '0.5'"),
        ({"prior": True}, "prior is True"),
        ({"combine": None}, "combine is None"),
        ({"lid_range": [2.0, 2.0]}, "two rising numbers"),
        ({"lid_range": [2.0]}, "two numbers"),
        ({"counts": {"genuine": 1.5}}, "counts.genuine is 1.5"),
        ({"lid": {"k": 0, "s": 1, "source": "anchors"}}, r"lid\.k is 0"),
        ({"lid": {"k": 1, "s": 1, "source": "x"}}, r"lid\.source is 'x'"),
        ({"about": []}, "about is"),
        ({"coefficients": {}}, "coefficient 'constant' of the form 'linear' is missing"),
    ],
)
def test_a_spoiled_calibration_is_named(
    saved: tuple[Path, Calibration], tmp_path: Path, change: dict[str, object], message: str
) -> None:
    spoiled = tmp_path / "spoiled.json"
    spoiled.write_text(json.dumps({**json.loads(saved[0].read_text()), **change}))
    with pytest.raises(InputError, match=message):
        damcli.read_calibration(spoiled)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cosine", float("nan"), "coefficients.cosine is nan; expected a finite number"),
        ("cosine", -1.0, "coefficients.cosine is -1.0; expected a number above 0"),
        ("age", 1.0, "'age' of the form 'linear' is a feature that is not known"),
        ("min_lid", "1", "coefficients.min_lid is '1'"),
    ],
)
def test_spoiled_coefficients_are_named(
    saved: tuple[Path, Calibration], tmp_path: Path, name: str, value: object, message: str
) -> None:
    document = json.loads(saved[0].read_text())
    document["coefficients"][name] = value
    spoiled = tmp_path / "spoiled.json"
    spoiled.write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        damcli.read_calibration(spoiled)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{", b"[]", b"[" * 100_000])
def test_what_is_no_calibration(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"c\.json"):
        damcli.read_calibration(path)


@pytest.mark.parametrize(
    ("known", "message"),
    [
        ({"k": 5}, "made with k = 5; found 10"),
        ({"s": 2.0}, "made with s = 2.0; found 1.0"),
        ({"source": "lidr"}, "made with LIDs from lidr; found anchors"),
        ({"sha256": "a" * 64}, "made with anchors of SHA-256 aaaaaaaaaaaa"),
        ({"model_sha256": "b" * 64}, "made with model bbbbbbbbbbbb"),
    ],
)
def test_files_and_settings_that_do_not_belong_together(
    saved: tuple[Path, Calibration], tmp_path: Path, known: dict[str, object], message: str
) -> None:
    people = replace(faces(), attributes={"model_sha256": "c" * 64})
    damcli.write_embeddings(tmp_path / "a.h5", anchors())
    others = damcli.read_anchors(tmp_path / "a.h5")
    made = replace(saved[1], lid={**saved[1].lid, **known})
    with pytest.raises(InputError, match=message):
        damcli.score(all_pairs(people), people, others, calibration=made)
    assert damcli.score(all_pairs(people), people, others, calibration=saved[1]).labelled


def test_another_form_of_dam_and_no_lids_at_all(saved: tuple[Path, Calibration]) -> None:
    people = faces()
    with pytest.raises(InputError, match="made with combine = sum; found product"):
        damcli.score(all_pairs(people), people, anchors(), calibration=saved[1], combine="product")
    with pytest.raises(InputError, match="needs LIDs from the anchors"):
        check_calibration(saved[1], None, "sum", people)
