"""A graph that runs, of whatever runtime, by the names of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

NUMBER = "number"
"""The type of an input that takes a plain number instead of a tensor."""
Feeds = Mapping[str, "NDArray[Any] | float"]


@dataclass(frozen=True)
class GraphInput:
    """One input of a generator's graph.

    Attributes
    ----------
    name
        Of the input.
    shape
        Its axes, None where one is open; None where the file does not tell.
    dtype
        In numpy's words, or `NUMBER`.
    optional
        Whether the graph has a value of its own for it.
    """

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str
    optional: bool = False

    def __str__(self) -> str:
        if self.shape is None:
            return f"{self.name} ({self.dtype})"
        axes = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{self.name} ({axes}) {self.dtype}"


class Program(Protocol):
    """A graph, loaded on its device."""

    @property
    def runtime(self) -> str:
        """What runs it, and where."""
        ...

    @property
    def inputs(self) -> Sequence[GraphInput]: ...  # noqa: D102

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        ...


def listing(inputs: Sequence[GraphInput]) -> str:
    """List inputs, for a message."""
    return ", ".join(str(one) + (" with a default" if one.optional else "") for one in inputs)


def filled(one: GraphInput, value: float, count: int) -> NDArray[Any] | float:
    """Fill an input with one number, for a batch of ``count``."""
    if one.dtype == NUMBER:
        return value
    axes = one.shape or ()
    shape = [count if axis is None and place == 0 else axis for place, axis in enumerate(axes)]
    # a further open axis can only be guessed, and 1 broadcasts
    return np.full([1 if axis is None else axis for axis in shape], value, dtype=one.dtype)
