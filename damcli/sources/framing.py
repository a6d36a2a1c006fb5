"""From a decoded image to what a model looks at: the crop of a face, of the model's size."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from damcli.sources.source import Image

SMALLEST_SIDE = 16
"""Pixels; an image with a shorter side is odd, unless the model takes such images."""
LARGEST_STRETCH = 4
"""How much more an image may be resized along one axis than along the other."""


class Framed(NamedTuple):
    """The crop of one image."""

    image: Image
    landmarks: NDArray[np.float32] | None = None
    """(5, 2), x and y in pixels of the whole image, where they were detected here."""
    faces: int | None = None
    """How many faces were detected, where that was looked for."""
    is_odd: bool = False
    """Whether the image is so small or so stretched that the crop can hardly show a face."""


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


class WholeImage:
    """The whole image, resized; its proportions are not kept.

    Each axis is resized bilinearly: smoothed first where it shrinks (Pillow's ``BILINEAR``,
    a triangle as wide as the pixels it merges), plain where it grows. An image that has the
    size already passes bit by bit.

    Parameters
    ----------
    size
        Height and width of the crop.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def describe(self) -> str:
        """Say in a few words how it cuts, for the record."""
        return f"whole image resized to {_written(self.size)}, bilinear, antialiased"

    def frame(self, sample_id: str, place: str, image: Image) -> Framed:
        """Cut one image; see `Framing.frame`."""
        (height, width), (tall, wide) = image.shape[:2], self.size
        stretch = (height * wide) / (width * tall)
        stretched = not 1 / LARGEST_STRETCH <= stretch <= LARGEST_STRETCH
        return Framed(
            resize(image, self.size), is_odd=stretched or is_small(image.shape[:2], self.size)
        )


class CentreSquare:
    """The largest part in the middle that has the crop's proportions, resized.

    For a square crop that is the central square. Where the margins cannot be equal, the one
    at the bottom or at the right is a pixel wider.

    Parameters
    ----------
    size
        Height and width of the crop.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        self.size = size

    def describe(self) -> str:
        """Say in a few words how it cuts, for the record."""
        return f"largest central part resized to {_written(self.size)}, bilinear, antialiased"

    def frame(self, sample_id: str, place: str, image: Image) -> Framed:
        """Cut one image; see `Framing.frame`."""
        height, width = image.shape[:2]
        scale = min(height / self.size[0], width / self.size[1])
        tall, wide = (max(1, round(scale * side)) for side in self.size)
        top, left = (height - tall) // 2, (width - wide) // 2
        part = image[top : top + tall, left : left + wide]
        return Framed(resize(part, self.size), is_odd=is_small(part.shape[:2], self.size))


def is_small(pixels: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Tell whether a part of an image is too small for a crop; both as height and width."""
    return any(side < min(SMALLEST_SIDE, wanted) for side, wanted in zip(pixels, size, strict=True))


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Resize (H, W, 3) to ``size``, height and width; antialiased where it shrinks."""
    from PIL import Image as Pillow

    if image.shape[:2] == size:
        return image
    resized = Pillow.fromarray(image).resize(size[::-1], Pillow.Resampling.BILINEAR)
    return np.array(resized, dtype=np.uint8)


def _written(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"
