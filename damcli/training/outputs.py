"""What a finished run leaves: the model, the class centres, and what they are called."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from damcli.models.runs import STATE
from damcli.models.trained import read_trained
from damcli.storage.atomic import atomic_output
from damcli.training.checkpoint import checkpoint_path, load_centres
from damcli.training.classes import Classes
from damcli.training.onnx_export import export_onnx
from damcli.training.run_folder import RunFolder


def write_outputs(folder: RunFolder, step: int, classes: Classes) -> float:
    """Write ``model.onnx``, ``centres.npy`` and ``classes.csv`` from a checkpoint.

    Parameters
    ----------
    folder
        The run.
    step
        Whose checkpoint.
    classes
        What it was trained on.

    Returns
    -------
    float
        The largest difference between torch's embeddings and onnxruntime's.

    Raises
    ------
    OutputError
        One of them cannot be written.
    """
    checkpoint = checkpoint_path(folder.checkpoints, step)
    with atomic_output(folder.classes, force=True) as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("class", "label", "images"))
        counts = classes.counts.tolist()
        writer.writerows(zip(range(len(counts)), classes.labels, counts, strict=True))
    centres = load_centres(checkpoint).get("centres")
    if centres is not None:
        with atomic_output(folder.centres, force=True, private=True) as draft:
            np.save(draft, centres.numpy())
    return export_onnx(read_trained(checkpoint / STATE), folder.model, force=True)


def write_rejects(path: Path, rejects: Mapping[str, str]) -> None:
    """List the images that could not be read, and why."""
    with atomic_output(path, force=True) as draft, draft.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("place", "reason"))
        writer.writerows(sorted(rejects.items()))
