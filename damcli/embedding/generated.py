"""Generated faces as a source of images: each can be made again from its number alone."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.models.generator import Generator
from damcli.models.pixel_range import PixelRange, recognise_range
from damcli.sources.source import Image, Sample

SMALLEST_TRUNCATION = 0.05
_TOGETHER = 8
"""Rows 0 to 7 are generated together, 8 to 15, and so on, beyond the size where need be:
then neither the size nor a resumed run nor the batches of the embedding change a pixel."""
_KEPT_BATCHES = 4


def latent_of(
    row: int, dim: int, *, seed: int, truncation: float | None = None
) -> NDArray[np.float32]:
    """Draw the latent of one face.

    Parameters
    ----------
    row
        The number of the face, from 0.
    dim
        Z, the number of components.
    seed
        Of the whole set, >= 0.
    truncation
        Components beyond this many standard deviations are drawn again (the truncation
        trick of Brock et al., ICLR 2019, Sec. 3.1); None for the plain normal distribution.

    Returns
    -------
    ndarray
        (Z,) float32, which depends on nothing but these four.
    """
    rng = np.random.default_rng([seed, row])
    latent = rng.standard_normal(dim)
    if truncation is not None:
        while (beyond := np.abs(latent) > truncation).any():
            latent[beyond] = rng.standard_normal(int(beyond.sum()))
    return latent.astype(np.float32)


class _Batch(NamedTuple):
    images: NDArray[np.uint8]
    finite: NDArray[np.bool_]


class GeneratedFaces:
    """The faces that a generator makes of N latents, as an image source.

    Parameters
    ----------
    generator
        The generator.
    size
        N, >= 1.
    seed
        Of the latents, >= 0.
    truncation
        See `latent_of`; at least 0.05.
    pixel_range
        Which values are black and white; by default recognised from the first 8 faces.

    Raises
    ------
    InputError
        The generator does not give finite images, or their range is not recognised.
    UserError
        An option is out of its range, or the first faces contradict the stated range.
    """

    unit = "face"
    has_subjects = False
    group_names: tuple[str, ...] = ()

    def __init__(
        self,
        generator: Generator,
        size: int,
        *,
        seed: int = 0,
        truncation: float | None = None,
        pixel_range: PixelRange | None = None,
    ) -> None:
        if size < 1 or seed < 0:
            raise UserError(f"size {size}, seed {seed}; expected at least 1 and 0")
        if truncation is not None and not truncation >= SMALLEST_TRUNCATION:
            raise UserError(f"truncation {truncation:g}; expected at least {SMALLEST_TRUNCATION:g}")
        self.generator = generator
        self.seed = seed
        self.truncation = truncation
        self._size = size
        self._lock = threading.Lock()
        self._batches: OrderedDict[int, _Batch] = OrderedDict()
        values = self._generate(0)
        finite = _finite(values)
        if not finite.any():
            raise InputError(self.origin, "NaN or infinity in all its first faces; expected images")
        self.pixel_range = pixel_range or recognise_range(values[finite], self.origin)
        self._keep(0, values)
        self.notes = (*generator.notes, *self._describe(values[finite]))

    @property
    def origin(self) -> str:
        """The generator's file."""
        return self.generator.origin

    def __len__(self) -> int:
        return self._size

    def id_of(self, row: int) -> str:
        """Return ``fake-`` and the number of the face, from 0."""
        return f"fake-{row:06d}"

    def place_of(self, row: int) -> str:
        """Return the generator's file and the number of the face."""
        return f"{self.origin}, face {row}"

    def subject_of(self, row: int) -> None:
        """Return None: nobody is shown."""

    def read(self, row: int) -> Sample:
        """Return a face, generated with its neighbours where they are not there already.

        Raises
        ------
        InputError
            This face holds NaN or infinity.
        UserError
            The faces contradict the range of values that was stated or recognised.
        """
        number, place = divmod(row, _TOGETHER)
        with self._lock:
            if number not in self._batches:
                self._keep(number, self._generate(number))
            self._batches.move_to_end(number)
            batch = self._batches[number]
        if not batch.finite[place]:
            raise InputError(self.place_of(row), "NaN or infinity in the face; expected an image")
        image: Image = batch.images[place]
        return Sample(image, None, {})

    def record(self) -> dict[str, str]:
        """Say how the faces are made: what each depends on, for the attributes of a file."""
        return {
            "generator_name": self.generator.name,
            "generator_sha256": self.generator.digest,
            "generator_inputs": self.generator.describe_values(),
            "generator_range": f"{self.pixel_range} ({self.pixel_range.known})",
            "generator_color": self.generator.color,
            "latent_dim": str(self.generator.latent_dim),
            "latent_seed": str(self.seed),
            "truncation": "none" if self.truncation is None else f"{self.truncation:g}",
        }

    def _describe(self, values: NDArray[Any]) -> tuple[str, ...]:
        """Say what the generator was found to be, and what was taken for granted."""
        height, width = values.shape[1:3]
        made = (
            f"{self.origin}: latents of {self.generator.latent_dim} numbers; faces of {width} × "
            f"{height} pixels, values from {values.min():.3g} to {values.max():.3g}, of which "
            f"{self.pixel_range} is black to white ({self.pixel_range.known})"
        )
        rows, columns = (slice(side // 4, side - side // 4) for side in (height, width))
        red, _, blue = values[:, rows, columns].mean(axis=(0, 1, 2), dtype=np.float64)
        if red >= blue:
            return (made,)
        other = "rgb" if self.generator.color == "bgr" else "bgr"
        return made, (
            f"{self.origin}: the middle of its first faces is more blue than red, which skin is "
            f"not; are its channels {other.upper()} (--generator-color {other})?"
        )

    def _generate(self, number: int) -> NDArray[Any]:
        rows = range(number * _TOGETHER, (number + 1) * _TOGETHER)
        dim = self.generator.latent_dim
        latents = [latent_of(row, dim, seed=self.seed, truncation=self.truncation) for row in rows]
        return self.generator.generate(np.stack(latents))

    def _keep(self, number: int, values: NDArray[Any]) -> None:
        finite = _finite(values)
        if finite.any():
            self.pixel_range.check(values[finite], self.place_of(number * _TOGETHER))
        clean = values if finite.all() else np.nan_to_num(values)
        self._batches[number] = _Batch(self.pixel_range.to_pixels(clean), finite)
        while len(self._batches) > _KEPT_BATCHES:
            self._batches.popitem(last=False)


def _finite(values: NDArray[Any]) -> NDArray[np.bool_]:
    """Tell of each image whether all its values are finite."""
    return np.asarray(np.isfinite(values).all(axis=(1, 2, 3)))
