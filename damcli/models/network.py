"""What every model that turns images into embeddings has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Layout = Literal["NCHW", "NHWC"]
Device = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class InputSpec:
    """What a model's file says of its image input; None where it leaves that open.

    Attributes
    ----------
    name
        Of the input.
    layout
        ``NCHW`` or ``NHWC``.
    channels, height, width
        Of the images.
    batch
        The one batch size that it takes.
    dtype
        Of its numbers, in numpy's words; ``uint8`` means that it takes plain pixels.
    preprocessing
        The preprocessing that the file states for its images, as
        `damcli.models.preprocessing.Preprocessing.as_json` writes it.
    """

    name: str
    layout: Layout | None = None
    channels: int | None = None
    height: int | None = None
    width: int | None = None
    batch: int | None = None
    dtype: str = "float32"
    preprocessing: str | None = None


class Network(Protocol):
    """A model, loaded on its device."""

    @property
    def name(self) -> str:
        """The name of the model's file, without its folder."""
        ...

    @property
    def digest(self) -> str:
        """SHA-256 of the model's file; of the files beside it too, where it needs them."""
        ...

    @property
    def runtime(self) -> str:
        """What runs it, and where: ``onnxruntime 1.32.0, CPU``."""
        ...

    @property
    def input(self) -> InputSpec: ...  # noqa: D102
    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know about how the file was loaded."""
        ...

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed a batch.

        Parameters
        ----------
        batch
            (B, C, H, W) or (B, H, W, C) float32, as `input` says, B >= 1. A model of one
            fixed batch size is fed that many at a time, the last ones filled up.

        Returns
        -------
        ndarray
            (B, D) float32, not normalised; row i does not depend on the other images.

        Raises
        ------
        InputError
            The images are not of the shape that the model takes, or its output is not
            one vector an image.
        """
        ...
