"""MobileFaceNet: a million parameters, for CPUs.

Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile
Devices", CCBR 2018, Table 1: the bottlenecks of MobileNetV2 with PReLU, and at the end a depthwise
convolution over all of the 7 × 7 map, which weighs each place by itself, where others average.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Table 1: expansion, channels, repetitions, stride of the first
BOTTLENECKS = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
_STEM = 64
_LAST = 512


class Bottleneck(nn.Module):  # type: ignore[misc]
    """1×1 up, 3×3 depthwise, 1×1 down without PReLU; the input is added where shapes agree.

    Parameters
    ----------
    entering, leaving
        Channels.
    expansion
        Channels between, as a multiple of those that enter.
    stride
        1 or 2.
    """

    def __init__(self, entering: int, leaving: int, expansion: int, stride: int) -> None:
        super().__init__()
        between = entering * expansion
        self.expand = _conv(entering, between, 1)
        self.depthwise = _conv(between, between, 3, stride=stride, groups=between)
        self.project = _linear(between, leaving, 1)
        self.adds = stride == 1 and entering == leaving

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, entering, H, W) to (B, leaving, H / stride, W / stride)."""
        y = self.project(self.depthwise(self.expand(x)))
        return x + y if self.adds else y


class MobileFaceNet(nn.Module):  # type: ignore[misc]
    """The network.

    Convolutions start after He et al. (ICCV 2015: normal, variance 2 / fan-in), batch norm as
    the identity, PReLU's slopes as 0.25, the fully connected layer as PyTorch's default.

    Parameters
    ----------
    dim
        D, of the embeddings; 128 in the paper.
    dropout
        Before the fully connected layer; the paper has none.
    """

    def __init__(self, dim: int, dropout: float) -> None:
        super().__init__()
        blocks = []
        entering = _STEM
        for expansion, leaving, repetitions, stride in BOTTLENECKS:
            for number in range(repetitions):
                blocks.append(Bottleneck(entering, leaving, expansion, 1 if number else stride))
                entering = leaving
        self.stem = nn.Sequential(
            _conv(3, _STEM, 3, stride=2), _conv(_STEM, _STEM, 3, groups=_STEM)
        )
        self.blocks = nn.Sequential(*blocks)
        self.last = _conv(entering, _LAST, 1)
        self.pool = _linear(_LAST, _LAST, 7, groups=_LAST)
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(_LAST, dim, bias=False)
        self.features = nn.BatchNorm1d(dim)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Embed (B, 3, 112, 112) images as (B, D) vectors, not normalised."""
        x = self.stem(x)  # (B, 64, 56, 56)
        x = self.blocks(x)  # (B, 128, 7, 7)
        x = self.pool(self.last(x))  # (B, 512, 1, 1)
        x = torch.flatten(self.dropout(x), 1)  # (B, 512)
        return self.features(self.fc(x))  # (B, D)


def _linear(
    entering: int, leaving: int, size: int, *, stride: int = 1, padding: int = 0, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(entering, leaving, size, stride, padding, groups=groups, bias=False),
        nn.BatchNorm2d(leaving),
    )


def _conv(
    entering: int, leaving: int, size: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    linear = _linear(entering, leaving, size, stride=stride, padding=size // 2, groups=groups)
    return linear.append(nn.PReLU(leaving))
