"""Pixels to numbers: the contract between images and a model, stated, recorded, compared."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from damcli.models.network import Layout

Color = Literal["rgb", "bgr"]
Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Preprocessing:
    """``(pixel - mean) / std`` on channels in the order of ``color``.

    Attributes
    ----------
    size
        Height and width of the image.
    color
        The order of the channels that the model was trained with; ``mean`` and ``std``
        are in this order too.
    mean, std
        On pixels from 0 to 255.
    layout
        Where the channels stand.
    """

    size: tuple[int, int]
    color: Color
    mean: Triple
    std: Triple
    layout: Layout = "NCHW"

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn (B, H, W, 3) uint8 RGB images into what the model takes, float32."""
        pixels = images[..., ::-1] if self.color == "bgr" else images
        mean, std = (np.array(values, dtype=np.float32) for values in (self.mean, self.std))
        scaled = (pixels - mean) / std
        if self.layout == "NCHW":
            scaled = scaled.transpose(0, 3, 1, 2)
        return np.ascontiguousarray(scaled, dtype=np.float32)

    def as_json(self) -> str:
        """Write it down, for the attributes of an embeddings file or a model's metadata."""
        return json.dumps(asdict(self))
