"""ResNets for aligned faces: IR blocks behind a stem that keeps all 112 × 112 pixels.

The block is that of ArcFace (Deng et al., CVPR 2019, Sec. 3.1), improved after Han et al.,
"Deep Pyramidal Residual Networks", CVPR 2017: batch norm comes first and last, and nothing is
rectified behind the sum. Depths, widths and the names of the weights are those of
insightface's iresnet, so that its checkpoints fit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

DEPTHS = {"r18": (2, 2, 2, 2), "r34": (3, 4, 6, 3), "r50": (3, 4, 14, 3), "r100": (3, 13, 30, 3)}
WIDTHS = (64, 128, 256, 512)
_LAST = 7  # pixels a side, when four stages have halved 112


class IRBlock(nn.Module):  # type: ignore[misc]
    """BN, 3×3, BN, PReLU, 3×3 with the stride, BN; and the input beside it.

    Parameters
    ----------
    entering, leaving
        Channels.
    stride
        1 or 2. Where the shape changes, a 1×1 convolution and batch norm carry the input over.
    """

    def __init__(self, entering: int, leaving: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(entering)
        self.conv1 = _conv(entering, leaving)
        self.bn2 = nn.BatchNorm2d(leaving)
        self.prelu = nn.PReLU(leaving)
        self.conv2 = _conv(leaving, leaving, stride)
        self.bn3 = nn.BatchNorm2d(leaving)
        self.downsample = None
        if stride > 1 or entering != leaving:
            self.downsample = nn.Sequential(
                nn.Conv2d(entering, leaving, 1, stride, bias=False), nn.BatchNorm2d(leaving)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, entering, H, W) to (B, leaving, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(x)) + shortcut


class IResNet(nn.Module):  # type: ignore[misc]
    """The network.

    As insightface starts it: convolutions are normal with a deviation of 0.1, batch norm is the
    identity, PReLU's slopes are 0.25, the fully connected layer is PyTorch's default, and the
    scale of the last batch norm stays 1, so that all dimensions weigh alike.

    Parameters
    ----------
    depths
        Blocks in each of the four stages.
    dim
        D, of the embeddings.
    dropout
        Before the fully connected layer.
    """

    def __init__(self, depths: tuple[int, int, int, int], dim: int, dropout: float) -> None:
        super().__init__()
        self.conv1 = _conv(3, WIDTHS[0])
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        self.layer1 = _stage(WIDTHS[0], WIDTHS[0], depths[0])
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], depths[1])
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], depths[2])
        self.layer4 = _stage(WIDTHS[2], WIDTHS[3], depths[3])
        self.bn2 = nn.BatchNorm2d(WIDTHS[3])
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(WIDTHS[3] * _LAST * _LAST, dim)
        self.features = nn.BatchNorm1d(dim)
        self.features.weight.requires_grad = False
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (B, 3, 112, 112) images as (B, D) vectors, not normalised."""
        x = self.prelu(self.bn1(self.conv1(x)))  # (B, 64, 112, 112)
        x = self.layer1(x)  # (B, 64, 56, 56)
        x = self.layer2(x)  # (B, 128, 28, 28)
        x = self.layer3(x)  # (B, 256, 14, 14)
        x = self.layer4(x)  # (B, 512, 7, 7)
        x = torch.flatten(self.dropout(self.bn2(x)), 1)  # (B, 25088)
        return self.features(self.fc(x))  # (B, D)


def _conv(entering: int, leaving: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(entering, leaving, 3, stride, padding=1, bias=False)


def _stage(entering: int, leaving: int, depth: int) -> nn.Sequential:
    """Chain blocks, of which the first halves the sides."""
    rest = (IRBlock(leaving, leaving, 1) for _ in range(depth - 1))
    return nn.Sequential(IRBlock(entering, leaving, 2), *rest)
