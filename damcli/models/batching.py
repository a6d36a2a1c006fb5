"""Feeding a loaded model: checks of what goes in and comes out, and the batch size it bears."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError, counted
from damcli.models.network import InputSpec, Layout

NUMBERS = ("float32", "float16", "float64", "bfloat16", "uint8")
"""The types of image input that a model may have."""


@dataclass(frozen=True)
class LoadedNetwork:
    """A model on its device; what `damcli.models.network.Network` describes.

    Attributes
    ----------
    path
        The model's file.
    forward
        Runs the model on one batch of the type ``input.dtype``, float32 for bfloat16.
    """

    path: Path
    digest: str
    runtime: str
    input: InputSpec
    forward: Callable[[NDArray[Any]], NDArray[Any]]
    notes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the model's file, without its folder."""
        return self.path.name

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Embed a batch; see `damcli.models.network.Network.run`."""
        self._check_images(batch)
        numbers = self._cast(batch)
        step = self.input.batch or len(batch)
        parts = [
            self._vectors(_filled_up(numbers[start : start + step], step))
            for start in range(0, len(batch), step)
        ]
        return parts[0][: len(batch)] if len(parts) == 1 else np.concatenate(parts)[: len(batch)]

    def _check_images(self, batch: NDArray[np.float32]) -> None:
        spec = self.input
        axes: tuple[int | None, ...] = (spec.channels, spec.height, spec.width)
        if spec.layout == "NHWC":
            axes = (spec.height, spec.width, spec.channels)
        fits = batch.ndim == 4 and all(
            wanted in (None, found) for wanted, found in zip(axes, batch.shape[1:], strict=True)
        )
        if len(batch) == 0 or not fits:
            wanted = ", ".join("any" if axis is None else str(axis) for axis in axes)
            raise InputError(
                str(self.path),
                f"is given images of shape {batch.shape}; expected (B, {wanted})",
                hint="the size and the layout of the preprocessing must be the model's",
            )

    def _cast(self, batch: NDArray[np.float32]) -> NDArray[Any]:
        if self.input.dtype == "bfloat16":  # numpy has no such type
            return batch
        numbers = batch.astype(self.input.dtype, copy=False)
        if self.input.dtype == "uint8" and not np.array_equal(numbers, batch):
            raise InputError(
                str(self.path),
                "takes plain pixels (uint8), and the preprocessing gives other numbers; expected "
                "whole ones from 0 to 255",
                hint="prepare its images with mean 0 and std 1",
            )
        return numbers

    def _vectors(self, numbers: NDArray[Any]) -> NDArray[np.float32]:
        try:
            output = self.forward(numbers)
        except (UserError, MemoryError, ImportError):
            raise
        except Exception as error:  # the runtimes have no common tree of errors
            raise InputError(
                str(self.path),
                f"fails on images of shape {numbers.shape}: {reason_of(error)}; expected a model "
                "that takes them",
                hint="check the size and the layout against the model",
            ) from error
        shape = output.shape
        if len(shape) > 2 and set(shape[2:]) == {1}:
            output = output.reshape(shape[:2])
        if output.ndim != 2 or len(output) != len(numbers) or output.shape[1] == 0:
            raise InputError(
                str(self.path),
                f"gives an output of shape {shape} for {counted(len(numbers), 'image')}; expected "
                f"(B, D), one vector an image, ({len(numbers)}, D)",
                hint="it may be a classifier or a detector, or another of its outputs is the "
                "embedding: choose it by --output-name",
            )
        return np.ascontiguousarray(output, dtype=np.float32)


def with_size(spec: InputSpec, size: tuple[int, int] | None, path: Path) -> InputSpec:
    """Fill in the size that a model leaves open; refuse one that it does not take."""
    if size is None:
        return spec
    height, width = size
    wanted = (spec.height or height, spec.width or width)
    if wanted != size:
        raise InputError(
            str(path),
            f"takes images of {wanted[0]}x{wanted[1]}, not {height}x{width}; expected the same "
            "size",
            hint=f"give --size {wanted[0]}x{wanted[1]}, which goes before the size of a preset",
        )
    return replace(spec, height=height, width=width)


def spec_of_shape(
    path: Path, name: str, shape: tuple[int | None, ...], layout: Layout | None
) -> InputSpec:
    """Read the axes of a model's input.

    Parameters
    ----------
    path
        The model, for messages.
    name
        The input.
    shape
        Its axes, None where one is open.
    layout
        Where the channels stand, as the user says; else the axis of length 3, or of
        length 1 where there is none, tells.
    """
    text = _shape_text(shape)
    if len(shape) != 4:
        raise InputError(
            str(path),
            f"input '{name}' has shape {text}; expected four axes, a batch of images",
            hint="the model takes something else than images",
        )
    layout = layout or _recognised(shape)
    if layout is None:
        raise InputError(
            str(path),
            f"input '{name}' has shape {text}, which does not tell where the channels stand; "
            "expected one axis of 3",
            hint="say it: --layout NCHW or --layout NHWC",
        )
    batch = shape[0]
    channels, height, width = shape[1:] if layout == "NCHW" else (shape[3], shape[1], shape[2])
    if channels not in (None, 1, 3):
        raise InputError(
            str(path),
            f"input '{name}' has shape {text}, {channels} channels in {layout}; expected 3, or 1",
            hint="try the other --layout, if the model takes images at all",
        )
    return InputSpec(name, layout, channels, height, width, batch)


def settle_batch(network: LoadedNetwork) -> LoadedNetwork:
    """Find out whether a model of an open batch size bears more than one image at a time.

    Exporters fix the batch size inside the graph and leave the input open. Two images
    together and each alone must give the same, else the model gets one at a time.
    """
    spec = network.input
    if spec.batch is not None or spec.height is None or spec.width is None:
        return network
    rng = np.random.default_rng(0)
    channels = spec.channels or 3
    shape = (channels, spec.height, spec.width)
    if spec.layout == "NHWC":
        shape = (spec.height, spec.width, channels)
    images = rng.integers(0, 2, (2, *shape)).astype(np.float32)
    alone = replace(network, input=replace(spec, batch=1))
    singles = alone.run(images)
    try:
        together = network.run(images)
    except InputError:
        note = "one image at a time: a batch size of 1 is fixed inside the model"
        return replace(alone, notes=(*network.notes, note))
    # float16 and the choice of another kernel differ by less
    near = 1e-2 * float(np.max(np.abs(singles), initial=0, where=np.isfinite(singles)))
    if np.allclose(together, singles, rtol=0, atol=near, equal_nan=True):
        return network
    note = "one image at a time: its outputs depend on the other images of the batch"
    return replace(alone, notes=(*network.notes, note))


def digest_of(path: Path, beside: Iterable[Path] = ()) -> str:
    """Return the SHA-256 of a model's file; with files beside it, of all their digests."""
    own = _sha256(path)
    others = sorted({(file.name, _sha256(file)) for file in beside})
    if not others:
        return own
    lines = [own, *(f"{digest}  {name}" for name, digest in others)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def reason_of(error: BaseException) -> str:
    """Return what an exception says in one line, with its type where it says nothing.

    That is the first line; of a TorchScript program's it is the last, behind its code.
    """
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    behind_code = any(line.startswith("Traceback of TorchScript") for line in lines)
    said = re.sub(r"^\w+(Error|Exception): ", "", lines[-1]) if behind_code else lines[0]
    return said.strip().rstrip(".")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _filled_up(numbers: NDArray[Any], count: int) -> NDArray[Any]:
    """Repeat the last image until there are ``count``."""
    short = count - len(numbers)
    return np.concatenate([numbers, *[numbers[-1:]] * short]) if short else numbers


def _recognised(shape: tuple[int | None, ...]) -> Layout | None:
    for channels in (3, 1):
        first, last = shape[1] == channels, shape[3] == channels
        if first != last:
            return "NCHW" if first else "NHWC"
        if first:
            return None
    return None


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return "(" + ", ".join("any" if axis is None else str(axis) for axis in shape) + ")"
