"""The class centres of a face-recognition classifier, found in a checkpoint.

They are the rows of the last layer's weights: one direction per class that it was trained
to tell. A checkpoint does not say which of its tensors that is. What the user knows (the
tensor's name, the dimension, the number of classes) narrows the choice, and where two
tensors remain, nothing is guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.models.candidates import Known, Reading, choose
from damcli.models.checkpoints import list_tensors, read_tensor

BLOCK_CLASSES = 16_384


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
    given, an axis of a usual dimension such as 512 tells how a matrix lies, else more rows
    than columns do. Exactly one candidate must remain, and one way to see it.

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
    known = Known(dim, classes, sub_centers)
    return _read(path, choose(path, list_tensors(path), known, tensor))


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


def _read(path: Path, chosen: Reading) -> ClassCentres:
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
