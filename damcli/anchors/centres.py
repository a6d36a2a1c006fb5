"""Class centres as embeddings, from which anchors are chosen like from any others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.models.class_centres import ClassCentres, mean_of_sub_centers, read_class_centres
from damcli.models.labels import read_labels
from damcli.models.onnx_file import check_file
from damcli.models.runs import centres_of_run, model_of_run
from damcli.storage.embeddings import MODEL_DIGEST, Embeddings
from damcli.storage.unit import fault, invalid_rows


def open_class_centres(
    path: Path,
    *,
    tensor: str | None = None,
    dim: int | None = None,
    labels: Path | None = None,
    sub_centers: int | None = None,
    per_subject: int | None = 1,
) -> tuple[Embeddings, ClassCentres]:
    """Read the class centres of a checkpoint as embeddings.

    Parameters
    ----------
    path
        ``.pt``, ``.pth``, ``.safetensors``, ``.onnx``, ``.npy`` or ``.npz``.
    tensor, dim, sub_centers
        What is known of the matrix; see `damcli.models.class_centres.read_class_centres`.
    labels
        The labels of the classes, which become ids and subjects.
    per_subject
        1 for the mean of each class's sub-centres, None for every sub-centre.

    Returns
    -------
    embeddings : Embeddings
        (C, D), or (C * K, D) with every sub-centre.
    centres : ClassCentres
        Where they were found.

    Raises
    ------
    InputError
        The checkpoint does not hold one such matrix, or the labels do not fit it.
    UserError
        ``per_subject`` is neither 1 nor None.
    """
    if per_subject not in (1, None):
        raise UserError(
            f"{per_subject} centres per class; expected 1 or all",
            hint="1 averages the sub-centres of a class, all keeps each",
        )
    origin = str(path)
    names = None if labels is None else read_labels(labels)
    try:
        centres = read_class_centres(
            path,
            tensor=tensor,
            dim=dim,
            classes=None if names is None else len(names),
            sub_centers=sub_centers,
        )
    except InputError as error:
        if names is None:
            raise
        found = f"for the {len(names):,} labels of {labels}: {error.found}"
        raise InputError(origin, found, row=error.row, hint=error.hint) from error
    count = centres.sub_centers
    vectors = centres.vectors
    _check_directions(vectors, centres.tensor, origin)
    if per_subject == 1 and count > 1:
        vectors, count = mean_of_sub_centers(vectors, count, origin=origin), 1
        _check_directions(vectors, centres.tensor, origin)
    ids = subjects = None
    if names is not None:
        subjects = np.repeat(np.array(names, dtype=object), count)
        ids = subjects if count == 1 else [f"{name}#{k}" for name in names for k in range(count)]
    about: dict[str, Any] = {
        "tensor": centres.tensor,
        "transposed": centres.transposed,
        "sub_centers": centres.sub_centers,
        "sub_centers_averaged": count < centres.sub_centers,
    }
    embeddings = Embeddings.from_arrays(vectors, ids, subjects, attributes=about, origin=origin)
    return replace(embeddings, path=path), centres


def open_run_centres(run: Path, *, per_subject: int | None = 1) -> tuple[Embeddings, ClassCentres]:
    """Read the class centres of a run of ``damcli train`` with the labels of their classes.

    Parameters
    ----------
    run
        The run's folder.
    per_subject
        As of `open_class_centres`; a run has one centre a class.

    Returns
    -------
    embeddings, centres
        As of `open_class_centres`. The embeddings are of the run's model: they carry the
        digest of its ``model.onnx``, as those that ``damcli embed --model run/`` makes.

    Raises
    ------
    InputError
        The run was not finished, or its files do not fit one another.
    """
    path, labels = centres_of_run(run)
    digest = check_file(model_of_run(run)).digest
    embeddings, centres = open_class_centres(path, labels=labels, per_subject=per_subject)
    return replace(embeddings, attributes={**embeddings.attributes, MODEL_DIGEST: digest}), centres


def _check_directions(vectors: NDArray[np.float32], tensor: str, origin: str) -> None:
    bad = np.flatnonzero(invalid_rows(vectors))
    if len(bad):
        raise InputError(
            origin,
            f"this class centre of '{tensor}' is {fault(vectors[bad[0]])}; expected a vector "
            f"with a direction ({len(bad)} have none)",
            row=int(bad[0]) + 1,
            hint="take another tensor with --tensor NAME, or save this one without such rows: "
            "np.save('centres.npy', ...)",
        )
