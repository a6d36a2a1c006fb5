"""A trained model as ONNX, which says by itself how its images are prepared."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from damcli import __version__
from damcli.errors import OutputError
from damcli.models.contract import Preprocessing
from damcli.models.onnx_graph import METADATA_KEY
from damcli.models.trained import Trained, rebuild
from damcli.storage.atomic import atomic_output

TOLERANCE = 1e-4
_OPSET = 17
_CHECKED_IMAGES = 3


def export_onnx(trained: Trained, output: Path, *, force: bool = False) -> float:
    """Write a model as ONNX, once onnxruntime agrees with PyTorch on random images.

    It takes ``images`` (batch, 3, 112, 112) float32 and returns ``embedding`` (batch, D)
    float32, not normalised, for any batch. Its metadata state the preprocessing where
    ``damcli embed`` reads it, and backbone and step.

    Parameters
    ----------
    trained
        The model.
    output
        The file to write; it appears whole or not at all.
    force
        Replace an existing file.

    Returns
    -------
    float
        The largest difference between onnxruntime's and PyTorch's embeddings of the images,
        as a share of the largest value in them.

    Raises
    ------
    OutputError
        The file cannot be written, the embeddings are not finite, or the difference is above
        `TOLERANCE`.
    """
    import onnx

    with atomic_output(output, force=force) as draft:
        network = rebuild(trained)
        model = _converted(network, _example(trained.preprocessing, 2))
        model.producer_name, model.producer_version = "damcli", __version__
        stated = {
            METADATA_KEY: trained.preprocessing.as_json(),
            "damcli.backbone": trained.backbone,
            "damcli.step": str(trained.step),
        }
        onnx.helper.set_model_props(model, stated)
        onnx.save(model, str(draft))
        images = _example(trained.preprocessing, _CHECKED_IMAGES)
        difference = _difference(draft, network, images)
        if not difference <= TOLERANCE:
            raise OutputError(
                f"{output}: {_fault(difference)}, so the model was not written",
                hint="take an earlier checkpoint, if training went wrong",
            )
    return difference


def _converted(network: torch.nn.Module, images: torch.Tensor) -> Any:
    """Convert by PyTorch's older exporter; its newer one needs a further library, onnxscript."""
    import onnx

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it is the older one
        torch.onnx.export(
            network,
            (images,),
            buffer,
            dynamo=False,
            opset_version=_OPSET,
            input_names=["images"],
            output_names=["embedding"],
            dynamic_axes={"images": {0: "batch"}, "embedding": {0: "batch"}},
        )
    return onnx.load_from_string(buffer.getvalue())


def _example(preprocessing: Preprocessing, count: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (count, *preprocessing.size, 3), dtype=np.uint8)
    return torch.from_numpy(preprocessing.apply(pixels))


def _difference(path: Path, network: torch.nn.Module, images: torch.Tensor) -> float:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["embedding"], {"images": images.numpy()})
    with torch.inference_mode():
        expected = network(images).numpy()
    if not (np.isfinite(expected).all() and np.isfinite(found).all()):
        return float("nan")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def _fault(difference: float) -> str:
    if np.isnan(difference):
        return "the model's embeddings of random images are not finite; expected numbers"
    return (
        f"onnxruntime's embeddings differ from PyTorch's by {difference:.1g} of their size; "
        f"expected at most {TOLERANCE:g}"
    )
