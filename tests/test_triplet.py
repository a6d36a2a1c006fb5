from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from damcli.errors import UserError
from damcli.training.criterion import Triplets, build_criterion
from damcli.training.heads.triplet import semi_hard, triplet_loss
from tests import losses


def batch(seed: int, rows: int = 12, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Embeddings so close together that some triplets are semi-hard."""
    rng = torch.Generator().manual_seed(seed)
    embeddings = 2 + torch.randn(rows, 4, generator=rng, dtype=torch.float64)
    return 3 * embeddings, torch.arange(rows) % classes


def squared_distances(embeddings: Tensor) -> Tensor:
    unit = torch.nn.functional.normalize(embeddings)
    return 2 - 2 * unit @ unit.T


@settings(max_examples=30)
@given(st.integers(0, 10**6), st.integers(4, 10), st.integers(2, 3), st.sampled_from([0.2, 1.0]))
def test_every_pair_gets_its_closest_semi_hard_negative(
    seed: int, rows: int, classes: int, margin: float
) -> None:
    embeddings, labels = batch(seed, rows, classes)
    found = semi_hard(squared_distances(embeddings), labels, margin)
    expected = losses.semi_hard_triplets(embeddings, labels, margin)
    assert [tuple(int(i) for i in triplet) for triplet in zip(*found, strict=True)] == expected


def test_a_negative_as_far_as_the_positive_or_as_the_margin_is_not_semi_hard() -> None:
    distances = torch.tensor([[0.0, 1.0, 1.0, 1.5], [1.0, 0.0, 9.0, 9.0]] + [[0.0] * 4] * 2)
    labels = torch.tensor([0, 0, 1, 2])
    assert [len(part) for part in semi_hard(distances, labels, 0.5)] == [0, 0, 0]
    assert [part.tolist() for part in semi_hard(distances, labels, 0.75)] == [[0], [1], [3]]


@pytest.mark.parametrize("margin", [0.2, 0.7])
def test_the_loss_is_what_the_paper_says(margin: float) -> None:
    embeddings, labels = batch(1)
    criterion = build_criterion("triplet", classes=3, dim=4, margin=margin, seed=0)
    assert isinstance(criterion, Triplets)
    assert not list(criterion.parameters())
    x, y = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    found, expected = criterion(x, labels), losses.triplet_loss(y, labels, margin)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=0)
    mine, slow = torch.autograd.grad(found, x)[0], torch.autograd.grad(expected, y)[0]
    torch.testing.assert_close(mine, slow, rtol=1e-9, atol=1e-12)
    assert torch.autograd.gradcheck(lambda x: criterion(x, labels), (x,))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_triplets_agree_with_a_known_library(dtype: torch.dtype) -> None:
    known_losses = pytest.importorskip("pytorch_metric_learning.losses")
    miners = pytest.importorskip("pytorch_metric_learning.miners")
    distances = pytest.importorskip("pytorch_metric_learning.distances")
    distance = distances.LpDistance(normalize_embeddings=True, p=2, power=2)
    miner = miners.TripletMarginMiner(0.2, type_of_triplets="semihard", distance=distance)
    known = known_losses.TripletMarginLoss(margin=0.2, distance=distance)
    for seed in range(5):
        embeddings, labels = batch(seed)
        embeddings = embeddings.to(dtype)
        theirs = torch.stack(miner(embeddings, labels), dim=1).tolist()  # all that are semi-hard
        between = squared_distances(embeddings)
        closest = {
            (a, p): min((between[a, n], n) for i, j, n in theirs if (i, j) == (a, p))[1]
            for a, p, _ in theirs
        }
        mine = semi_hard(between, labels, 0.2)
        assert {(int(a), int(p)): int(n) for a, p, n in zip(*mine, strict=True)} == closest

        x, y = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
        expected = known(x, labels, mine)
        found = triplet_loss(torch.nn.functional.normalize(y), labels, 0.2)
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        gradients = torch.autograd.grad(found, y)[0], torch.autograd.grad(expected, x)[0]
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-5)


def test_without_a_semi_hard_negative_nothing_moves() -> None:
    embeddings = torch.eye(2).repeat_interleave(2, dim=0).requires_grad_()  # all told apart
    loss = build_criterion("triplet", classes=2, dim=2, seed=0)(
        embeddings, torch.tensor([0, 0, 1, 1])
    )
    loss.backward()
    assert loss.item() == 0
    assert embeddings.grad is not None
    assert not embeddings.grad.any()


@pytest.mark.parametrize(
    ("labels", "found"),
    [([0, 1, 2, 3], "no two of one class"), ([5, 5, 5, 5], "all of one class")],
)
def test_a_batch_without_pairs_or_negatives_is_named(labels: list[int], found: str) -> None:
    criterion = build_criterion("triplet", classes=6, dim=3, seed=0)
    with pytest.raises(UserError, match=f"the 4 images of a batch are {found}; triplets need"):
        criterion(torch.randn(4, 3), torch.tensor(labels))
