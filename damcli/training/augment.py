"""Chance variations of an image, so that a network does not learn what does not matter."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from damcli.errors import UserError
from damcli.sources.source import Image

_SHARES = 7


@dataclass(frozen=True)
class Augment:
    """How far an image may be varied; each image draws anew every time it is shown.

    Attributes
    ----------
    flip
        The probability that it is mirrored left to right, 0 to 1.
    brightness, contrast, saturation
        The pixels are blended with black, with their mean grey and with their own grey; the
        share that stays is uniform in [1 - strength, 1 + strength]. Strengths from 0, off, to
        below 1; applied in this order, as Pillow's ``ImageEnhance`` does.
    crop
        The sides of the part that is kept, as shares of the image's, are uniform in
        [1 - crop, 1], its place as well; it is resized to what the network takes. 0, off, to
        below 1.

    Raises
    ------
    UserError
        A value lies outside of its range.
    """

    flip: float = 0.5
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    crop: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            end = 1.0 if field.name == "flip" else np.nextafter(1.0, 0.0)
            if not 0 <= value <= end:
                wanted = "0 to 1" if field.name == "flip" else "0 to below 1"
                raise UserError(f"{field.name} is {value}; expected {wanted}")

    def draw(self, rng: np.random.Generator) -> Variation:
        """Draw what happens to one image.

        The same numbers are drawn whatever is switched on, so that turning one kind on
        leaves the others as they were.
        """
        flip, brightness, contrast, saturation, side, x, y = rng.random(_SHARES)
        return Variation(
            flipped=bool(flip < self.flip),
            kept=(
                _around_one(brightness, self.brightness),
                _around_one(contrast, self.contrast),
                _around_one(saturation, self.saturation),
            ),
            side=float(1 - self.crop * side),
            corner=(float(x), float(y)),
        )


@dataclass(frozen=True)
class Variation:
    """What happens to one image.

    Attributes
    ----------
    flipped
        Whether it is mirrored.
    kept
        Brightness, contrast and saturation; 1 leaves them as they are.
    side
        The sides of the part that is kept, as a share of the image's.
    corner
        Where that part lies between left and right, top and bottom; 0 to 1.
    """

    flipped: bool
    kept: tuple[float, float, float]
    side: float
    corner: tuple[float, float]

    def cut(self, image: Image) -> Image:
        """Return the part of (H, W, 3) that is kept, at least a pixel, as a view."""
        if self.side == 1:
            return image
        height, width = image.shape[:2]
        tall, wide = max(1, round(self.side * height)), max(1, round(self.side * width))
        left, top = (
            min(int(share * (room + 1)), room)
            for share, room in zip(self.corner, (width - wide, height - tall), strict=True)
        )
        return image[top : top + tall, left : left + wide]

    def recolour(self, image: Image) -> Image:
        """Mirror (H, W, 3) and vary its colours; the result may be a view."""
        mirrored = image[:, ::-1] if self.flipped else image
        if self.kept == (1.0, 1.0, 1.0):
            return mirrored
        from PIL import Image as Pillow
        from PIL import ImageEnhance

        picture = Pillow.fromarray(np.ascontiguousarray(mirrored))
        kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
        for kind, share in zip(kinds, self.kept, strict=True):
            if share != 1:
                picture = kind(picture).enhance(share)
        return np.asarray(picture)


def _around_one(uniform: float, strength: float) -> float:
    return float(1 + strength * (2 * uniform - 1))
