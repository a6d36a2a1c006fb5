"""NormFace (Wang et al., 2017, arXiv 1704.06369)."""

from __future__ import annotations

from torch import Tensor

from damcli.training.heads.head import Head


class NormFace(Head):
    """``s·cos θ_j``: a softmax over cosines, without a margin (Sec. 3 of the paper).

    The paper learns s or fixes it. Here it is fixed, so that the weight decay of the other
    parameters cannot pull at it, and no rank can hold another value.
    """

    def forward(self, cosine: Tensor, target: Tensor, own: Tensor) -> Tensor:
        """Return the logits, see `Head.forward`."""
        return self.scale * cosine
