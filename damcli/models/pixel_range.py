"""Which values of a generator are black and white: stated, or recognised and said aloud."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError

_IN_USE = ((-1.0, 1.0), (0.0, 1.0), (0.0, 255.0))
_OVERSHOOT = 0.15
"""How far beyond black and white some values of a sound generator lie, in parts of the range."""
_STRAY = 0.01
_CONTRADICTING = 0.05
_HINT = "state which values are black and white: --generator-range=-1,1 (or 0,1, or 0,255)"


@dataclass(frozen=True)
class PixelRange:
    """The values that a generator gives for black and for white.

    Attributes
    ----------
    black, white
        In the generator's own numbers, ``black < white``.
    known
        How they are known: ``stated``, ``uint8``, or ``recognised``.
    """

    black: float
    white: float
    known: str = "stated"

    def __str__(self) -> str:
        return f"{self.black:g}..{self.white:g}"

    def to_pixels(self, values: NDArray[Any]) -> NDArray[np.uint8]:
        """Scale to 0..255 and round; what lies beyond black and white becomes these."""
        if values.dtype == np.uint8:
            return values
        scale = 255.0 / (self.white - self.black)
        scaled = (values.astype(np.float32) - np.float32(self.black)) * np.float32(scale)
        return np.asarray(np.rint(np.clip(scaled, 0, 255)), dtype=np.uint8)

    def check(self, values: NDArray[Any], origin: str) -> None:
        """Raise where images contradict the range, so that a wrong one cannot go unseen.

        Raises
        ------
        UserError
            More than 5 % of the values lie beyond the range by 15 % of its width or more.
        """
        if values.dtype == np.uint8:
            return
        beyond = self._beyond(values)
        if beyond > _CONTRADICTING:
            raise UserError(
                f"{origin}: {beyond:.0%} of the values lie far outside {self} ({self.known}), "
                f"between {values.min():.3g} and {values.max():.3g}; expected {self}",
                hint=_HINT,
            )

    def _beyond(self, values: NDArray[Any]) -> float:
        margin = _OVERSHOOT * (self.white - self.black)
        outside = (values < self.black - margin) | (values > self.white + margin)
        return float(outside.mean())

    def _is_filled_by(self, values: NDArray[Any]) -> bool:
        """Tell whether the values keep to the range, and reach its darkest and lightest quarter.

        No two of the ranges in use can both say yes.
        """
        quarter = (self.white - self.black) / 4
        return (
            self._beyond(values) < _STRAY
            and float((values < self.black + quarter).mean()) > _STRAY
            and float((values > self.white - quarter).mean()) > _STRAY
        )


def recognise_range(values: NDArray[Any], origin: str) -> PixelRange:
    """Recognise the range from the values of a few whole images.

    Of -1..1, 0..1 and 0..255, the one that holds 99 % of the values (some generators
    overshoot a little) and of which both the darkest and the lightest quarter are in use.

    Parameters
    ----------
    values
        Images, of any shape and type, finite.
    origin
        The generator, for messages.

    Raises
    ------
    InputError
        None of them is.
    """
    if values.dtype == np.uint8:
        return PixelRange(0, 255, "uint8")
    for black, white in _IN_USE:
        found = PixelRange(black, white, "recognised")
        if found._is_filled_by(values):
            return found
    raise InputError(
        origin,
        f"values from {values.min():.3g} to {values.max():.3g} (mean {values.mean():.3g}) in its "
        "first faces; expected images that fill -1..1, 0..1 or 0..255",
        hint=f"look at its images; then {_HINT}",
    )
