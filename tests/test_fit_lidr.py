from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from damcli.errors import InputError, MissingExtra, UserError
from damcli.lid import training_set as training_set_module
from damcli.lid.fit_lidr import Diverged, fit_lidr
from damcli.lid.own_photographs import suspect_similarity
from damcli.lid.recipes import RECIPES, Recipe
from damcli.lid.regressor import forward
from damcli.lid.training import batches, choose_device, train
from damcli.lid.training_set import Split, TrainingSet, hold_out, training_set
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.lidr import Lidr
from tests.faces import anchors, faces

torch = pytest.importorskip("torch")
torch.set_num_threads(1)  # so small a network only loses by more
PAPER = replace(RECIPES["paper"], iterations=60, hidden=8)
TUNED = replace(RECIPES["tuned"], iterations=300, hidden=16)


def arrays(lidr: Lidr) -> list[Any]:
    return [table for layer in lidr.layers for table in layer]


def same(one: Lidr, other: Lidr) -> bool:
    pairs = zip(arrays(one), arrays(other), strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_the_papers_milestones() -> None:
    paper = RECIPES["paper"]
    rates = {i: paper.learning_rate(i) for i in (0, 14_999, 15_000, 19_999, 20_000, 24_999, 25_000)}
    expected = [1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5, 1e-6]
    assert list(rates.values()) == pytest.approx(expected)
    assert (paper.learnt, paper.optimiser, paper.weight_decay) == ("g", "sgd", 5e-4)
    assert (paper.batch_size, paper.iterations, paper.patience) == (512, 30_000, None)


@settings(deadline=None)  # PyTorch is slow to start
@given(st.integers(1, 200))
def test_the_milestones_scale_with_the_iterations(iterations: int) -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([parameter], lr=1e-3)
    steps = [-(-iterations * part // of) for part, of in ((1, 2), (2, 3), (5, 6))]
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, steps, 0.1)
    recipe = replace(RECIPES["paper"], iterations=iterations)
    for iteration in range(iterations):
        assert recipe.learning_rate(iteration) == pytest.approx(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()


@settings(deadline=None)
@given(st.integers(2, 30), st.floats(0.01, 0.99), st.integers(0, 99))
def test_whole_subjects_are_held_out_and_never_drawn(
    subjects: int, share: float, seed: int
) -> None:
    people = faces(subjects, 2)
    assert people.subjects is not None
    split = hold_out(people, share, seed)
    assert sorted([*split.train, *split.heldout]) == list(range(len(people)))
    assert len(split.train) and len(split.heldout)
    assert not set(people.subjects[split.train]) & set(people.subjects[split.heldout])
    draws = batches(split.train, min(4, len(split.train)), np.random.default_rng(seed))
    drawn = np.concatenate([next(draws) for _ in range(len(split.train))])
    assert set(drawn) == set(split.train)


def test_what_is_held_out_moves_no_weight() -> None:
    rng = np.random.default_rng(0)
    vectors, log_lids = rng.normal(size=(40, 5)).astype(np.float32), rng.normal(size=40)
    split = Split(np.arange(30), np.arange(30, 40), True)
    recipe = replace(PAPER, learnt="std-log-g", batch_size=8)
    kept = train(TrainingSet(vectors, log_lids), split, recipe)
    vectors[30:], log_lids[30:] = 9, 9
    again = train(TrainingSet(vectors, log_lids), split, recipe)
    assert kept.layers is not None
    assert again.layers is not None
    for one, other in zip(kept.layers, again.layers, strict=True):
        assert np.array_equal(one.weight, other.weight)
        assert np.array_equal(one.bias, other.bias)
    assert kept.checks[-1].heldout_loss != again.checks[-1].heldout_loss


def by_hand(
    people: Embeddings, others: Anchors, row: int, k: int, s: float, ceiling: float
) -> float:
    assert people.subjects is not None
    assert others.subjects is not None
    similarities = [
        float(anchor.astype(float) @ people.vectors[row].astype(float))
        for anchor, subject, name in zip(others.vectors, others.subjects, others.ids, strict=True)
        if subject != people.subjects[row] and name != people.ids[row]
    ]
    above = sum(c > ceiling for c in similarities)
    chosen = sorted(c for c in similarities if c <= ceiling or above >= k)[-k:]
    return float(np.log(sum(np.exp(s * c) for c in chosen)))


@pytest.mark.parametrize("ceiling", [None, 0.5, 0.3])
@pytest.mark.parametrize("max_bytes", [0, 1 << 20])
def test_targets_leave_out_the_own_person(
    ceiling: float | None, max_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_set_module, "_BLOCK_ROWS", 7)
    people = faces(10, 3)
    pool = Anchors.of(people, kind="real-db")
    data = training_set(people, pool, k=4, s=2.0, max_bytes=max_bytes, ceiling=ceiling)
    expected = [by_hand(people, pool, i, 4, 2.0, ceiling or 2) for i in range(len(people))]
    assert data.log_lids == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(data.vectors, people.vectors)
    assert isinstance(data.vectors, np.memmap) == (max_bytes == 0)


def turned(cosines: list[float]) -> np.ndarray:
    """Make unit vectors of these cosines to the first axis."""
    rest = np.eye(len(cosines) + 1)[1:]
    return np.array([[c, *np.sqrt(1 - c**2) * r[1:]] for c, r in zip(cosines, rest, strict=True)])


@pytest.mark.parametrize(
    ("cosines", "kept"),
    [
        ([0.9, 0.8, 0.3, 0.2, 0.1], [0.3, 0.2, 0.1]),  # two photographs of one person
        ([0.9, 0.8, 0.7, 0.6, 0.1], [0.9, 0.8, 0.7]),  # a crowd, which is what LIDs tell
        ([0.4, 0.3, 0.2, 0.1, 0.0], [0.4, 0.3, 0.2]),
    ],
)
def test_own_photographs_are_skipped_and_a_crowd_is_not(
    cosines: list[float], kept: list[float]
) -> None:
    others = Anchors.of(Embeddings.from_arrays(turned(cosines)), kind="fake-db")
    one = Embeddings.from_arrays(np.eye(1, others.dim), ["me"])
    data = training_set(one, others, k=3, s=1.0, max_bytes=1 << 20, ceiling=0.5)
    assert data.log_lids[0] == pytest.approx(np.log(np.exp(kept).sum()), abs=1e-6)
    assert data.skipped_rows == int(max(kept) < max(cosines))


def test_the_limit_is_where_a_normal_spread_leaves_a_hundredth_anchor() -> None:
    rng = np.random.default_rng(0)
    dim, count = 64, 2000
    pool = Embeddings.from_arrays(rng.normal(size=(count, dim)))
    limit = suspect_similarity(pool, Anchors.of(pool, kind="fake-db"))
    # Cosines of random directions spread by 1/sqrt(dim); a hundredth of 2,000 is 1 in 200,000.
    assert limit == pytest.approx(norm.isf(0.01 / count) / np.sqrt(dim), rel=0.05)


def test_a_known_function_is_recovered() -> None:
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(1500, 6))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    true = np.maximum(vectors @ rng.normal(size=(6, 3)), 0) @ [0.2, -0.1, 0.1] + 2.3
    split = Split(np.arange(1200), np.arange(1200, 1500), False)
    recipe = replace(TUNED, iterations=300, hidden=32, batch_size=128, lr=1e-2)
    trained = train(TrainingSet(vectors, true.astype(float)), split, recipe)
    assert trained.layers is not None
    found = forward(Lidr(trained.layers, 10, 1.0, 99), vectors[split.heldout])
    error = found - true[split.heldout]
    assert error.var() < 0.02 * true.var()


def test_one_seed_one_result() -> None:
    people, others = faces(20, 3), anchors()
    before = torch.random.get_rng_state()
    one, again, other = (
        fit_lidr(people, others, recipe=TUNED, seed=seed, device="cpu") for seed in (3, 3, 4)
    )
    assert same(one, again)
    assert not same(one, other)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("learnt", ["g", "log-g", "std-g", "std-log-g"])
def test_what_is_learnt_is_undone(learnt: Any) -> None:
    people, others = faces(60, 3), anchors()
    recipe = Recipe(learnt, "adamw", lr=1e-2, weight_decay=1e-2, iterations=300, patience=10)
    lidr = fit_lidr(people, others, recipe=recipe)
    assert lidr.target == ("log-g" if "log" in learnt else "g")
    assert lidr.attributes["heldout_r2"] > 0.3
    assert lidr.attributes["heldout_spearman"] > 0.5
    assert lidr.attributes["heldout_relative_error"] < 0.1


def test_the_lowest_held_out_loss_is_kept() -> None:
    people, others = faces(20, 3, noise=2.0), anchors()
    lidr = fit_lidr(people, others, recipe=replace(TUNED, iterations=3000, lr=1e-2, patience=3))
    lowest = int(np.argmin(lidr.curve[:, 2]))
    assert lidr.attributes["kept_iteration"] == lidr.curve[lowest, 0]
    assert len(lidr.curve) == lowest + 4
    paper = fit_lidr(people, others, recipe=PAPER)
    assert paper.attributes["kept_iteration"] == 60


def test_a_loss_that_is_not_finite_stops() -> None:
    people, others = faces(20, 3), anchors()
    with pytest.raises(Diverged, match=r"not finite at iteration \d+; before any") as caught:
        fit_lidr(people, others, recipe=replace(PAPER, lr=1e9))
    assert caught.value.lidr is None


def test_the_last_good_weights_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    people, others = faces(20, 3), anchors()
    recipe = replace(PAPER, iterations=200)
    good = fit_lidr(people, others, recipe=recipe).curve[0]
    monkeypatch.setattr(Recipe, "learning_rate", lambda self, i: 1e-3 if i < 60 else 1e30)
    with pytest.raises(Diverged, match="the weights of iteration 50 are kept") as caught:
        fit_lidr(people, others, recipe=recipe)
    kept = caught.value.lidr
    assert kept is not None
    assert kept.curve[:1].tolist() == [good.tolist()]
    assert all(np.isfinite(table).all() for table in arrays(kept))


def test_what_cannot_be_fitted() -> None:
    with pytest.raises(InputError, match="shows 1 subject; expected several"):
        fit_lidr(faces(1, 5), anchors())
    with pytest.raises(InputError, match="dimension 8; expected 16"):
        fit_lidr(faces(), anchors(dim=8))
    with pytest.raises(ValueError, match="share of 1"):
        fit_lidr(faces(), anchors(), holdout=1)


def test_a_gpu_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device(torch, "auto") == "cpu"
    with pytest.raises(UserError, match="--device cuda: PyTorch finds no GPU"):
        choose_device(torch, "cuda")


def test_without_torch_fitting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"fitting a lidr needs the extra \[torch\]"):
        fit_lidr(faces(), anchors())
