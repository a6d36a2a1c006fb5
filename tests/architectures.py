"""Networks that the tests name by --arch."""

from __future__ import annotations

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, 5)

    def embed(self, x: torch.Tensor) -> torch.Tensor:
        maps = torch.relu(self.norm(self.conv(x)))
        return self.head(self.drop(maps.mean((2, 3))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.embed(x)


class WithNorm(Net):
    """As AdaFace does: the embedding, and its norm beside it."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        embedding = self.embed(x)
        return embedding, embedding.norm(p=2, dim=1, keepdim=True)


class TwoEmbeddings(Net):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        embedding = self.embed(x)
        return {"raw": embedding, "doubled": embedding * 2}


class Maps(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x)


class TwoInputs(Net):
    def forward(self, x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        return self.embed(x) * scale


class FixedInside(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.embed(x).reshape(1, 5)


def failing() -> nn.Module:
    raise RuntimeError("no such size\nand more")


def no_module() -> int:
    return 3


CONSTANT = 7
