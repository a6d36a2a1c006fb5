"""1:N search against slow loops: the ranking itself, then CMC and TPIR."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import damcli
from damcli.errors import InputError, UserError
from damcli.identification import gallery as searched
from damcli.identification.forms import Form, GalleryTerms, forms_of
from damcli.identification.gallery import NOBODY, Gallery, Probes
from damcli.identification.rates import Rates, point_at
from damcli.identification.search import Searches, own_rows, search
from damcli.metrics import log_dam, pair_similarities
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings
from tests.faces import anchors, faces
from tests.lidrs import lidr

FORMS = forms_of("DAM-R")


def every_score(
    form: Form, probes: Probes, entries: Embeddings, lids: np.ndarray, s: float
) -> np.ndarray:
    """Score every probe with every entry, as listed pairs are scored."""
    grid = np.indices((len(probes.vectors), len(entries))).reshape(2, -1)
    cosine = pair_similarities(probes.vectors, entries.vectors, *grid)
    if form.combine is None:
        scores = cosine
    else:
        scores = log_dam(cosine, probes.log_lid[grid[0]], lids[grid[1]], s=s, combine=form.combine)
    return scores.reshape(len(probes.vectors), len(entries))


def best_people(scores: np.ndarray, codes: np.ndarray, own: int, keep: int) -> list[tuple]:
    """Rank the people of a gallery by their best entries, one entry after the other."""
    seen: set[int] = set()
    ranked = []
    for row in sorted(range(len(scores)), key=lambda row: (-scores[row], row)):
        if row != own and codes[row] not in seen:
            seen.add(codes[row])
            ranked.append((scores[row], row))
    return ranked[:keep] + [(-np.inf, NOBODY)] * (keep - len(ranked))


@settings(max_examples=40, deadline=None)
@given(
    people=st.integers(1, 60),
    copies=st.integers(0, 40),
    spread=st.sampled_from([0.0, 1e-3, 0.3, 2.0, 40.0]),
    s=st.sampled_from([0.25, 1.0, 64.0]),
    keep=st.integers(1, 12),
    dim=st.sampled_from([2, 16]),
    first=st.sampled_from([1, 5, 64]),
    widest=st.sampled_from([0, 20, 1000]),
    seed=st.integers(0, 1000),
)
def test_search_is_brute_force(
    people: int,
    copies: int,
    spread: float,
    s: float,
    keep: int,
    dim: int,
    first: int,
    widest: int,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, people * 2, size=copies)
    vectors = rng.normal(size=(people * 2, dim))
    # Copies of entries, and a crowd that differs by less than float32 tells.
    vectors = np.concatenate(
        [vectors, vectors[drawn], vectors[:1] + 1e-8 * rng.normal(size=(9, dim))]
    )
    entries = Embeddings.from_arrays(vectors)
    codes = rng.integers(0, people, size=len(entries))
    lids = 2.3 + spread * rng.random(len(entries))
    lids[people * 2 : people * 2 + copies] = lids[drawn]
    probes = Probes(
        Embeddings.from_arrays(np.concatenate([vectors[:3], rng.normal(size=(4, dim))])).vectors,
        2.3 + spread * rng.random(len(vectors[:3]) + 4),
        np.array([0, 1, *([NOBODY] * (len(vectors[:3]) + 2))]),
    )
    with (
        patch.object(searched, "_WIDTH", first),
        patch.object(searched, "_WIDEST", widest),
        patch.object(searched, "_SHARD", 7),
    ):
        found = Gallery(entries, codes, GalleryTerms(lids, s), FORMS).top(probes, keep)
    for place, form in enumerate(FORMS):
        scores = every_score(form, probes, entries, lids, s)
        for row in range(len(scores)):
            expected = best_people(scores[row], codes, int(probes.own_rows[row]), keep)
            got = zip(found.scores[place, row], found.rows[place, row], strict=True)
            assert list(got) == expected, form.name


@settings(max_examples=60, deadline=None)
@given(
    spread=st.sampled_from([0.0, 0.1, 1.0, 8.0, 40.0]),
    s=st.sampled_from([0.25, 1.0, 8.0, 64.0]),
    width=st.integers(1, 30),
    far=st.floats(-30, 30),
    seed=st.integers(0, 1000),
)
def test_what_is_not_found_does_not_exceed_the_bounds(
    spread: float, s: float, width: int, far: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    entries = Embeddings.from_arrays(rng.normal(size=(80, 3)))
    lids = spread * rng.random(80)
    probes = Probes(
        Embeddings.from_arrays(rng.normal(size=(20, 3))).vectors,
        far + spread * rng.random(20),
        np.full(20, NOBODY),
    )
    gallery = Gallery(entries, np.arange(80), GalleryTerms(lids, s), FORMS)
    pairs, bounds = gallery.candidates(probes, width)
    found = np.zeros((20, 80), dtype=bool)
    found[pairs.probes, pairs.rows] = True
    assert found.sum() == len(pairs.probes)
    for place, form in enumerate(FORMS):
        scores = every_score(form, probes, entries, lids, s)
        others = np.where(found, -np.inf, scores).max(axis=1)
        assert (others <= bounds[place]).all(), form.name


def test_bounds_spare_most_of_the_gallery() -> None:
    """Without them every search would be right as well, by comparing everybody."""
    entries, probes = faces(6000, 1, dim=32), faces(40, 1, dim=32, seed=5, prefix="q")
    some = anchors(dim=32)
    lids = [damcli.log_lid(side, some) for side in (probes, entries)]
    gallery = Gallery(entries, np.arange(6000), GalleryTerms(lids[1], 1.0), FORMS)
    gallery.top(Probes(probes.vectors, lids[0], np.full(40, NOBODY)), 11)
    assert gallery.widened == gallery.compared_with_all == 0


@settings(max_examples=40, deadline=None)
@given(
    g1=st.floats(-50, 50),
    low=st.floats(-50, 50),
    width=st.floats(0, 50),
    share=st.floats(0, 1),
    c=st.floats(-1, 1),
    s=st.floats(0.1, 64),
)
def test_no_score_exceeds_its_line(
    g1: float, low: float, width: float, share: float, c: float, s: float
) -> None:
    lids = np.array([low, low + width, low + share * width])
    terms = GalleryTerms(lids, s)
    for form in FORMS:
        line = terms.lines(form, 1, np.array([g1]))
        bound = line.scale * (c + line.slope * terms.extension(slice(0, 3))) + line.constant
        scores = terms.scores(form, np.full(3, c), np.full(3, g1), np.arange(3))
        assert (scores <= bound + 1e-9).all()
        assert (line.slope >= 0).all()
        assert (line.slope <= 1).all()
        assert (np.abs(terms.extension(slice(0, 3))) <= terms.largest_extension + 1e-9).all()


def split(people: int = 30, each: int = 4, seed: int = 0) -> tuple[Embeddings, Embeddings]:
    """Make probes, and a gallery with two entries of two thirds of the people."""
    everybody = faces(people, each, seed=seed, noise=1.2)
    which = np.arange(len(everybody))
    entry = (which % each < 2) & (which // each % 3 != 0)
    return everybody.take(np.flatnonzero(~entry)), everybody.take(np.flatnonzero(entry))


def by_hand(
    scores: np.ndarray, probes: Embeddings, entries: Embeddings, rank: int, fpir: float
) -> tuple[float, float | None]:
    """Take CMC at a rank and TPIR at rank 1, one probe after the other."""
    mated, lone = [], []
    for row, subject in enumerate(probes.subjects):
        best: dict[str, float] = {}
        for column, other in enumerate(entries.subjects):
            if probes.ids[row] != entries.ids[column]:
                best[other] = max(best.get(other, -math.inf), scores[row, column])
        if subject in best:
            mate = best.pop(subject)
            mated.append((1 + sum(score >= mate for score in best.values()), mate))
        else:
            lone.append(max(best.values()))
    cmc = sum(place <= rank for place, _ in mated) / len(mated)
    allowed = math.floor(Fraction(str(fpir)) * len(lone))
    if allowed == 0:
        return cmc, None
    passing = [
        threshold
        for threshold in sorted({*lone, *(mate for _, mate in mated)})
        if sum(score >= threshold for score in lone) <= allowed
    ]
    lowest = passing[0] if passing else math.inf
    return cmc, sum(place == 1 and mate >= lowest for place, mate in mated) / len(mated)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    rank=st.integers(1, 6),
    fpir=st.sampled_from([0.001, 0.03, 0.1, 0.29, 0.5]),
    leave_one_out=st.booleans(),
    rounded=st.booleans(),
)
def test_rates_against_slow_loops(
    seed: int, rank: int, fpir: float, leave_one_out: bool, rounded: bool
) -> None:
    probes, entries = split(seed=seed)
    if rounded:  # many equal scores
        probes, entries = (
            Embeddings.from_arrays(np.round(side.vectors * 2) + 0.1, side.ids, side.subjects)
            for side in (probes, entries)
        )
    some = anchors(seed=seed + 1)
    if leave_one_out:
        entries = probes.take(np.arange(0, len(probes) - 7))
        probes = entries
    found = damcli.identify(
        probes, entries, some, ranks=[rank], fpirs=[fpir], resamples=0, k=5, s=3.0
    )
    lids = [damcli.log_lid(side, some, k=5, s=3.0) for side in (probes, entries)]
    block = Probes(probes.vectors, lids[0], np.full(len(probes), NOBODY))
    assert [metric.name for metric in found.metrics] == ["cosine", "DAM-R", "DAM-R product"]
    for form, metric in zip(FORMS, found.metrics, strict=True):
        scores = every_score(form, block, entries, lids[1], 3.0)
        cmc, tpir = by_hand(scores, probes, entries, rank, fpir)
        assert metric.cmc[0].value == pytest.approx(cmc, abs=1e-12)
        if tpir is None:
            assert metric.tpirs == (None,)
        else:
            assert metric.tpirs[0].value == pytest.approx(tpir, abs=1e-12)
        assert metric.points[0][0].tar == tpir


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), fpir=st.sampled_from([0.1, 0.29, 0.5]), within=st.integers(1, 4))
def test_a_weight_is_so_many_probes(seed: int, fpir: float, within: int) -> None:
    rng = np.random.default_rng(seed)
    count = 60
    mated = rng.random(count) < 0.5
    found = Searches(
        origin="g.h5",
        subjects=9,
        entries=9,
        mated=mated,
        ranks=np.where(mated, rng.integers(1, 7, size=(2, count)), 7),
        mate_scores=np.where(mated, rng.integers(0, 9, size=(2, count)) / 4, -np.inf),
        other_scores=rng.integers(0, 9, size=(2, count)) / 4,
        same_id=0,
        widened=0,
        compared_with_all=0,
    )
    weights = rng.integers(0, 4, size=count)
    rows = np.repeat(np.arange(count), weights)
    columns = ("ranks", "mate_scores", "other_scores")
    copied = replace(
        found, mated=mated[rows], **{name: getattr(found, name)[:, rows] for name in columns}
    )
    (weighted,) = Rates([found], [1, 3], [fpir], within).of(weights[None].astype(np.float64))
    for metric in range(2):
        ranks = copied.ranks[metric, copied.mated]
        point = point_at(copied, metric, fpir, within)
        assert point.allowed > 0
        expected = [np.mean(ranks <= 1), np.mean(ranks <= 3), point.tar]
        assert weighted[metric] == pytest.approx(expected, abs=1e-12)


def test_a_resample_without_somebody_to_find_has_no_rate() -> None:
    probes, entries = split()
    found = search(probes, entries, (None, None), forms_of(None), 1.0, 3)
    rates = Rates([found], [1], [0.1], 1)
    (lone, mated) = rates.of(np.stack([~found.mated, found.mated]).astype(np.float64))
    assert np.isnan(lone).all()
    assert mated[0, 0] == pytest.approx(np.mean(found.ranks[0, found.mated] <= 1))
    assert np.isnan(mated[0, 1])


def test_intervals_hold_the_rates_of_other_people() -> None:
    """Of many draws of probes, about 95 in 100 intervals hold the rate of all of them."""
    people = faces(400, 3, noise=1.5)
    entries = people.take(np.arange(0, 900, 3))
    pool = [np.array([3 * person + 1, 3 * person + 2]) for person in range(400)]
    everybody = np.concatenate(pool)
    truth = damcli.identify(people.take(everybody), entries, fpirs=[0.1], resamples=0).metrics[0]
    rng, held = np.random.default_rng(0), np.zeros(2)
    for draw in range(60):
        chosen = rng.permutation(400)[:100]
        rows = np.concatenate([pool[person] for person in chosen])
        found = damcli.identify(
            people.take(rows), entries, ranks=[1], fpirs=[0.1], resamples=200, seed=draw
        ).metrics[0]
        pairs = ((found.cmc[0], truth.cmc[0]), (found.tpirs[0], truth.tpirs[0]))
        held += [one.interval.low <= all_.value <= one.interval.high for one, all_ in pairs]
    assert (held >= 52).all(), held


def test_differences_are_paired() -> None:
    probes, entries = split(60)
    found = damcli.identify(probes, entries, anchors(), resamples=200)
    cosine, dam, _ = found.metrics
    for mine, theirs in zip((*dam.cmc, *dam.tpirs), (*cosine.cmc, *cosine.tpirs), strict=True):
        if mine is None:
            continue
        assert mine.difference == mine.value - theirs.value
        paired, alone = mine.difference_interval, mine.interval
        assert paired.low <= mine.difference <= paired.high
        # On resamples of their own, the width would be that of both together.
        assert paired.high - paired.low < alone.high - alone.low
    assert cosine.cmc[0].difference is None
    again = damcli.identify(probes, entries, anchors(), resamples=200)
    assert again.metrics == found.metrics


def test_the_rates_of_galleries_are_averaged() -> None:
    probes, entries = split()
    first, second = entries.take(np.arange(0, 20)), entries.take(np.arange(20, len(entries)))
    options = {"ranks": [1, 2], "fpirs": [0.1], "resamples": 30}
    both = damcli.identify(probes, [first, second], anchors(), **options)
    alone = [damcli.identify(probes, one, anchors(), **options) for one in (first, second)]
    assert [one.galleries[0] for one in alone] == list(both.galleries)
    for place, metric in enumerate(both.metrics):
        parts = [one.metrics[place] for one in alone]
        for rank in range(2):
            mean = np.mean([part.cmc[rank].value for part in parts])
            assert metric.cmc[rank].value == pytest.approx(mean)
        assert metric.tpirs[0].value == pytest.approx(np.mean([p.tpirs[0].value for p in parts]))
        assert metric.points[0] == tuple(part.points[0][0] for part in parts)


def test_where_lids_come_from_names_the_scores() -> None:
    probes, entries = split()

    def names(**source: object) -> list[str]:
        found = damcli.identify(probes, entries, resamples=0, **source)
        return [metric.name for metric in found.metrics]

    assert names() == ["cosine"]
    assert names(lidr=lidr()) == ["cosine", "DAM-L", "DAM-L product"]
    with pytest.raises(UserError, match="anchors and a lidr"):
        names(anchors=anchors(), lidr=lidr())


def test_scores_are_those_of_score() -> None:
    probes, entries = split()
    found: list = []
    damcli.identify(
        probes, entries, anchors(), resamples=0, candidates=lambda _, some: found.append(some)
    )
    (block,) = found
    scored = damcli.score(damcli.all_pairs(probes, entries), probes, anchors(), gallery=entries)
    cosine, dam = scored.scorer.pairs(block.probe_rows, block.entry_rows)
    assert np.array_equal(block.cosine, cosine)
    assert np.array_equal(block.score, dam)


def test_row_numbers_are_no_ids() -> None:
    probes, entries = (
        Embeddings.from_arrays(side.vectors, None, side.subjects) for side in split()
    )
    assert entries.attributes[ROW_NUMBER_IDS]
    assert (own_rows(probes, entries) == NOBODY).all()
    assert (own_rows(probes, replace(probes)) == np.arange(len(probes))).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ranks": []}, "no ranks"),
        ({"ranks": [0]}, "rank 0: expected a whole number from 1 on"),
        ({"ranks": [2, 2]}, "a rank was given twice"),
        ({"within": 0}, "rank 0"),
        ({"fpirs": [1.0]}, "FPIR 1: expected a fraction between 0 and 1"),
        ({"fpirs": [0.1, 0.1]}, "an FPIR was given twice"),
        ({"combine": "mean"}, "combine = 'mean'; expected sum or product"),
        ({"resamples": -1}, "-1 resamples"),
        ({"galleries": []}, "no gallery was given"),
    ],
)
def test_options_out_of_range(options: dict, message: str) -> None:
    probes, entries = split()
    options = {"galleries": entries, **options}
    with pytest.raises(UserError, match=message):
        damcli.identify(probes, **options)


def test_sides_that_cannot_be_searched() -> None:
    probes, entries = split()
    with pytest.raises(InputError, match="carries no subjects, so nobody knows whom"):
        damcli.identify(probes, replace(entries, subjects=None))
    with pytest.raises(InputError, match="holds none of the people that the 80 probes"):
        damcli.identify(probes, faces(4, 2, prefix="other"))
    with pytest.raises(InputError, match="embeddings of dimension 8; expected 16"):
        damcli.identify(probes, faces(dim=8))
    own = Anchors.of(entries, kind="real-db")
    with pytest.raises(InputError, match="20 subjects stand among the anchors"):
        damcli.identify(probes, entries, own)
    damcli.identify(probes, entries, own, allow_overlap=True, resamples=0)
