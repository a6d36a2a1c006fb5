"""Two processes of one training run, to be compared with one; run by test_train_ranks."""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

import torch
import torch.distributed as dist

from damcli.embedding.ranks import Ranks, leave
from damcli.training.loop import Diverged, Stopped
from tests.training import Run, options, small_backbone

# Batch norm, dropout and augmentation see the same parts as one process that accumulates two.
CHOSEN = options(clip=1.0, save_every=5)
CASES = {
    "plain": CHOSEN,
    "accumulated": options(accumulate=2, batch=16),
    "sampled": options(sample=0.4),
    "triplet": options(head="triplet", scale=None, per_class=2),
    "half": options(precision="fp16", steps=7),
}


def main(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder / 'store'}", rank=rank, world_size=2)
    ranks, data = Ranks(rank, 2), folder / "people"
    for name, chosen in CASES.items():
        Run(folder / name, data, chosen, ranks=ranks).go()
    overflowing = Run(folder / "overflow", data, options(precision="fp16"), ranks=ranks)
    overflowing.learner.criterion.centres.register_hook(
        lambda gradient: gradient * (torch.inf if rank and overflowing.progress.step == 7 else 1)
    )
    overflowing.go()
    spoiled = Run(folder / "spoiled", data, options(), ranks=ranks)
    update = spoiled.learner.update

    def spoil(lr: float) -> None:
        update(lr)
        if rank and spoiled.progress.step == 3:
            spoiled.learner.criterion.centres.data[0] = torch.nan

    spoiled.learner.update = spoil  # type: ignore[method-assign]
    try:
        spoiled.go()
    except Diverged as found:
        (folder / f"diverged-{rank}").write_text(str(found))
    # Only the second hears that it shall stop.
    stopped = Run(folder / "resumed", data, CHOSEN, ranks=ranks, stop_at=3 if rank else None)
    try:
        stopped.go()
    except Stopped:
        Run(folder / "resumed", data, CHOSEN, ranks=ranks).go()


if __name__ == "__main__":
    with patch("damcli.training.learner.build_backbone", small_backbone):
        main(int(sys.argv[1]), Path(sys.argv[2]))
    leave()
