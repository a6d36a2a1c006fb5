"""The networks that ``damcli train`` trains: aligned faces in, embeddings out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from damcli.errors import MissingExtra, UserError
from damcli.models.contract import Preprocessing

if TYPE_CHECKING:
    import torch

BACKBONES: tuple[str, ...] = ("mobile", "r18", "r34", "r50", "r100")
_HALF = (127.5, 127.5, 127.5)
PREPROCESSING = Preprocessing((112, 112), "rgb", _HALF, _HALF)
"""What all of them are fed."""


def build_backbone(name: str, *, dim: int = 512, dropout: float = 0.0) -> torch.nn.Module:
    """Make a backbone with fresh weights, drawn from torch's global generator.

    It takes (B, 3, 112, 112) float32 images as `PREPROCESSING` gives them, with values from
    -1 to 1, in any memory format, and gives (B, dim) embeddings that are not normalised. Its
    head is batch norm, dropout, a fully connected layer and batch norm, so in training a batch
    needs two images or more.

    Parameters
    ----------
    name
        One of `BACKBONES`: ``mobile`` is MobileFaceNet, the others are ResNets of IR blocks.
    dim
        D, the dimension of the embeddings, >= 1.
    dropout
        The share of the head's inputs that training zeroes, >= 0 and < 1.

    Raises
    ------
    UserError
        There is no such backbone, or a number is out of its range.
    MissingExtra
        PyTorch is not installed.
    """
    if name not in BACKBONES:
        raise UserError(f"backbone '{name}'; expected one of {', '.join(BACKBONES)}")
    if dim < 1:
        raise UserError(f"dimension {dim}; expected 1 or more")
    if not 0 <= dropout < 1:
        raise UserError(f"dropout {dropout:g}; expected a share from 0 to below 1")
    try:
        from damcli.models.backbones.iresnet import DEPTHS, IResNet
        from damcli.models.backbones.mobile import MobileFaceNet
    except ImportError as error:
        raise MissingExtra(f"the backbone {name}", "torch") from error
    if name == "mobile":
        return MobileFaceNet(dim, dropout)
    return IResNet(DEPTHS[name], dim, dropout)
