"""The LIDR regressor in memory and in its file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from damcli import __version__
from damcli.errors import InputError
from damcli.storage.digests import file_digest
from damcli.storage.drafts import hdf5_output
from damcli.storage.hdf5 import (
    FORMAT_VERSION,
    LIDR,
    check_version,
    explain_damage,
    open_dataset,
    plain,
    plain_attributes,
    storable,
)
from damcli.storage.inputs import require_file
from damcli.storage.locks import open_for_reading
from damcli.storage.tables import reading

Target = Literal["g", "log-g"]
TARGETS: tuple[str, ...] = get_args(Target)
CURVE_COLUMNS = ("iteration", "loss", "heldout_loss")
_OWN = ("k", "s", "anchor_count", "target", "curve_columns", "damcli_version")


class Layer(NamedTuple):
    """One fully connected layer."""

    weight: NDArray[np.float32]
    """(outputs, inputs)."""
    bias: NDArray[np.float32]
    """(outputs,)."""


def _no_curve() -> NDArray[np.float64]:
    return np.empty((0, len(CURVE_COLUMNS)))


@dataclass(frozen=True, eq=False)
class Lidr:
    """Two fully connected layers that predict the LID of a unit embedding (Eq. 7).

    Attributes
    ----------
    layers
        (H, D) with H biases, then (1, H) with one bias; float32, finite.
    k, s
        Neighbours and scale of the LID they were fitted to.
    anchor_count
        How many anchors that LID was taken from.
    target
        What the last layer gives: ``g``, the LID itself, or ``log-g``.
    curve
        (E, 3) float64: iteration, mean training loss since the row before, held-out loss.
    attributes
        How it was fitted: recipe, digests of anchors and embeddings, how well it does.
    origin, path
        The file it comes from.
    """

    layers: tuple[Layer, Layer]
    k: int
    s: float
    anchor_count: int
    target: Target = "log-g"
    curve: NDArray[np.float64] = field(default_factory=_no_curve)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "lidr"
    path: Path | None = None

    @property
    def dim(self) -> int:
        """D, the length of the embeddings it takes."""
        return int(self.layers[0].weight.shape[1])

    @property
    def hidden(self) -> int:
        """H, the width of the hidden layer."""
        return int(self.layers[0].weight.shape[0])

    @property
    def log_range(self) -> tuple[float, float]:
        """The least and the largest log G that as many unit anchors can give."""
        middle = float(np.log(min(self.k, self.anchor_count)))
        return middle - self.s, middle + self.s

    @cached_property
    def digest(self) -> str | None:
        """SHA-256 of the file it was read from, or None."""
        return None if self.path is None else file_digest(self.path)


def write_lidr(path: Path | str, lidr: Lidr, *, force: bool = False, **attributes: Any) -> None:
    """Write a regressor to damcli's HDF5; see docs/formats.md.

    Parameters
    ----------
    path
        The file to write; it appears whole or not at all.
    lidr
        The regressor.
    force
        Replace an existing file.
    **attributes
        More to record about how it was made; single values.

    Raises
    ------
    OutputError
        The file exists or cannot be written.
    """
    own = {
        "format": LIDR,
        "format_version": FORMAT_VERSION,
        "damcli_version": __version__,
        "k": lidr.k,
        "s": lidr.s,
        "anchor_count": lidr.anchor_count,
        "target": lidr.target,
        "curve_columns": ", ".join(CURVE_COLUMNS),
    }
    with hdf5_output(Path(path), force=force) as file:
        for name, value in {**lidr.attributes, **attributes, **own}.items():
            file.attrs[name] = storable(value)
        for number, layer in enumerate(lidr.layers):
            file[f"layer/{number}/weight"] = layer.weight
            file[f"layer/{number}/bias"] = layer.bias
        if len(lidr.curve):
            file["curve"] = lidr.curve


def read_lidr(path: Path | str) -> Lidr:
    """Read a regressor that ``damcli fit-lidr`` wrote.

    Raises
    ------
    InputError
        The file is missing, damaged, or holds something else.
    """
    path, origin = Path(path), str(path)
    require_file(path, "a lidr")
    try:
        file = open_for_reading(path)
    except OSError as error:
        raise explain_damage(path, error) from error
    with file, reading(origin, "a damaged HDF5 file", hint="copy or make it anew"):
        return _read(file, path)


def is_lidr(path: Path) -> bool:
    """Whether the file says that it holds a regressor."""
    try:
        with open_for_reading(path) as file:
            return bool(plain(file.attrs.get("format")) == LIDR)
    except OSError:
        return False


def _read(file: Any, path: Path) -> Lidr:
    origin = str(path)
    layout = plain(file.attrs.get("format", "no damcli format"))
    if layout != LIDR:
        raise InputError(
            origin,
            f"holds {layout}; expected a fitted regressor",
            hint="damcli fit-lidr emb.h5 --anchors anchors.h5 -o lidr.h5",
        )
    check_version(file, origin)
    first = Layer(
        _numbers(file, "layer/0/weight", (None, None), origin),
        _numbers(file, "layer/0/bias", (None,), origin),
    )
    hidden = len(first.weight)
    second = Layer(
        _numbers(file, "layer/1/weight", (1, hidden), origin),
        _numbers(file, "layer/1/bias", (1,), origin),
    )
    if first.bias.shape != (hidden,):
        raise _shape_error(origin, "layer/0/bias", first.bias.shape, (hidden,))
    own = {name: plain(file.attrs.get(name)) for name in _OWN}
    _check_own(own, origin)
    return Lidr(
        layers=(first, second),
        k=int(own["k"]),
        s=float(own["s"]),
        anchor_count=int(own["anchor_count"]),
        target=own["target"],
        curve=_curve(file, origin),
        attributes={n: v for n, v in plain_attributes(file).items() if n not in _OWN},
        origin=origin,
        path=path,
    )


def _check_own(own: dict[str, Any], origin: str) -> None:
    for name in ("k", "anchor_count"):
        if not isinstance(own[name], int) or own[name] < 1:
            raise InputError(origin, f"{name} is {own[name]}; expected a whole number above 0")
    if not isinstance(own["s"], int | float) or not 0 < own["s"] < np.inf:
        raise InputError(origin, f"s is {own['s']}; expected a number above 0")
    if own["target"] not in TARGETS:
        raise InputError(origin, f"target '{own['target']}'; expected one of {', '.join(TARGETS)}")


def _curve(file: Any, origin: str) -> NDArray[np.float64]:
    if "curve" not in file:
        return _no_curve()
    return _numbers(file, "curve", (None, len(CURVE_COLUMNS)), origin).astype(np.float64)


def _numbers(
    file: Any, name: str, shape: tuple[int | None, ...], origin: str
) -> NDArray[np.float32]:
    """Read a table of finite numbers; None in the shape stands for any length but 0."""
    if name not in file:
        raise InputError(origin, f"lacks '{name}'; expected the layers of a regressor")
    table = open_dataset(file, name, origin)
    fits = len(table.shape) == len(shape) and all(
        found > 0 if wanted is None else found == wanted
        for found, wanted in zip(table.shape, shape, strict=True)
    )
    if not fits or table.dtype.kind != "f":
        raise _shape_error(origin, name, table.shape, shape, table.dtype)
    values = np.asarray(table[:])
    if not np.isfinite(values).all():
        raise InputError(
            origin, f"'{name}' holds numbers that are not finite", hint="fit the regressor anew"
        )
    return values


def _shape_error(
    origin: str, name: str, found: Any, expected: tuple[int | None, ...], dtype: Any = "float32"
) -> InputError:
    wanted = ", ".join("any" if length is None else str(length) for length in expected)
    return InputError(
        origin,
        f"'{name}' of type {dtype} and shape {found}; expected float32 of shape ({wanted})",
        hint="fit the regressor anew",
    )
