"""Ways to spoil damcli's HDF5 files: by another version, by their shape, by their numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from tests.faults.damage import CUT_BINARY, FLIP_DATA, FLIP_HEAD, Damage


def edit(name: str, change: Callable[[Any], object], says: str = "", **more: Any) -> Damage:
    """Change an open file."""

    def apply(path: Path) -> None:
        with h5py.File(path, "r+") as file:
            change(file)

    return Damage(name, apply, says, **more)


def attribute(name: str, attribute: str, value: object, says: str = "") -> Damage:
    """Set an attribute."""
    return edit(name, lambda file: file.attrs.__setitem__(attribute, value), says)


def item(name: str, place: str, value: Callable[[Any], Any], says: str = "") -> Damage:
    """Put into the place of a dataset what is made of its content; None takes it away."""

    def change(file: Any) -> None:
        made = value(file[place][...])
        del file[place]
        if made is not None:
            file[place] = made

    return edit(name, change, says)


def _huge(place: str, shape: tuple[int, ...]) -> Callable[[Any], None]:
    def change(file: Any) -> None:
        del file[place]
        file.create_dataset(place, shape=shape, dtype="f4", chunks=(1, *shape[1:]))

    return change


def _lose_a_page(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    at = raw.index(b"GCOL") + 16
    raw[at : at + 512] = bytes(512)
    path.write_bytes(raw)


def row(number: int, value: object) -> Callable[[Any], Any]:
    """Return what sets a row of an array."""

    def change(array: Any) -> Any:
        array = array.copy()
        array[number] = value
        return array

    return change


LOST_PAGE = Damage("lost-page-of-texts", _lose_a_page, "damaged")
CONTAINER = (*CUT_BINARY, *FLIP_HEAD, *FLIP_DATA, LOST_PAGE)
VERSIONS = (
    attribute("version-99", "format_version", 99, "format version 99"),
    attribute("version-0", "format_version", 0, "format version 0"),
    attribute("version-text", "format_version", "one", "format version one"),
    edit(
        "version-missing", lambda file: file.attrs.__delitem__("format_version"), "format version"
    ),
    attribute("format-of-the-future", "format", "damcli/holograms", "damcli/holograms"),
)
SHAPES = (
    item("no-vectors", "embedding", lambda array: None, "expected the vectors"),
    edit("huge-rows", _huge("embedding", (2**40, 16)), "'embedding' is empty"),
    edit("huge-width", _huge("embedding", (36, 2**26)), "'embedding' is empty"),
    item("one-dimensional", "embedding", lambda array: array[0], "(N, D)"),
    item("three-dimensional", "embedding", lambda array: array[None], "(N, D)"),
    item("text-vectors", "embedding", lambda array: array.astype("S8"), "numbers"),
    item("complex-vectors", "embedding", lambda array: array.astype(complex), "real numbers"),
    item("fewer-ids", "id", lambda ids: ids[:-1], "'id' of shape"),
    item("latin1-id", "id", lambda ids: row(1, b"caf\xe9")(ids.astype("S20")), "'id' is damaged"),
    item("empty-id", "id", row(1, b""), "row 2: id '' is empty"),
)
NUMBERS = (
    item("nan", "embedding", row(2, np.nan), "row 3"),
    item("infinite", "embedding", row(2, np.inf), "row 3"),
    item("zero", "embedding", row(2, 0), "row 3"),
    item("same-id", "id", lambda ids: row(1, ids[0])(ids), "row 2"),
)
KINDS_OF_ANCHORS = (
    attribute("kind-unknown", "kind", "gan", "anchors of kind gan"),
    edit("kind-missing", lambda file: file.attrs.__delitem__("kind"), "anchors of kind None"),
    attribute("no-anchors", "format", "damcli/embeddings", "expected an anchor set"),
)
LIDR = (
    attribute("k-0", "k", 0, "k"),
    attribute("k-text", "k", "ten", "k"),
    attribute("s-nan", "s", np.nan, "s"),
    attribute("target-unknown", "target", "h", "target"),
    edit("k-missing", lambda file: file.attrs.__delitem__("k"), "k"),
    attribute("no-lidr", "format", "damcli/embeddings", "damcli/embeddings"),
    item("no-layer", "layer/1/weight", lambda array: None, "layer"),
    item("layers-do-not-fit", "layer/0/weight", lambda array: array[:-1], "layer"),
    item("nan-weight", "layer/0/weight", row(0, np.nan), "finite"),
    item("text-weight", "layer/0/bias", lambda array: array.astype("S8"), "layer"),
    edit("huge-layer", _huge("layer/0/weight", (2**40, 16)), "layer"),
)
