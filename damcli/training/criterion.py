"""From the embeddings of a batch to its loss: a margin softmax over class centres, or triplets."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from damcli.errors import UserError
from damcli.training.collectives import (
    Peers,
    added,
    gathered,
    gathered_for_all,
    gathered_for_shards,
    peers_of,
    shard,
)
from damcli.training.cross_entropy import cross_entropy
from damcli.training.heads import build_head, numbers_of
from damcli.training.heads.head import Head, own_of
from damcli.training.heads.triplet import triplet_loss

# Centres are drawn by the block, so that their values don't depend on who holds them.
_BLOCK = 1024
_SPREAD = 0.01


def build_criterion(
    head: str,
    *,
    classes: int,
    dim: int,
    scale: float | None = None,
    margin: float | None = None,
    seed: int,
    sample: float = 1.0,
    group: Any = None,
) -> MarginSoftmax | Triplets:
    """Make the module that turns embeddings and labels into a loss.

    Called as ``criterion(embeddings, labels)`` with this rank's (b, D) embeddings, of any float
    type and not normalised, and (b,) int64 labels from 0 to ``classes - 1``; b is the same on
    every rank. It returns a scalar of float32 (float64 for float64), the mean over the global
    batch of R·b, the same on every rank. What happens in it is float32 even under autocast.

    **Gradients.** With respect to this rank's embeddings, and to this rank's centres, they are
    exactly those of that global mean: nothing is left to add up or to divide for the centres,
    which must not be wrapped in DistributedDataParallel. A backbone's gradient is the *sum* over
    the ranks, and DistributedDataParallel takes the *mean*: pass its embeddings through
    `collectives.undo_averaging` first. All ranks must scale the loss alike (GradScaler,
    accumulation). With accumulation over A micro-batches, divide the loss by A.

    Parameters
    ----------
    head
        One of `heads.HEADS`.
    classes
        How many there are on all ranks together; at least one a rank.
    dim
        D.
    scale, margin
        See `heads.numbers_of`; None for the paper's.
    seed
        Of the centres' first values, and of what is sampled.
    sample
        The fraction of its centres that a rank compares with, above 0 and at most 1; see
        `MarginSoftmax`.
    group
        torch.distributed process group; None for the default one, if it was initialised.

    Returns
    -------
    MarginSoftmax or Triplets
        In a state that depends on the seed, but not on the number of ranks.

    Raises
    ------
    UserError
        A number is out of range, or the head has no such number.
    """
    numbers, peers = numbers_of(head, scale, margin), peers_of(group)
    if not 0 < sample <= 1:
        raise UserError(f"sample is {sample:g}; expected a fraction above 0 and at most 1")
    if head == "triplet":
        if sample < 1:
            raise UserError(
                f"sample is {sample:g}, and triplets have no centres; expected 1",
                hint="leave it out, or choose another head",
            )
        assert numbers.margin is not None
        return Triplets(numbers.margin, peers)
    if classes < peers.size:
        raise UserError(
            f"classes are {classes}, processes {peers.size}; expected a class for each at least",
            hint="use fewer processes",
        )
    centres = draw_centres(shard(classes, peers), dim, seed)
    made = build_head(head, scale=scale, margin=margin)
    return MarginSoftmax(made, centres, classes=classes, seed=seed, sample=sample, peers=peers)


def draw_centres(block: range, dim: int, seed: int) -> Tensor:
    """Draw the first values of some classes' centres: normal, standard deviation 0.01.

    Returns
    -------
    Tensor
        (len(block), D) float32; those of a class don't depend on the block it was asked for in.
    """
    drawn = []
    for number in range(block.start // _BLOCK, -(-block.stop // _BLOCK)):
        values = np.random.default_rng((seed, number)).normal(0, _SPREAD, (_BLOCK, dim))
        first = number * _BLOCK
        rows = slice(max(block.start - first, 0), min(block.stop - first, _BLOCK))
        drawn.append(values[rows].astype(np.float32))
    return torch.from_numpy(np.concatenate(drawn))


class MarginSoftmax(nn.Module):  # type: ignore[misc]
    """Softmax cross entropy over the cosines to class centres that lie in shards, one a rank.

    Every rank gathers the embeddings of all, compares them with its own centres and adds its part
    of the softmax; no rank ever holds a row of all classes.

    With ``sample < 1`` a rank compares with that fraction of its centres only (Partial FC, An et
    al., 2021, arXiv 2010.05222): those of the classes in the global batch, always, and others
    drawn at random from (seed, step, rank), so that a resumed run draws the same. The centres
    left out get a gradient of 0, which weight decay and momentum still move.

    Parameters
    ----------
    head
        What makes logits of cosines.
    centres
        (C_local, D) float32, the first values.
    classes
        C, on all ranks together.
    seed, sample
        See `build_criterion`.
    peers
        Which shard this is.

    Attributes
    ----------
    centres
        Parameter (C_local, D), not normalised.
    block
        The classes that these are the centres of.
    """

    def __init__(
        self,
        head: Head,
        centres: Tensor,
        *,
        classes: int,
        seed: int,
        sample: float,
        peers: Peers,
    ) -> None:
        super().__init__()
        self.head = head
        self.centres = nn.Parameter(centres)
        self.block = shard(classes, peers)
        self._seed, self._sample, self._peers = seed, sample, peers
        self._step = 0

    def next_step(self, step: int) -> None:
        """Say which step comes, on which depends what is sampled, and nothing else."""
        self._step = step

    def kept(self, labels: Tensor) -> Tensor:
        """Return which of this rank's centres the next call compares with.

        Parameters
        ----------
        labels
            (B,) int64, of the global batch.

        Returns
        -------
        Tensor
            Rows of `centres`, ascending int64.
        """
        count = len(self.block)
        wanted = max(1, round(self._sample * count))
        draws = np.random.default_rng((self._seed, self._step, self._peers.rank)).random(count)
        order = torch.from_numpy(draws).to(labels.device)  # (C_local,)
        rows = labels - self.block.start
        present = rows[(rows >= 0) & (rows < count)].unique()
        order[present] = 2.0
        return order.topk(max(wanted, len(present))).indices.sort().values

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, see `build_criterion`."""
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = gathered_for_shards(_unit(embeddings), self._peers)  # (b, D) -> (B, D)
            labels = gathered(labels, self._peers)  # (b,) -> (B,)
            column = labels - self.block.start
            column = column.where((column >= 0) & (column < len(self.block)), -1)
            centres = self.centres
            if self._sample < 1:
                kept = self.kept(labels)  # (n,)
                centres = centres[kept]  # (C_local, D) -> (n, D)
                column = torch.searchsorted(kept, column).where(column >= 0, -1)
            cosine = unit @ normalize(centres).T  # (B, D) @ (D, n) -> (B, n)
            own = own_of(cosine.detach(), column).where(column >= 0, 0.0)  # (B,)
            logits = self.head(cosine, column, added(own, self._peers))  # (B, n)
            return cross_entropy(logits, column, self._peers)


class Triplets(nn.Module):  # type: ignore[misc]
    """The triplet loss over the global batch, see `heads.triplet`; it has no centres.

    Every rank computes all of it, which is little beside a backbone.

    Parameters
    ----------
    margin
        A difference of squared distances, larger than 0.
    peers
        Whose embeddings the batch consists of.
    """

    def __init__(self, margin: float, peers: Peers) -> None:
        super().__init__()
        self._margin, self._peers = margin, peers

    def next_step(self, step: int) -> None:
        """Say which step comes; nothing in triplets depends on it."""

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """Return the loss, see `build_criterion`."""
        with torch.autocast(embeddings.device.type, enabled=False):
            unit = gathered_for_all(_unit(embeddings), self._peers)  # (b, D) -> (B, D)
            return triplet_loss(unit, gathered(labels, self._peers), self._margin)


def _unit(embeddings: Tensor) -> Tensor:
    """Normalise rows, in float32 at least: in half precision their squares would overflow."""
    wide = embeddings if embeddings.dtype == torch.float64 else embeddings.float()
    return normalize(wide)
