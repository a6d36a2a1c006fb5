"""The softmax cross entropy of logits whose classes lie in shards, one a rank."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from damcli.training.collectives import Peers, added, largest


def cross_entropy(logits: Tensor, target: Tensor, peers: Peers) -> Tensor:
    """Return the mean of ``log Σ_j exp z_j − z_y`` over a batch.

    Only three numbers a sample travel: the largest logit, the sum of the exponentials and the
    logit of the own class.

    Parameters
    ----------
    logits
        (B, C) float, z: every sample of the global batch with the classes of this rank's shard.
    target
        (B,) int64: the column of the sample's own class, -1 where it lies in another shard.
    peers
        Who holds the other shards.

    Returns
    -------
    Tensor
        Scalar, the same on every rank. Backwards, each rank gets the gradient of its own logits,
        provided that all ranks scale the loss alike.
    """
    return _CrossEntropy.apply(logits, target, peers)


class _CrossEntropy(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, logits: Tensor, target: Tensor, peers: Peers) -> Tensor:
        here, column = (target >= 0)[:, None], target.clamp(min=0)[:, None]  # (B, 1) each
        highest = largest(logits.amax(1, keepdim=True), peers)  # (B, 1)
        own = added(logits.gather(1, column).where(here, 0.0), peers)  # (B, 1)
        shares = (logits - highest).exp_()  # (B, C)
        total = added(shares.sum(1, keepdim=True), peers)  # (B, 1)
        ctx.save_for_backward(shares.div_(total), here, column)
        return (total.log() + highest - own).mean()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        shares, here, column = ctx.saved_tensors
        each = gradient / len(shares)
        logits = shares * each
        return logits.scatter_add_(1, column, -each * here.to(shares.dtype)), None, None
