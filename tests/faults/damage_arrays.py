"""Ways to spoil numpy's files and Parquet tables: headers that lie, columns that do not fit."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.faults.damage import Damage
from tests.faults.damage_hdf5 import row

Change = Callable[[Any], Any]


def npy(name: str, change: Change, says: str = "") -> Damage:
    """Save what is made of the array."""
    return Damage(name, lambda path: np.save(path, change(np.load(path))), says)


def header(name: str, shape: str, says: str = "", *, dtype: str = "<f4") -> Damage:
    """Write a header that claims a shape, and a few bytes."""

    def apply(path: Path) -> None:
        path.write_bytes(_headed(shape, dtype) + bytes(640))

    return Damage(name, apply, says)


def _headed(shape: str, dtype: str) -> bytes:
    text = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    text += " " * (-(len(text) + 11) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def npz(name: str, says: str = "", **changes: Change | None) -> Damage:
    """Save what is made of arrays; None takes one away."""

    def apply(path: Path) -> None:
        with np.load(path) as archive:
            arrays = {name: archive[name] for name in archive.files}
        for name, change in changes.items():
            array = arrays.pop(name, None)
            if change is not None:
                arrays[name] = change(array)
        with path.open("wb") as file:
            np.savez(file, **arrays)

    return Damage(name, apply, says)


def member(name: str, member: str, content: bytes, says: str = "") -> Damage:
    """Put other bytes into a member of an archive."""

    def apply(path: Path) -> None:
        with zipfile.ZipFile(path) as archive:
            members = {one: archive.read(one) for one in archive.namelist()}
        with zipfile.ZipFile(path, "w") as archive:
            for one, data in {**members, member: content}.items():
                archive.writestr(one, data)

    return Damage(name, apply, says)


def parquet(name: str, says: str = "", **changes: Change | None) -> Damage:
    """Write what is made of columns, as Python lists; None takes one away."""

    def apply(path: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns = pq.read_table(path).to_pydict()
        for column, change in changes.items():
            values = columns.pop(column)
            if change is not None:
                columns[column] = change(values)
        file = io.BytesIO()
        pq.write_table(pa.table(columns), file)
        path.write_bytes(file.getvalue())

    return Damage(name, apply, says)


def element(number: int, value: Callable[[Any], Any]) -> Change:
    """Return what sets an element of a list by its old value."""

    def change(values: list[Any]) -> list[Any]:
        return [*values[:number], value(values[number]), *values[number + 1 :]]

    return change


LYING = (
    header("claims-2^40-rows", f"({2**40}, 16)"),
    header("claims-negative-rows", "(-1, 16)"),
    header("claims-no-shape", "'many'"),
    header("claims-more-than-64-bits", f"({2**62}, {2**62})"),
    header("claims-version-9", "(10, 16)", dtype="<V9"),
)
NPY = (
    npy("nan", row(2, np.nan), "row 3"),
    npy("infinite", row(2, np.inf), "row 3"),
    npy("zero", row(2, 0), "row 3"),
    npy("one-dimensional", lambda array: array[0], "(N, D)"),
    npy("three-dimensional", lambda array: array[None], "(N, D)"),
    npy("no-rows", lambda array: array[:0]),
    npy("text", lambda array: array.astype(str), "numbers"),
    *LYING,
)
NPZ = (
    npz("nan", "row 3", embedding=row(2, np.nan)),
    npz("zero", "row 3", embedding=row(2, 0)),
    npz("same-id", "row 2", id=lambda ids: row(1, ids[0])(ids)),
    npz("empty-id", "row 2", id=row(1, "")),
    npz("fewer-ids", "35 ids for 36", id=lambda ids: ids[:-1]),
    npz("fewer-subjects", "subjects for 36", subject=lambda names: names[:-1]),
    npz("no-vectors", "expected the vectors", embedding=None),
    npz("text-norms", "norms", norm=lambda norms: norms.astype(str)),
    member("lying-member", "embedding.npy", _headed(f"({2**40}, 16)", "<f4") + bytes(640)),
    member("no-array", "embedding.npy", b"not an array at all"),
)
PARQUET = (
    parquet("nan", "row 3", embedding=element(2, lambda vector: [float("nan")] * len(vector))),
    parquet("null-in-a-vector", "row 3", embedding=element(2, lambda v: [None, *v[1:]])),
    parquet("zero", "row 3", embedding=element(2, lambda vector: [0.0] * len(vector))),
    parquet("null-vector", "row 3", embedding=element(2, lambda vector: None)),
    parquet("uneven", "row 3", embedding=element(2, lambda vector: vector[:-1])),
    parquet("same-id", "row 2", id=lambda ids: [ids[0], *ids[:1], *ids[2:]]),
    parquet("null-id", "row 2", id=element(1, lambda name: None)),
    parquet("no-vectors", "expected the vectors", embedding=None),
    parquet("text-vectors", "lists of numbers", embedding=lambda rows: [str(one) for one in rows]),
)
