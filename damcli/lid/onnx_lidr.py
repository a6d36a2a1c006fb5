"""The regressor as an ONNX model, for programs that have no damcli."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from damcli import __version__
from damcli.errors import OutputError
from damcli.lid.regressor import predict_log_lid
from damcli.storage.atomic import atomic_output
from damcli.storage.embeddings import Embeddings
from damcli.storage.lidr import Lidr

_OPSET = 13
_TOLERANCE = 1e-5
_CHECKED_ROWS = 64


def export_lidr(path: Path | str, lidr: Lidr, *, force: bool = False) -> float:
    """Write a regressor as ONNX, once onnxruntime agrees with it.

    The model takes ``embedding`` (B, D) float32 as the network gives it, of any length but
    0, and returns ``log_lid`` (B,) float32.

    Parameters
    ----------
    path
        The file to write; it appears whole or not at all.
    lidr
        The regressor.
    force
        Replace an existing file.

    Returns
    -------
    float
        The largest difference that was seen between onnxruntime and damcli.

    Raises
    ------
    OutputError
        The file cannot be written, or onnxruntime gives other LIDs.
    """
    import onnx

    with atomic_output(Path(path), force=force) as draft:
        model = _model(lidr)
        onnx.checker.check_model(model)
        onnx.save(model, str(draft))
        difference = _largest_difference(draft, lidr)
        if not difference <= _TOLERANCE:
            raise OutputError(
                f"{path}: onnxruntime's LIDs differ by {difference:g}; expected at most "
                f"{_TOLERANCE:g}, so the model was not written"
            )
    return difference


def _model(lidr: Lidr) -> Any:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    least, largest = lidr.log_range
    (first, first_bias), (second, second_bias) = lidr.layers
    constants = {
        "W1": first.astype(np.float32),
        "b1": first_bias.astype(np.float32),
        "W2": second.astype(np.float32),
        "b2": second_bias.astype(np.float32),
        "least": np.float32(least),
        "largest": np.float32(largest),
        "least_g": np.float32(np.exp(least)),
        "column": np.array([1], dtype=np.int64),
    }
    node = helper.make_node
    nodes = [
        node("ReduceL2", ["embedding"], ["length"], axes=[1], keepdims=1),
        node("Div", ["embedding", "length"], ["unit"]),
        node("Gemm", ["unit", "W1", "b1"], ["before"], transB=1),
        node("Relu", ["before"], ["hidden"]),
        node("Gemm", ["hidden", "W2", "b2"], ["target"], transB=1),
    ]
    if lidr.target == "g":
        nodes += [node("Max", ["target", "least_g"], ["g"]), node("Log", ["g"], ["log_g"])]
    else:
        del constants["least_g"]
    nodes += [
        node("Clip", [nodes[-1].output[0], "least", "largest"], ["clipped"]),
        node("Squeeze", ["clipped", "column"], ["log_lid"]),
    ]
    graph = helper.make_graph(
        nodes,
        "lidr",
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["batch", lidr.dim])],
        [helper.make_tensor_value_info("log_lid", TensorProto.FLOAT, ["batch"])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=8,
        producer_name="damcli",
        producer_version=__version__,
    )
    known = {"k": lidr.k, "s": lidr.s, "anchor_count": lidr.anchor_count, **lidr.attributes}
    if lidr.digest is not None:
        known["lidr_sha256"] = lidr.digest
    helper.set_model_props(model, {f"damcli.{name}": str(value) for name, value in known.items()})
    assert isinstance(model, onnx.ModelProto)
    return model


def _largest_difference(path: Path, lidr: Lidr) -> float:
    import onnxruntime

    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(_CHECKED_ROWS, lidr.dim)) * 20).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (found,) = session.run(["log_lid"], {"embedding": vectors})
    expected = predict_log_lid(lidr, Embeddings.from_arrays(vectors))
    return float(np.abs(found - expected).max()) if found.shape == expected.shape else np.inf
