"""A tensor that lies in a checkpoint, and the refusal of files that hold more than tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from damcli.errors import InputError

FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})
_PICKLE_HINT = (
    "where you trust the file, load it with its own code and save only the weights: "
    "torch.save(model.state_dict(), OUT), or np.save for an array"
)


@dataclass(frozen=True)
class StoredTensor:
    """One tensor of a checkpoint, not read yet.

    Attributes
    ----------
    name
        Its name in the file; dotted where it lay in nested dicts.
    shape
        The length of each axis.
    dtype
        Its type in numpy's words, such as ``float32``, or the file's own word.
    load
        Reads the values, in any float type numpy knows.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    load: Callable[[], NDArray[Any]] = field(repr=False)


class RefusedPickle(InputError):  # noqa: N818 - reads as what it is
    """A file that only unpickling could read; ``which`` names the object in it."""

    def __init__(self, path: Path, which: str = "") -> None:
        super().__init__(
            str(path),
            f"holds pickled Python objects{which}, and damcli refuses to run code from a "
            "checkpoint; expected plain tensors only",
            hint=_PICKLE_HINT,
        )
