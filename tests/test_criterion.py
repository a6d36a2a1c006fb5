from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from damcli.errors import UserError
from damcli.training.collectives import Peers, shard
from damcli.training.criterion import MarginSoftmax, build_criterion, draw_centres
from damcli.training.heads import build_head
from tests import losses

CLASSES, DIM = 50, 6
LABELS = torch.tensor([3, 49, 3, 0, 17])


def embeddings() -> Tensor:
    return torch.randn(5, DIM, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def sampling(sample: float, *, head: str = "cosface", seed: int = 0) -> MarginSoftmax:
    made = build_criterion(head, classes=CLASSES, dim=DIM, seed=seed, sample=sample)
    assert isinstance(made, MarginSoftmax)
    return made.double()


@pytest.mark.parametrize(("sample", "expected"), [(0.2, 10), (0.5, 25), (0.02, 4), (1.0, 50)])
def test_what_is_compared_with_is_the_own_classes_and_a_fraction(
    sample: float, expected: int
) -> None:
    criterion, seen = sampling(sample), list[Any]()
    criterion.head.register_forward_hook(lambda _, inputs, logits: seen.append(logits.shape))
    for step in range(20):
        criterion.next_step(step)
        kept = criterion.kept(LABELS).tolist()
        assert kept == sorted(set(kept))
        assert {0, 3, 17, 49} <= set(kept)
        criterion(embeddings(), LABELS)
        assert seen[-1] == (5, expected)  # nothing larger is ever made


def test_a_sampled_loss_is_the_whole_loss_of_what_was_kept() -> None:
    criterion = sampling(0.3, head="arcface")
    criterion.next_step(7)
    kept, x = criterion.kept(LABELS), embeddings().requires_grad_()
    found = torch.autograd.grad(loss := criterion(x, LABELS), (x, criterion.centres))
    centres = criterion.centres.detach().requires_grad_()
    columns = torch.tensor([kept.tolist().index(label) for label in LABELS.tolist()])
    slow = losses.softmax_loss("arcface", x, centres[kept], columns, m=0.5)
    torch.testing.assert_close(loss, slow, rtol=1e-9, atol=1e-12)
    for mine, expected in zip(found, torch.autograd.grad(slow, (x, centres)), strict=True):
        torch.testing.assert_close(mine, expected, rtol=1e-9, atol=1e-9)
    left_out = torch.ones(CLASSES, dtype=torch.bool)
    left_out[kept] = False
    assert not found[1][left_out].any()


def test_every_other_class_is_drawn_equally_often() -> None:
    criterion, counts = sampling(0.3), torch.zeros(CLASSES)
    for step in range(2000):
        criterion.next_step(step)
        counts[criterion.kept(LABELS)] += 1
    others = np.delete(counts.numpy(), LABELS.unique().numpy())
    share = (15 - 4) / 46
    assert others.sum() == 2000 * 11
    assert np.abs(others - 2000 * share).max() < 5 * np.sqrt(2000 * share * (1 - share))


def test_what_is_drawn_depends_on_the_seed_and_the_step_alone() -> None:
    one, other = sampling(0.3), sampling(0.3)
    for step in range(5):
        one.next_step(step)
        one(embeddings(), LABELS)
    first = one.kept(LABELS).tolist()
    other.next_step(4)
    assert other.kept(LABELS).tolist() == first
    other.next_step(5)
    assert other.kept(LABELS).tolist() != first
    another = sampling(0.3, seed=1)
    another.next_step(4)
    assert another.kept(LABELS).tolist() != first


def test_ranks_draw_apart() -> None:
    nobody, kept = torch.tensor([], dtype=torch.int64), list[Any]()
    for rank in range(2):
        peers = Peers(rank, 2, None)
        centres = draw_centres(shard(40, peers), DIM, seed=0)
        head = build_head("cosface")
        one = MarginSoftmax(head, centres, classes=40, seed=0, sample=0.5, peers=peers)
        kept.append(one.kept(nobody).tolist())
    assert [len(rows) for rows in kept] == [10, 10]
    assert kept[0] != kept[1]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shards_are_cut_as_numpy_cuts(size: int) -> None:
    for rank, block in enumerate(np.array_split(np.arange(7), size)):
        assert list(shard(7, Peers(rank, size, None))) == block.tolist()


def test_the_first_centres_of_a_class_are_the_same_in_every_shard() -> None:
    whole = draw_centres(range(2500), 3, seed=5)
    assert whole.shape == (2500, 3)
    assert whole.dtype == torch.float32
    assert whole.std().item() == pytest.approx(0.01, rel=0.05)
    assert len(whole.unique(dim=0)) == 2500
    for block in (range(0, 7), range(1000, 1030), range(1024, 2048), range(900, 2500)):
        assert torch.equal(draw_centres(block, 3, seed=5), whole[block.start : block.stop])
    assert not torch.equal(draw_centres(range(7), 3, seed=6), whole[:7])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample": 0.0}, "sample is 0; expected a fraction above 0 and at most 1"),
        ({"sample": 1.5}, "sample is 1.5; expected a fraction above 0 and at most 1"),
        ({"head": "triplet", "sample": 0.5}, "sample is 0.5, and triplets have no centres"),
        ({"margin": 3.0}, "margin is 3; expected from 0 to 1.571 for arcface"),
    ],
)
def test_what_cannot_be_built_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        build_criterion(**{"head": "arcface", "classes": 5, "dim": 3, "seed": 0} | options)
    assert message in str(raised.value)
