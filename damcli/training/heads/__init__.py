"""The losses that a recogniser is trained with, by name; PyTorch waits until one is built."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from damcli.errors import UserError

if TYPE_CHECKING:
    from damcli.training.heads.head import Head

HEADS = ("normface", "cosface", "arcface", "curricularface", "triplet")


class Numbers(NamedTuple):
    """What a head is used with; None where it has no such number."""

    scale: float | None
    """Of the logits, s in the papers."""
    margin: float | None
    """Radians for arcface and curricularface, cosine for cosface, squared distance for triplet."""


# As in the papers. NormFace may learn its scale; here it is fixed, at that of the other heads.
DEFAULTS = {
    "normface": Numbers(64.0, None),
    "cosface": Numbers(64.0, 0.35),
    "arcface": Numbers(64.0, 0.5),
    "curricularface": Numbers(64.0, 0.5),
    "triplet": Numbers(None, 0.2),
}
# Beyond a quarter turn, cos(θ + m) and what continues it past π would no longer fall with θ. Unit
# vectors are at most 2 apart in cosine, and 4 in squared distance.
_LARGEST = {"cosface": 2.0, "arcface": math.pi / 2, "curricularface": math.pi / 2, "triplet": 4.0}


def numbers_of(head: str, scale: float | None = None, margin: float | None = None) -> Numbers:
    """Fill in the defaults of a head and check what was asked for.

    Parameters
    ----------
    head
        One of `HEADS`.
    scale
        Larger than 0; None for the paper's.
    margin
        From 0 to π/2 radians for arcface and curricularface, to 2 for cosface; larger than 0 and
        at most 4 for triplet; None for the paper's.

    Returns
    -------
    Numbers
        What the head will use.

    Raises
    ------
    UserError
        There is no such head, it has no such number, or the number is out of range.
    """
    if head not in HEADS:
        raise UserError(f"there is no head '{head}'; expected one of {', '.join(HEADS)}")
    default = DEFAULTS[head]
    for name, value, usual in (("scale", scale, default.scale), ("margin", margin, default.margin)):
        if value is not None and usual is None:
            raise UserError(
                f"{name} is {value:g}, and {head} has none; expected none",
                hint=f"leave the {name} out, or choose another head",
            )
    if scale is not None and not 0 < scale < math.inf:
        raise UserError(f"scale is {scale:g}; expected a number larger than 0")
    if margin is not None:
        largest = _LARGEST[head]
        if not 0 <= margin <= largest or (head == "triplet" and margin == 0):
            above = "above 0 and at most" if head == "triplet" else "from 0 to"
            raise UserError(
                f"margin is {margin:g}; expected {above} {largest:.4g} for {head}",
                hint=f"{default.margin:g} is the paper's",
            )
    return Numbers(
        default.scale if scale is None else scale, default.margin if margin is None else margin
    )


def build_head(name: str, *, scale: float | None = None, margin: float | None = None) -> Head:
    """Make the part of a margin softmax that turns cosines into logits.

    Parameters
    ----------
    name
        One of `HEADS` but ``triplet``, which has no logits.
    scale, margin
        See `numbers_of`.

    Raises
    ------
    UserError
        See `numbers_of`.
    """
    from damcli.training.heads.arcface import ArcFace
    from damcli.training.heads.cosface import CosFace
    from damcli.training.heads.curricularface import CurricularFace
    from damcli.training.heads.normface import NormFace

    s, m = numbers_of(name, scale, margin)
    if s is None:
        raise UserError(f"{name} has no logits; expected a head of a softmax")
    if m is None:
        return NormFace(s)
    kinds = {"cosface": CosFace, "arcface": ArcFace, "curricularface": CurricularFace}
    return kinds[name](s, m)
