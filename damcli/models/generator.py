"""A generator of faces: latents in, images out, whatever its file calls its inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.models.batching import reason_of
from damcli.models.program import GraphInput, Program, filled, listing

GeneratedColor = Literal["rgb", "bgr"]


class Generator:
    """A generator, loaded on its device; see `damcli.models.generators.open_generator`.

    Parameters
    ----------
    path
        Its file.
    digest
        SHA-256 of the file.
    program
        The graph.
    latent
        The shape of one latent, where the file leaves it open.
    values
        Values for further inputs, by name: each fills its whole input.
    output
        The output that is the image; by default the one that looks like one.
    color
        The order of the channels that it gives.
    notes
        What the user should know of how the file was loaded.

    Raises
    ------
    InputError
        An input has no value, the latent's shape is not known or not the stated one, or
        a value is for an input that is not there.
    """

    def __init__(
        self,
        path: Path,
        digest: str,
        program: Program,
        *,
        latent: tuple[int, ...] | None = None,
        values: Mapping[str, float] | None = None,
        output: str | None = None,
        color: GeneratedColor = "rgb",
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name = path.name
        self.origin = str(path)
        self.digest = digest
        self.runtime = program.runtime
        self.values = dict(values or {})
        self.color = color
        self.notes = notes
        self._program = program
        self._output = output
        self._input = self._find_latent()
        self.latent_shape = self._settle_latent(latent)
        self.batch = self._input.shape[0] if self._input.shape else None

    @property
    def latent_dim(self) -> int:
        """Z, the number of components of a latent."""
        return math.prod(self.latent_shape)

    def describe_values(self) -> str:
        """Say what its further inputs were given, for the record."""
        return ", ".join(f"{name}={value:g}" for name, value in self.values.items()) or "none"

    def settle(self) -> None:
        """Find out whether a face depends on its latent alone, and take latents one by one if not.

        Exporters fix the batch size inside a graph and leave the input open, and some
        generators draw noise of their own; `notes` tell what was found.

        Raises
        ------
        InputError
            Not even one latent gives an image.
        """
        latents = np.random.default_rng(0).standard_normal((2, self.latent_dim), dtype=np.float32)
        alone = self.generate(latents[:1])
        if not _alike(alone, self.generate(latents[:1])):
            self.notes += (
                f"{self.origin}: draws noise of its own, so that no face comes out twice the same",
            )
            return
        if self.batch is not None:
            return
        try:
            apart = _alike(alone, self.generate(latents)[:1])
            reason = "its faces depend on the other latents of a batch"
        except InputError:
            apart, reason = False, "a batch size of 1 is fixed inside the graph"
        if not apart:
            self.batch = 1
            self.notes += (f"{self.origin}: one latent at a time: {reason}",)

    def generate(self, latents: NDArray[np.float32]) -> NDArray[Any]:
        """Generate images.

        Parameters
        ----------
        latents
            (B, Z) float32. A graph of one fixed batch size is fed that many at a time,
            the last ones filled up.

        Returns
        -------
        ndarray
            (B, H, W, 3) in RGB, of the type and range that the graph gives.

        Raises
        ------
        InputError
            What comes out is not one image a latent.
        """
        step = self.batch or len(latents)
        parts = []
        for start in range(0, len(latents), step):
            part = latents[start : start + step]
            filled = np.resize(part, (step, part.shape[1]))
            parts.append(self._images(self._run(filled), step)[: len(part)])
        images = np.concatenate(parts)
        return images[..., ::-1] if self.color == "bgr" else images

    def _run(self, latents: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        count = len(latents)
        feeds: dict[str, NDArray[Any] | float] = {
            self._input.name: latents.reshape(count, *self.latent_shape).astype(self._input.dtype)
        }
        by_name = {one.name: one for one in self._program.inputs}
        for name, value in self.values.items():
            feeds[name] = filled(by_name[name], value, count)
        try:
            return self._program.run(feeds)
        except Exception as error:  # each runtime raises its own, and says what it lacks
            reason = reason_of(error)[:300]
            raise InputError(
                self.origin,
                f"does not run on latents of shape {(count, *self.latent_shape)} "
                f"({type(error).__name__}: {reason}); expected one image a latent",
                hint="is it a generator? if so, check --latent and --generator-input against its "
                "documentation",
            ) from error

    def _images(self, outputs: dict[str, NDArray[Any]], count: int) -> NDArray[Any]:
        named = ", ".join(f"{name} {value.shape}" for name, value in outputs.items())
        pool = outputs
        if self._output is not None:
            if self._output not in outputs:
                raise InputError(
                    self.origin, f"no output '{self._output}'; expected one of: {named}"
                )
            pool = {self._output: outputs[self._output]}
        images = [_channels_last(value) for value in pool.values() if _is_image(value, count)]
        if len(images) == 1:
            return images[0]
        found = f"{len(images)} outputs are colour images" if images else "no output is an image"
        raise InputError(
            self.origin,
            f"{found}, of: {named} for a batch of {count}; expected one of shape "
            "(batch, 3, height, width) or (batch, height, width, 3)",
            hint="name it: --generator-output NAME" if images else "is it a generator of images?",
        )

    def _find_latent(self) -> GraphInput:
        inputs = self._program.inputs
        names = [one.name for one in inputs]
        for name in self.values:
            if name not in names:
                raise InputError(
                    self.origin, f"no input '{name}'; expected one of: {listing(inputs)}"
                )
        open_ones = [one for one in inputs if not one.optional and one.name not in self.values]
        if len(open_ones) == 1:
            return open_ones[0]
        raise InputError(
            self.origin,
            f"{len(open_ones)} inputs without a value, of: {listing(inputs)}; expected one, "
            "the latent",
            hint="give each input but the latent its value: --generator-input NAME=VALUE"
            if open_ones
            else "leave out --generator-input for the latent",
        )

    def _settle_latent(self, stated: tuple[int, ...] | None) -> tuple[int, ...]:
        shape = self._input.shape
        if shape is None or None in shape[1:]:
            if stated is None:
                raise InputError(
                    self.origin,
                    f"does not tell the shape of its latent {self._input}; expected numbers",
                    hint="state it, as in --latent 512 or --latent 100x1x1",
                )
            return stated
        known = tuple(axis for axis in shape[1:] if axis is not None)
        if not known or not self._input.dtype.startswith("float"):
            raise InputError(
                self.origin,
                f"its one input without a value is {self._input}; expected a latent of floats, "
                "(batch, Z) or (batch, Z, 1, 1)",
            )
        if stated is not None and math.prod(stated) != math.prod(known):
            raise InputError(
                self.origin,
                f"its latent is {'x'.join(map(str, known))}; --latent states "
                f"{'x'.join(map(str, stated))}",
                hint="leave out --latent",
            )
        return known


def _is_image(value: NDArray[Any], count: int) -> bool:
    return value.ndim == 4 and len(value) == count and 3 in (value.shape[1], value.shape[3])


def _alike(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Tell whether images are the same but for float noise, a hundredth of their range."""
    span = float(np.ptp(first[np.isfinite(first)], axis=None)) if np.isfinite(first).any() else 0
    near = np.isclose(
        first.astype(np.float32),
        second.astype(np.float32),
        rtol=0,
        atol=0.01 * span,
        equal_nan=True,
    )
    return bool(near.all())


def _channels_last(value: NDArray[Any]) -> NDArray[Any]:
    return value if value.shape[3] == 3 else value.transpose(0, 2, 3, 1)
