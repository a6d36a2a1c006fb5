"""ArcFace (Deng et al., CVPR 2019, arXiv 1801.07698)."""

from __future__ import annotations

import math

from torch import Tensor

from damcli.training.heads.head import Head, own_of, with_own

# Below it the sine counts as its root, or else its gradient grows without bound at θ = 0 and π.
_LEAST_SQUARED_SINE = 1e-7


def add_angle(cosine: Tensor, margin: float) -> Tensor:
    """Return ``cos(θ + m)`` for ``cos θ``, continued so that it falls with θ from 0 to π.

    ``cos θ·cos m − sin θ·sin m`` up to ``θ + m = π``, which is −1; from there on
    ``cos θ − m·sin m``, as the authors' code has it, which is −1 or less because
    ``cos m + m·sin m ≥ 1`` for every m from 0 to π/2. No acos, whose gradient is infinite at ±1.

    Parameters
    ----------
    cosine
        Any shape, from −1 to 1 but for rounding.
    margin
        m in radians, from 0 to π/2.
    """
    sine = ((1 - cosine) * (1 + cosine)).clamp(min=_LEAST_SQUARED_SINE).sqrt()
    turned = cosine * math.cos(margin) - sine * math.sin(margin)
    beyond = cosine - margin * math.sin(margin)
    return turned.where(cosine > math.cos(math.pi - margin), beyond)


class ArcFace(Head):
    """``s·cos(θ_y + m)`` for the own class, ``s·cos θ_j`` for the others (Eq. 3 of the paper).

    Parameters
    ----------
    scale
        s, larger than 0.
    margin
        m in radians, from 0 to π/2; for larger θ than π − m see `add_angle`.
    """

    def __init__(self, scale: float = 64.0, margin: float = 0.5) -> None:
        super().__init__(scale)
        self.margin = margin

    def forward(self, cosine: Tensor, target: Tensor, own: Tensor) -> Tensor:
        """Return the logits, see `Head.forward`."""
        turned = add_angle(own_of(cosine, target), self.margin)
        return self.scale * with_own(cosine, target, turned)
