"""From a decoded image to what a model looks at: the crop of a face, of the model's size."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from damcli.sources.source import Image


class Framed(NamedTuple):
    """The crop of one image."""

    image: Image
    landmarks: NDArray[np.float32] | None = None
    """(5, 2), x and y in pixels of the whole image, where they were detected here."""
    faces: int | None = None
    """How many faces were detected, where that was looked for."""


class Framing(Protocol):
    """Cuts every image to one size."""

    size: tuple[int, int]
    """Height and width of the crop."""

    def describe(self) -> str:
        """Say in a few words how it cuts, for the record."""
        ...

    def frame(self, sample_id: str, place: str, image: Image) -> Framed:
        """Cut one image; called from several threads.

        Parameters
        ----------
        sample_id
            The id of the image.
        place
            Where it lies, for messages.
        image
            (H, W, 3) uint8, RGB.

        Returns
        -------
        Framed
            Its image is (height, width, 3) uint8, RGB.

        Raises
        ------
        InputError
            This image cannot be cut, say for want of a face or of its landmarks.
        """
        ...
