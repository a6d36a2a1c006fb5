"""What the ranks of a distributed run tell each other, with gradients where they are needed."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor


class Peers(NamedTuple):
    """Which process this is, among those that train together."""

    rank: int
    """From 0."""
    size: int
    group: Any
    """The process group; None for the default one, or where there is one process only."""


def peers_of(group: Any = None) -> Peers:
    """Say which process this is; the only one, unless PyTorch's process group was initialised."""
    if not (dist.is_available() and dist.is_initialized()):
        return Peers(0, 1, None)
    return Peers(dist.get_rank(group), dist.get_world_size(group), group)


def shard(count: int, peers: Peers) -> range:
    """Return this rank's contiguous block of `count` things, as numpy.array_split cuts them."""
    size, larger = divmod(count, peers.size)
    start = peers.rank * size + min(peers.rank, larger)
    return range(start, start + size + (peers.rank < larger))


def gathered(values: Tensor, peers: Peers) -> Tensor:
    """Return the values of all ranks in their order, (b, …) -> (R·b, …), without a gradient."""
    if peers.size == 1:
        return values.detach()
    parts = [torch.empty_like(values) for _ in range(peers.size)]
    dist.all_gather(parts, values.detach().contiguous(), group=peers.group)
    return torch.cat(parts)


def gathered_for_shards(values: Tensor, peers: Peers) -> Tensor:
    """Return the values of all ranks, for ranks that each compute a part of a gradient.

    Backwards, the parts are added up, and each rank gets the sum for its own rows.

    Parameters
    ----------
    values
        (b, …), of the same shape on every rank.

    Returns
    -------
    Tensor
        (R·b, …).
    """
    return values if peers.size == 1 else _Gathered.apply(values, peers, True)


def gathered_for_all(values: Tensor, peers: Peers) -> Tensor:
    """Return the values of all ranks, for ranks that each compute the same, whole gradient.

    Backwards, each rank takes the gradient of its own rows as it is.

    Parameters
    ----------
    values
        (b, …), of the same shape on every rank.

    Returns
    -------
    Tensor
        (R·b, …).
    """
    return values if peers.size == 1 else _Gathered.apply(values, peers, False)


def added(values: Tensor, peers: Peers) -> Tensor:
    """Add up over the ranks, in place and without a gradient."""
    if peers.size > 1:
        dist.all_reduce(values, dist.ReduceOp.SUM, group=peers.group)
    return values


def largest(values: Tensor, peers: Peers) -> Tensor:
    """Take the largest over the ranks, in place and without a gradient."""
    if peers.size > 1:
        dist.all_reduce(values, dist.ReduceOp.MAX, group=peers.group)
    return values


def undo_averaging(embeddings: Tensor, size: int) -> Tensor:
    """Return the embeddings, whose gradient is multiplied by the number of ranks on its way back.

    DistributedDataParallel divides the summed gradients of a backbone by that number, but the
    gradients that a criterion gives each rank are shares of one mean already. Put between the
    two, this makes the backbone's gradient that of one process with the whole batch.

    Parameters
    ----------
    embeddings
        Of any shape, as the backbone gave them.
    size
        How many ranks there are.
    """
    return embeddings if size == 1 else _Multiplied.apply(embeddings, size)


class _Gathered(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, values: Tensor, peers: Peers, add: bool) -> Tensor:
        ctx.peers, ctx.add, ctx.rows = peers, add, len(values)
        return gathered(values, peers)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        if ctx.add:
            gradient = added(gradient.clone(), ctx.peers)
        first = ctx.peers.rank * ctx.rows
        return gradient[first : first + ctx.rows], None, None


class _Multiplied(torch.autograd.Function):  # type: ignore[misc]
    @staticmethod
    def forward(ctx: Any, values: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return values.view_as(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None
