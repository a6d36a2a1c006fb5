"""What two processes compute of a batch, to be compared with what one computes of it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn

from damcli.errors import UserError
from damcli.training.collectives import undo_averaging
from damcli.training.criterion import MarginSoftmax, build_criterion

DIM, ROWS = 5, 8


class Case(NamedTuple):
    head: str
    classes: int = 7  # over two ranks: 4 and 3
    labels: tuple[int, ...] = (0, 6, 3, 4, 2, 6, 5, 1)
    sample: float = 1.0


CASES = {
    "normface": Case("normface"),
    "cosface": Case("cosface"),
    "arcface": Case("arcface"),
    "curricularface": Case("curricularface"),
    "all labels in the first shard": Case("arcface", labels=(0, 1, 2, 3, 3, 2, 1, 0)),
    "all labels in the last shard": Case("curricularface", labels=(6, 4, 5, 4, 6, 6, 6, 6)),
    "one class a rank": Case("cosface", classes=2, labels=(0, 1, 1, 0, 0, 0, 1, 0)),
    "sampled": Case("arcface", classes=41, labels=(0, 40, 3, 20, 21, 3, 5, 1), sample=0.2),
    "triplet": Case("triplet", classes=3, labels=(0, 1, 2, 0, 1, 2, 0, 1)),
}


def embeddings(rows: slice = slice(None)) -> Tensor:
    rng = torch.Generator().manual_seed(2)
    return (1 + torch.randn(ROWS, DIM, generator=rng, dtype=torch.float64))[rows]


def build(case: Case) -> Any:
    made = build_criterion(
        case.head, classes=case.classes, dim=DIM, seed=3, scale=None, sample=case.sample
    )
    made.next_step(11)
    return made.double()


def measured(case: Case, rows: slice = slice(None)) -> dict[str, Any]:
    """Return the loss and gradients of the second of two calls on some rows of the batch."""
    criterion = build(case)
    labels, x = torch.tensor(case.labels), embeddings(rows).requires_grad_()
    shapes = list[Any]()
    if isinstance(criterion, MarginSoftmax):
        criterion.head.register_forward_hook(lambda _, __, logits: shapes.append(logits.shape))
    criterion(x, labels[rows])
    loss = criterion(x, labels[rows])
    (loss / 4).backward()
    result = {"loss": loss.detach(), "embeddings": x.grad, "state": criterion.state_dict()}
    if isinstance(criterion, MarginSoftmax):
        result |= {
            "centres": criterion.centres.grad,
            "kept": criterion.kept(labels) + criterion.block.start,
            "shape": tuple(shapes[-1]),
        }
    return result


def backbone_gradient(rows: slice = slice(None), *, parallel: bool = False) -> Tensor:
    """Return the gradient of a backbone of one layer under arcface."""
    case, rng = CASES["arcface"], torch.Generator().manual_seed(4)
    layer = nn.Linear(DIM, DIM, bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(DIM, DIM, generator=rng))
    backbone = nn.parallel.DistributedDataParallel(layer) if parallel else layer
    found = undo_averaging(backbone(embeddings(rows)), 2 if parallel else 1)
    build(case)(found, torch.tensor(case.labels)[rows]).backward()
    assert layer.weight.grad is not None
    return layer.weight.grad


def refusal(make: Any) -> str:
    try:
        make()
    except UserError as error:
        return str(error)
    return "nothing was refused"


def run(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    half = ROWS // 2
    rows = slice(rank * half, (rank + 1) * half)
    result: dict[str, Any] = {name: measured(case, rows) for name, case in CASES.items()}
    result["backbone"] = backbone_gradient(rows, parallel=True)
    alone = Case("triplet", labels=(1,) * ROWS)
    result["refused"] = [
        refusal(lambda: measured(alone, rows)),
        refusal(lambda: build(Case("arcface", classes=1))),
    ]
    torch.save(result, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
    # All is saved. At times PyTorch 2.13 aborts an interpreter that has talked over gloo and ends
    # ("terminate called without an active exception"), which would count as a failure.
    os._exit(0)
