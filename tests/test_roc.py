"""ROC curves and histograms against counting by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.evaluation import evaluate
from damcli.evaluation.roc import histograms, roc_curves
from damcli.scoring.matches import MatchSpool

# Few different scores, so that ties are everywhere.
SCORES = st.lists(st.integers(-3, 6), min_size=1, max_size=60)


def spool(genuine: list[float], impostors: list[float], **more: int) -> MatchSpool:
    matches = MatchSpool(["cosine"], **more)
    labels = np.repeat([1, 0], [len(genuine), len(impostors)]).astype(np.int8)
    matches.append(labels, [np.array([*genuine, *impostors], dtype=np.float64)])
    return matches


def many(subjects: int = 0) -> MatchSpool:
    rng = np.random.default_rng(2)
    matches = MatchSpool(["cosine", "other"], subject_count=subjects)
    labels = np.repeat([1, 0], [600, 9000]).astype(np.int8)
    cosine = rng.normal(2.2 * labels, 1)
    people = None
    if subjects:
        mine = rng.integers(0, subjects, len(labels))
        theirs = np.where(labels == 1, mine, (mine + 1) % subjects)
        people = (mine, theirs)
    matches.append(labels, [cosine, cosine + rng.normal(size=len(labels))], *(people or ()))
    return matches


@given(SCORES, SCORES)
def test_tar_is_the_best_that_keeps_to_the_far(genuine: list[int], impostors: list[int]) -> None:
    (curve,) = roc_curves(spool(genuine, impostors), resamples=0, seed=0)
    thresholds = [*genuine, *impostors, max(genuine + impostors) + 1]
    for far, tar in zip(curve.far, curve.tar, strict=True):
        allowed = round(far * len(impostors))
        kept = [t for t in thresholds if sum(i >= t for i in impostors) <= allowed]
        best = max(sum(g >= t for g in genuine) for t in kept)
        # Between two scores lie further thresholds, of which the lowest accepts the most.
        best = max(
            [
                best,
                *(sum(g > t for g in genuine) for t in thresholds if _fits(t, impostors, allowed)),
            ]
        )
        assert tar == best / len(genuine)
    assert curve.low is None


def _fits(threshold: int, impostors: list[int], allowed: int) -> bool:
    return sum(i > threshold for i in impostors) <= allowed


@pytest.mark.parametrize("subjects", [0, 50])
def test_curve_and_band_are_those_of_the_evaluation(subjects: int) -> None:
    matches = many(subjects)
    curves = roc_curves(matches, resamples=60, seed=4)
    assert [curve.metric for curve in curves] == ["cosine", "other"]
    for curve in curves:
        assert curve.low is not None
        assert curve.high is not None
        assert (curve.far[0], curve.far[-1]) == (1 / 9000, 8999 / 9000)
        assert (np.diff(curve.tar) >= 0).all()
        assert (np.diff(curve.low) >= 0).all()
        assert ((curve.low <= curve.tar) & (curve.tar <= curve.high)).all()
    places = [20, 40, 50]
    fars = [float(curves[0].far[place] + 0.5 / 9000) for place in places]
    found = evaluate(matches, fars=fars, resamples=60, seed=4)
    for curve, metric in zip(curves, found.metrics, strict=True):
        for place, tar in zip(places, metric.tars, strict=True):
            assert tar is not None
            assert tar.interval is not None
            assert curve.tar[place] == tar.value
            assert curve.high is not None
            assert curve.high[place] == pytest.approx(tar.interval.high, abs=1e-12)
            assert curve.low is not None
            assert curve.low[place] >= tar.interval.low - 1e-12


def test_histograms_count_every_pair() -> None:
    matches = many()
    for metric, one in enumerate(histograms(matches)):
        for chunks, counts in (
            (matches.genuine(), one.genuine),
            (matches.impostors(), one.impostors),
        ):
            scores = np.concatenate([chunk.scores[metric] for chunk in chunks])
            np.testing.assert_array_equal(counts, np.histogram(scores, one.edges)[0])
            assert counts.sum() == len(scores)
        np.testing.assert_allclose(np.diff(one.edges), np.diff(one.edges)[0])


def test_scores_that_are_all_alike_have_a_histogram() -> None:
    (one,) = histograms(spool([1.0, 1.0], [1.0]))
    assert (one.genuine.sum(), one.impostors.sum()) == (2, 1)
