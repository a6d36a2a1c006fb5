"""CurricularFace (Huang et al., CVPR 2020, arXiv 2004.00288)."""

from __future__ import annotations

import torch
from torch import Tensor

from damcli.training.heads.arcface import add_angle
from damcli.training.heads.head import Head, own_of, with_own

# The paper's momentum of 0.99, in the sense of the authors' code: t keeps 0.99 of itself.
_MOMENTUM = 0.99


class CurricularFace(Head):
    """ArcFace for the own class; the classes that are too close weigh more as training goes on.

    Own class (T in Sec. 3.2 of the paper): ``s·cos(θ_y + m)``. Another class j (N there):
    ``s·cos θ_j`` where ``cos θ_j ≤ T``, else ``s·cos θ_j·(t + cos θ_j)``. t is a moving average
    of the mean ``cos θ_y`` of a global batch, from 0; while training, each call moves it and then
    uses it, so that with accumulated gradients each micro-batch moves it.

    Parameters
    ----------
    scale
        s, larger than 0.
    margin
        m in radians, from 0 to π/2; for larger θ than π − m see `arcface.add_angle`.

    Attributes
    ----------
    t
        () float32, a buffer that `state_dict` holds; the same on every rank.
    """

    t: Tensor

    def __init__(self, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(scale)
        self.margin = margin
        self.register_buffer("t", torch.zeros(()))

    def forward(self, cosine: Tensor, target: Tensor, own: Tensor) -> Tensor:
        """Return the logits, see `Head.forward`."""
        with torch.no_grad():
            if self.training:
                self.t.lerp_(own.mean().to(self.t.dtype), 1 - _MOMENTUM)
            hard = cosine > add_angle(own, self.margin)[:, None]  # (B, C)
        turned = add_angle(own_of(cosine, target), self.margin)
        others = (cosine * (self.t + cosine)).where(hard, cosine)
        return self.scale * with_own(others, target, turned)
