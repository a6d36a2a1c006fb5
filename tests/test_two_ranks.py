from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.multiprocessing

from tests import losses
from tests.two_ranks import CASES, ROWS, backbone_gradient, build, embeddings, measured, run

WHOLE = [name for name, case in CASES.items() if case.sample == 1]
SOFTMAX = [name for name, case in CASES.items() if case.head != "triplet"]


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("ranks")
    torch.multiprocessing.spawn(run, (str(folder),), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def joined(both: list[dict[str, Any]], case: str, name: str) -> torch.Tensor:
    return torch.cat([rank[case][name] for rank in both])


@pytest.mark.parametrize("case", WHOLE)
def test_two_processes_get_what_one_gets(both: list[dict[str, Any]], case: str) -> None:
    one = measured(CASES[case])
    exact = {"rtol": 1e-6, "atol": 1e-12}
    for rank in both:
        torch.testing.assert_close(rank[case]["loss"], one["loss"], **exact)
    torch.testing.assert_close(joined(both, case, "embeddings"), one["embeddings"], **exact)
    assert one["embeddings"].abs().sum() > 1e-3
    if "centres" in one:
        torch.testing.assert_close(joined(both, case, "centres"), one["centres"], **exact)
        assert one["centres"].abs().sum() > 1e-3


@pytest.mark.parametrize("case", SOFTMAX)
def test_no_rank_holds_the_logits_of_all_classes(both: list[dict[str, Any]], case: str) -> None:
    first, last = -(-CASES[case].classes // 2), CASES[case].classes // 2
    for rank, block in zip(both, (first, last), strict=True):
        assert rank[case]["state"]["centres"].shape == (block, 5)
        assert rank[case]["shape"] == (ROWS, len(rank[case]["kept"]))
    states = torch.cat([rank[case]["state"]["centres"] for rank in both])
    assert torch.equal(states, build(CASES[case]).centres)


@pytest.mark.parametrize("case", ["curricularface", "all labels in the last shard"])
def test_the_moving_average_is_the_same_on_every_rank(
    both: list[dict[str, Any]], case: str
) -> None:
    first, last = (rank[case]["state"]["head.t"] for rank in both)
    assert torch.equal(first, last)
    torch.testing.assert_close(first, measured(CASES[case])["state"]["head.t"])
    assert first != 0


def test_sampled_shards_make_the_softmax_of_all_that_was_kept(both: list[dict[str, Any]]) -> None:
    case, kept = CASES["sampled"], joined(both, "sampled", "kept")
    assert [len(rank["sampled"]["kept"]) for rank in both] == [5, 4]  # 5 own classes of 21, 20 / 5
    assert set(case.labels) <= set(kept.tolist())
    x, centres = embeddings().requires_grad_(), build(case).centres.detach().requires_grad_()
    columns = torch.tensor([kept.tolist().index(label) for label in case.labels])
    loss = losses.softmax_loss("arcface", x, centres[kept], columns, m=0.5)
    (loss / 4).backward()
    for rank in both:
        torch.testing.assert_close(rank["sampled"]["loss"], loss.detach(), rtol=1e-6, atol=0)
    exact = {"rtol": 1e-6, "atol": 1e-9}
    torch.testing.assert_close(joined(both, "sampled", "embeddings"), x.grad, **exact)
    torch.testing.assert_close(joined(both, "sampled", "centres"), centres.grad, **exact)


def test_a_backbone_in_parallel_learns_what_one_alone_learns(both: list[dict[str, Any]]) -> None:
    for rank in both:
        torch.testing.assert_close(rank["backbone"], backbone_gradient(), rtol=1e-6, atol=1e-12)


def test_all_ranks_refuse_alike(both: list[dict[str, Any]]) -> None:
    for rank in both:
        triplets, classes = rank["refused"]
        assert triplets.startswith(f"the {ROWS} images of a batch are all of one class")
        assert classes == "classes are 1, processes 2; expected a class for each at least"
