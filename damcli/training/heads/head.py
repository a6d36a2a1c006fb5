"""What every head of a margin softmax shares: cosines in, logits out, classes in shards."""

from __future__ import annotations

from torch import Tensor, nn


class Head(nn.Module):  # type: ignore[misc]
    """Turns the cosines between embeddings and class centres into logits.

    The classes may lie in shards, one a rank, so that a sample's own class is in one shard only.

    Parameters
    ----------
    scale
        s, by which every cosine is multiplied; larger than 0.
    """

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, cosine: Tensor, target: Tensor, own: Tensor) -> Tensor:
        """Return the logits.

        Parameters
        ----------
        cosine
            (B, C) float: every sample of the global batch with each centre of this shard.
        target
            (B,) int64: the column of the sample's own class, -1 where it lies in another shard.
        own
            (B,) float: the cosine to the own class, whatever its shard; no gradient flows into it.

        Returns
        -------
        Tensor
            (B, C), of the dtype of `cosine`.
        """
        raise NotImplementedError


def own_of(cosine: Tensor, target: Tensor) -> Tensor:
    """Return each row's entry in its own column, (B,); where there is none, that of column 0."""
    return cosine.gather(1, target.clamp(min=0)[:, None])[:, 0]  # (B, C) -> (B,)


def with_own(cosine: Tensor, target: Tensor, own: Tensor) -> Tensor:
    """Return a copy of (B, C) with the (B,) entries of the own columns replaced, where they are."""
    column = target.clamp(min=0)[:, None]  # (B, 1)
    before = cosine.gather(1, column)
    return cosine.scatter(1, column, own[:, None].where(target[:, None] >= 0, before))
