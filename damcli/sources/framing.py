"""From a decoded image to what a model looks at: the crop of a face, of the model's size."""

from __future__ import annotations

from typing import Protocol

from damcli.sources.source import Image


class Framing(Protocol):
    """Cuts every image to one size."""

    size: tuple[int, int]
    """Height and width of the crop."""

    def describe(self) -> str:
        """Say in a few words how it cuts, for the record."""
        ...

    def frame(self, sample_id: str, place: str, image: Image) -> Image:
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
        ndarray
            (height, width, 3) uint8, RGB.

        Raises
        ------
        InputError
            This image cannot be cut, say for want of a face or of its landmarks.
        """
        ...
