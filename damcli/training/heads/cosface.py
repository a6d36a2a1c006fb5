"""CosFace (Wang et al., CVPR 2018, arXiv 1801.09414)."""

from __future__ import annotations

from torch import Tensor

from damcli.training.heads.head import Head, own_of, with_own


class CosFace(Head):
    """``s·(cos θ_y − m)`` for the own class, ``s·cos θ_j`` for the others (Eq. 4 of the paper).

    Parameters
    ----------
    scale
        s, larger than 0.
    margin
        m, a difference of cosines, 0 or more.
    """

    def __init__(self, scale: float = 64.0, margin: float = 0.35) -> None:
        super().__init__(scale)
        self.margin = margin

    def forward(self, cosine: Tensor, target: Tensor, own: Tensor) -> Tensor:
        """Return the logits, see `Head.forward`."""
        return self.scale * with_own(cosine, target, own_of(cosine, target) - self.margin)
