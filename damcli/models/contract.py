"""Pixels to numbers: the contract between images and a model, as a value that is recorded."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.models.network import Layout

Color = Literal["rgb", "bgr", "grey"]
Values = tuple[float, ...]

COLORS: tuple[Color, ...] = get_args(Color)
LAYOUTS: tuple[Layout, ...] = get_args(Layout)


@dataclass(frozen=True)
class Preprocessing:
    """``(pixel - mean) / std`` on channels in the order of ``color``.

    Attributes
    ----------
    size
        Height and width of the image.
    color
        The order of the channels that the model was trained with; ``mean`` and ``std``
        are in this order too. ``grey`` is one channel, the luma of ITU-R BT.601 rounded
        to a whole number, as Pillow's mode ``L`` has it.
    mean, std
        On pixels from 0 to 255; one value a channel.
    layout
        Where the channels stand.
    """

    size: tuple[int, int]
    color: Color
    mean: Values
    std: Values
    layout: Layout = "NCHW"

    @property
    def channels(self) -> int:
        """3, or 1 where the model sees grey."""
        return channels_of(self.color)

    @property
    def seems_for_0_to_1(self) -> bool:
        """Whether mean and std are such as belong to pixels from 0 to 1, not from 0 to 255."""
        return 0 < max(self.mean) <= 1 and max(self.std) <= 1

    def apply(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn (B, H, W, 3) uint8 RGB images into what the model takes, float32."""
        planes = _planes(images, self.color)
        count, height, width = images.shape[:3]
        scaled = np.empty((count, self.channels, height, width), dtype=np.float32)
        for channel, (plane, mean, std) in enumerate(zip(planes, self.mean, self.std, strict=True)):
            out = scaled[:, channel]
            np.multiply(plane, np.float32(1 / std), out=out, dtype=np.float32)
            out -= np.float32(mean / std)
        if self.layout == "NHWC":
            return np.ascontiguousarray(scaled.transpose(0, 2, 3, 1))
        return scaled

    def as_json(self) -> str:
        """Write it down, for the attributes of an embeddings file or a model's metadata."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str, origin: str = "preprocessing") -> Preprocessing:
        """Read what `as_json` wrote.

        Parameters
        ----------
        text
            A JSON object with the attributes' names as keys.
        origin
            Where it was found, for messages.

        Raises
        ------
        InputError
            It is not that.
        """
        try:
            return cls._checked(json.loads(text))
        except (ValueError, TypeError, KeyError) as error:
            reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
            raise InputError(
                origin,
                f"states a preprocessing that cannot be read: {reason}; expected a JSON object "
                f"with {', '.join(field.name for field in fields(cls))}",
            ) from error

    @classmethod
    def _checked(cls, raw: Any) -> Preprocessing:
        if not isinstance(raw, dict):
            raise TypeError(f"it is {raw!r}")
        unknown = raw.keys() - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"'{min(unknown)}' is unknown")
        height, width = raw["size"]
        if not (isinstance(height, int) and isinstance(width, int) and min(height, width) > 0):
            raise ValueError(f"size is {raw['size']}")
        if raw["color"] not in COLORS:
            raise ValueError(f"color is {raw['color']!r}, not {', '.join(COLORS)}")
        if raw.get("layout", "NCHW") not in LAYOUTS:
            raise ValueError(f"layout is {raw['layout']!r}, not {' or '.join(LAYOUTS)}")
        mean, std = (tuple(float(value) for value in raw[name]) for name in ("mean", "std"))
        channels = channels_of(raw["color"])
        if {len(mean), len(std)} != {channels}:
            raise ValueError(f"mean and std have {len(mean)} and {len(std)} values, not {channels}")
        if not all(math.isfinite(value) for value in (*mean, *std)) or min(std) <= 0:
            raise ValueError(f"mean is {mean} and std is {std}")
        return cls((height, width), raw["color"], mean, std, raw.get("layout", "NCHW"))


def channels_of(color: Color) -> int:
    """Return how many channels the images of a colour order have."""
    return 1 if color == "grey" else 3


def same_contract(first: str, second: str) -> str | None:
    """Compare two recorded preprocessings.

    Returns
    -------
    str | None
        What differs, such as ``color rgb against bgr``; None where nothing does.
    """
    one, other = (asdict(Preprocessing.from_json(text)) for text in (first, second))
    differing = [
        f"{name} {shown(one[name])} against {shown(other[name])}"
        for name in one
        if one[name] != other[name]
    ]
    return ", ".join(differing) or None


def shown(value: object) -> str:
    """Write a value of a preprocessing the way its option takes it."""
    if isinstance(value, tuple):
        glue = "x" if all(isinstance(part, int) for part in value) else ","
        distinct = set(value) if glue == "," else value
        kept = value[:1] if len(distinct) == 1 else value
        return glue.join(f"{part:.10g}" for part in kept)
    return str(value)


def _planes(images: NDArray[np.uint8], color: Color) -> list[NDArray[np.uint8]]:
    """Split (B, H, W, 3) RGB into the (B, H, W) channels that the model sees."""
    red, green, blue = (images[..., channel] for channel in range(3))
    if color == "grey":
        # the weights 0.299, 0.587 and 0.114 in 16 bits, so that this is what Pillow gives
        luma = red * np.uint32(19595)
        luma += green * np.uint32(38470)
        luma += blue * np.uint32(7471)
        luma += np.uint32(1 << 15)
        return [(luma >> 16).astype(np.uint8)]
    return [red, green, blue] if color == "rgb" else [blue, green, red]
