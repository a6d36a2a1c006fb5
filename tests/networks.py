"""Small ONNX networks with a numpy oracle of a few lines."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

RNG = np.random.default_rng(3)
KERNEL = RNG.normal(size=(4, 3, 3, 3)).astype(np.float32)
HEAD = RNG.normal(size=(5, 4)).astype(np.float32)


def oracle(images):
    """Embed (B, 3, H, W) by hand: convolve, rectify, average, multiply."""
    images = images.astype(np.float64)
    rows, columns = images.shape[2] - 2, images.shape[3] - 2
    maps = np.zeros((len(images), 4, rows, columns))
    for dy in range(3):
        for dx in range(3):
            window = images[:, :, dy : dy + rows, dx : dx + columns]
            maps += np.einsum("bchw,oc->bohw", window, KERNEL[:, :, dy, dx])
    return np.maximum(maps, 0).mean((2, 3)) @ HEAD.T


def conv_net(
    path,
    *,
    batch="batch",
    layout="NCHW",
    size=(8, 9),
    dtype="float32",
    nodes=(),
    outputs=(("embedding", [None, 5]),),
    inputs=(),
    metadata=None,
    domains=(),
):
    """Write the network of `oracle`; further nodes, inputs and outputs go beside it."""
    kind = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16}.get(dtype)
    kind = kind or {"uint8": TensorProto.UINT8, "int64": TensorProto.INT64}[dtype]
    work = np.float16 if dtype == "float16" else np.float32
    axes = [batch, 3, *size] if layout == "NCHW" else [batch, *size, 3]
    source, before = "x", []
    if dtype not in ("float32", "float16"):
        before.append(helper.make_node("Cast", [source], ["cast"], to=TensorProto.FLOAT))
        source = "cast"
    if layout == "NHWC":
        before.append(helper.make_node("Transpose", [source], ["turned"], perm=[0, 3, 1, 2]))
        source = "turned"
    body = [
        helper.make_node("Conv", [source, "kernel"], ["maps"]),
        helper.make_node("Relu", ["maps"], ["positive"]),
        helper.make_node("GlobalAveragePool", ["positive"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "head"], ["embedding"], transB=1),
    ]
    floats = TensorProto.FLOAT16 if dtype == "float16" else TensorProto.FLOAT
    graph = helper.make_graph(
        [*before, *body, *nodes],
        "net",
        [helper.make_tensor_value_info("x", kind, axes), *inputs],
        [helper.make_tensor_value_info(name, floats, shape) for name, shape in outputs],
        initializer=[
            numpy_helper.from_array(KERNEL.astype(work), "kernel"),
            numpy_helper.from_array(HEAD.astype(work), "head"),
        ],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(name, 1) for name in domains)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    for key, value in (metadata or {}).items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
    onnx.save(model, path)
    return path
