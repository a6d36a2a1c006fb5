"""The class centres of a face-recognition classifier, found in a checkpoint.

They are the rows of the last layer's weights: one direction per class that it was trained
to tell. A checkpoint does not say which of its tensors that is. What the user knows (the
tensor's name, the dimension, the number of classes) narrows the choice, and where two
tensors remain, nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.models.checkpoints import list_tensors, read_tensor
from damcli.models.tensors import FLOATS, StoredTensor

LISTED = 20
BLOCK_CLASSES = 16_384
_HEAD_HINT = (
    "many training codes save the classifier's head in a file of its own, apart from the "
    "backbone: give that one"
)


@dataclass(frozen=True, eq=False)
class ClassCentres:
    """C classes of K centres each, as they lay in the checkpoint.

    Attributes
    ----------
    vectors
        (C * K, D) float32, not normalised; centre k of class c is row ``c * K + k``.
    tensor
        The name of the tensor they were taken from.
    transposed
        Whether it lay as (D, C * K).
    sub_centers
        K; 1 where each class has one centre.
    """

    vectors: NDArray[np.float32]
    tensor: str
    transposed: bool
    sub_centers: int


def read_class_centres(
    path: Path,
    *,
    tensor: str | None = None,
    dim: int | None = None,
    classes: int | None = None,
    sub_centers: int | None = None,
) -> ClassCentres:
    """Read the class centres from a checkpoint.

    Candidates are the float tensors of two axes, (C * K, D) or (D, C * K), both longer
    than 1, and of three axes, (C, K, D) with K < C. With neither ``dim`` nor ``classes``
    given, the longer of two axes counts as the classes. Exactly one candidate must remain.

    Sub-centres are taken as class-major, row ``c * K + k``, which is the layout of
    insightface's sub-center ArcFace (``W.reshape(-1, K, D)[c]``), of the
    ``ArcMarginProduct_subcenter`` that Kaggle solutions share, and of
    pytorch-metric-learning, transposed (both ``cosine.view(-1, C, K)``).

    Parameters
    ----------
    path
        A ``.pt``, ``.pth``, ``.safetensors``, ``.onnx``, ``.npy`` or ``.npz`` file.
    tensor
        The name of the tensor, dotted where it lies in nested dicts; the file's stem for a
        file that holds one nameless tensor.
    dim
        D, the dimension of the embeddings.
    classes
        C, the number of classes.
    sub_centers
        K, the number of centres per class.

    Returns
    -------
    ClassCentres
        All rows, (C * K, D) float32, in class-major order.

    Raises
    ------
    InputError
        The file cannot be read safely, or does not hold exactly one tensor that fits.
    MissingExtra
        It is PyTorch's, and PyTorch is not installed.
    """
    known = _Known(dim, classes, sub_centers)
    stored = list_tensors(path)
    pool = stored if tensor is None else _named(path, stored, tensor)
    readings = [reading for one in pool for reading in _readings(one, sub_centers)]
    if not readings:
        raise _no_matrix(path, pool, tensor)
    fitting = _one_per_tensor(reading for reading in readings if reading.fits(known))
    if not fitting:
        raise _misfit(path, readings, known)
    if len(fitting) > 1:
        raise _ambiguous(path, fitting, known)
    return _read(path, fitting[0])


def mean_of_sub_centers(
    vectors: NDArray[np.float32], sub_centers: int, *, origin: str = "class centres"
) -> NDArray[np.float32]:
    """Average the sub-centres of each class, each brought to unit length first.

    Parameters
    ----------
    vectors
        (C * K, D) of any float type, class-major: centre k of class c is row ``c * K + k``.
    sub_centers
        K, the number of centres per class.
    origin
        What to call them in messages.

    Returns
    -------
    NDArray[np.float32]
        (C, D); a mean of unit vectors, itself shorter than 1 unless they agree.

    Raises
    ------
    InputError
        The rows are no multiple of K, or one is zero or not finite.
    """
    _check_divisible(origin, len(vectors), sub_centers)
    classes = len(vectors) // sub_centers
    means = np.empty((classes, vectors.shape[1]), dtype=np.float32)
    for start in range(0, classes, BLOCK_CLASSES):  # bounds the float64 copy
        stop = min(start + BLOCK_CLASSES, classes)
        rows = slice(start * sub_centers, stop * sub_centers)
        wide = np.asarray(vectors[rows], dtype=np.float64)
        lengths = np.linalg.norm(wide, axis=1)
        bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
        if len(bad):
            raise InputError(
                origin,
                "the centre is all zeros or not finite; expected a vector with a direction",
                row=rows.start + int(bad[0]) + 1,
            )
        unit = wide / lengths[:, None]
        means[start:stop] = unit.reshape(stop - start, sub_centers, -1).mean(axis=1)
    return means


@dataclass(frozen=True)
class _Known:
    """What the user knows about the class centres."""

    dim: int | None
    classes: int | None
    sub_centers: int | None

    def __str__(self) -> str:
        axes = []
        if self.classes is not None:
            per_class = self.sub_centers or 1
            product = f" × {per_class} sub-centres" if per_class > 1 else ""
            axes.append(f"{self.classes * per_class} ({self.classes} classes{product})")
        if self.dim is not None:
            axes.append(f"{self.dim} (the dimension)")
        if not axes:
            return f"(classes, {self.sub_centers} sub-centres, dimension)"
        return f"one axis of {' and one of '.join(axes)}"


@dataclass(frozen=True)
class _Reading:
    """One way to see a tensor as class centres."""

    tensor: StoredTensor
    rows: int
    dim: int
    transposed: bool
    sub_centers: int

    def fits(self, known: _Known) -> bool:
        return (
            known.dim in (None, self.dim)
            and (known.classes is None or known.classes * self.sub_centers == self.rows)
            and known.sub_centers in (None, self.sub_centers)
        )


def _readings(tensor: StoredTensor, sub_centers: int | None) -> list[_Reading]:
    """List the ways to see a tensor as class centres, the likelier first."""
    shape = tensor.shape
    if tensor.dtype not in FLOATS:
        return []
    if len(shape) == 2 and min(shape) > 1:
        per_class = sub_centers or 1
        straight = _Reading(tensor, shape[0], shape[1], False, per_class)
        turned = _Reading(tensor, shape[1], shape[0], True, per_class)
        return [straight, turned] if shape[0] >= shape[1] else [turned, straight]
    # K < C tells (C, K, D) from (K, C, D), which would be read as a few absurd classes
    if len(shape) == 3 and 0 < shape[1] < shape[0] and shape[2] > 1:
        return [_Reading(tensor, shape[0] * shape[1], shape[2], False, shape[1])]
    return []


def _one_per_tensor(readings: Iterable[_Reading]) -> list[_Reading]:
    likeliest: dict[int, _Reading] = {}
    for reading in readings:
        likeliest.setdefault(id(reading.tensor), reading)
    return list(likeliest.values())


def _read(path: Path, chosen: _Reading) -> ClassCentres:
    _check_divisible(str(path), chosen.rows, chosen.sub_centers, f"'{chosen.tensor.name}' has ")
    values = read_tensor(path, chosen.tensor)
    if chosen.transposed:
        values = np.ascontiguousarray(values.T)
    vectors = values.reshape(chosen.rows, chosen.dim)
    return ClassCentres(vectors, chosen.tensor.name, chosen.transposed, chosen.sub_centers)


def _check_divisible(origin: str, rows: int, sub_centers: int, lead: str = "") -> None:
    if rows % sub_centers:
        raise InputError(
            origin,
            f"{lead}{rows} rows of centres; expected a multiple of {sub_centers} sub-centres "
            "per class",
            hint="give the number of sub-centres that the classifier was trained with: "
            "--sub-centers K",
        )


def _named(path: Path, stored: Sequence[StoredTensor], name: str) -> list[StoredTensor]:
    found = [tensor for tensor in stored if tensor.name == name]
    if not found:
        matrices = [tensor for tensor in stored if _readings(tensor, None)] or stored
        raise InputError(
            str(path),
            f"holds no tensor '{name}'; expected one of:\n{_listing(matrices)}",
            hint="name one of them: --tensor NAME",
        )
    return found


def _no_matrix(path: Path, pool: Sequence[StoredTensor], name: str | None) -> InputError:
    wanted = "a 2-D float tensor with both axes longer than 1"
    if name is not None:
        return InputError(
            str(path),
            f"tensor '{name}' is {pool[0].dtype} {pool[0].shape}; expected {wanted}, or 3-D "
            "(classes, sub-centres, dimension)",
            hint="leave out --tensor to see what fits",
        )
    holds = f"; it holds:\n{_listing(pool)}" if pool else ""
    return InputError(
        str(path),
        f"{len(pool)} tensors, none of them class centres; expected {wanted}{holds}",
        hint=_HEAD_HINT,
    )


def _misfit(path: Path, readings: Sequence[_Reading], known: _Known) -> InputError:
    if known.classes is not None and known.sub_centers is None:
        unbound = replace(known, classes=None)
        several = [
            reading
            for reading in _one_per_tensor(one for one in readings if one.fits(unbound))
            if reading.sub_centers == 1 and reading.rows % known.classes == 0
        ]
        if len(several) == 1:
            return _unsaid_sub_centers(path, several[0], known.classes)
    tensors = [reading.tensor for reading in _one_per_tensor(readings)]
    return InputError(
        str(path),
        f"no tensor of the shape looked for; expected {known}; it holds:\n{_listing(tensors)}",
        hint="check the dimension and the number of classes against these; " + _HEAD_HINT,
    )


def _unsaid_sub_centers(path: Path, reading: _Reading, classes: int) -> InputError:
    per_class = reading.rows // classes
    return InputError(
        str(path),
        f"'{reading.tensor.name}' has {reading.rows} rows for {classes} classes, which looks "
        f"like {per_class} sub-centres per class; expected {classes} rows",
        hint=f"if it was trained with sub-centres, say so: --sub-centers {per_class}",
    )


def _ambiguous(path: Path, fitting: Sequence[_Reading], known: _Known) -> InputError:
    ways = ["name the right one with --tensor NAME"]
    if known.dim is None:
        ways.append("give the embeddings' dimension with --dim D")
    if known.classes is None:
        ways.append("give the labels of the classes, whose number tells")
    tensors = [reading.tensor for reading in fitting]
    return InputError(
        str(path),
        f"{len(fitting)} tensors could be the class centres; expected one:\n{_listing(tensors)}",
        hint=", or ".join(ways),
    )


def _listing(tensors: Sequence[StoredTensor]) -> str:
    lines = [f"  {one.name} {one.shape} {one.dtype}" for one in tensors[:LISTED]]
    if len(tensors) > LISTED:
        lines.append(f"  and {len(tensors) - LISTED} more")
    return "\n".join(lines)
