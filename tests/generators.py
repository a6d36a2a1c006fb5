"""Small generators of made-up faces, in ONNX and PyTorch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIM = 6
SIDE = 16
SEED = 5


def weights(channels: int = 3) -> NDArray[np.float32]:
    """(Z, 3 × 16 × 16): what an image is a sum of."""
    rng = np.random.default_rng(SEED)
    return rng.normal(size=(DIM, channels * SIDE * SIDE)).astype(np.float32)


def expected_images(latents: NDArray[np.float32]) -> NDArray[np.uint8]:
    """What every generator below makes of its latents: (B, 16, 16, 3) RGB."""
    values = np.tanh(latents.astype(np.float64) @ weights()).reshape(-1, 3, SIDE, SIDE)
    return np.rint((values.transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8)


def onnx_generator(
    path: Path,
    *,
    scale: float = 1.0,
    shift: float = 0.0,
    batch: int | str = "batch",
    latent: tuple[int | str, ...] = (DIM,),
    layout: str = "NCHW",
    to_uint8: bool = False,
    psi: float | None = None,
    extra: tuple[tuple[str, str, tuple[Any, ...]], ...] = (),
    outputs: int = 1,
    inside: str = "",
) -> Path:
    """Write ``scale * tanh(psi * latent @ weights) + shift``, as images.

    ``extra`` are further inputs without a value, (name, type, shape), of which nothing
    but the sum is added to the latent. ``inside`` is what the graph does beside: ``mean``
    mixes a batch, ``one`` takes one latent only, ``noise`` draws some.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    def constant(name: str, value: Any, dtype: Any = np.float32) -> Any:
        return numpy_helper.from_array(np.asarray(value, dtype=dtype), name)

    shape = (-1, 3, SIDE, SIDE) if layout == "NCHW" else (-1, SIDE, SIDE, 3)
    if inside == "one":
        shape = (1, *shape[1:])
    matrix = weights()
    if layout == "NHWC":
        matrix = matrix.reshape(DIM, 3, SIDE, SIDE).transpose(0, 2, 3, 1).reshape(DIM, -1)
    constants = [
        constant("matrix", matrix),
        constant("flat", (-1, DIM), np.int64),
        constant("shape", shape, np.int64),
        constant("scale", scale),
        constant("shift", shift),
        constant("psi", 1.0 if psi is None else psi),
    ]
    nodes = [
        helper.make_node("Reshape", ["z", "flat"], ["flat_z"]),
        helper.make_node("Mul", ["flat_z", "psi"], ["latent0"]),
    ]
    last = "latent0"
    inputs = [helper.make_tensor_value_info("z", TensorProto.FLOAT, [batch, *latent])]
    for number, (name, kind, axes) in enumerate(extra, start=1):
        inputs.append(helper.make_tensor_value_info(name, getattr(TensorProto, kind), axes))
        nodes += [
            helper.make_node("Cast", [name], [f"{name}_float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", [f"{name}_float"], [f"{name}_sum"], keepdims=0),
            helper.make_node("Add", [last, f"{name}_sum"], [f"latent{number}"]),
        ]
        last = f"latent{number}"
    if psi is not None:  # an input that the graph also gives a value
        inputs.append(helper.make_tensor_value_info("psi", TensorProto.FLOAT, []))
    nodes += [
        helper.make_node("MatMul", [last, "matrix"], ["sum"]),
        helper.make_node("Tanh", ["sum"], ["tanh"]),
        helper.make_node("Mul", ["tanh", "scale"], ["scaled"]),
        *{
            "": [helper.make_node("Identity", ["scaled"], ["more"])],
            "one": [helper.make_node("Identity", ["scaled"], ["more"])],
            "mean": [
                helper.make_node("ReduceMean", ["scaled"], ["mean"], axes=[0]),
                helper.make_node("Sub", ["scaled", "mean"], ["more"]),
            ],
            "noise": [
                helper.make_node("RandomNormalLike", ["scaled"], ["noise"], scale=0.1),
                helper.make_node("Add", ["scaled", "noise"], ["more"]),
            ],
        }[inside],
        helper.make_node("Add", ["more", "shift"], ["shifted"]),
        helper.make_node("Reshape", ["shifted", "shape"], ["image"]),
    ]
    result, kind = "image", TensorProto.FLOAT
    if to_uint8:
        result, kind = "pixels", TensorProto.UINT8
        nodes += [
            helper.make_node("Round", ["image"], ["rounded"]),
            helper.make_node("Cast", ["rounded"], ["pixels"], to=kind),
        ]
    axes = [batch, *shape[1:]]
    results = [helper.make_tensor_value_info(result, kind, axes)]
    for number in range(1, outputs):
        nodes.append(helper.make_node("Neg", [result], [f"other{number}"]))
        results.append(helper.make_tensor_value_info(f"other{number}", kind, axes))
    graph = helper.make_graph(nodes, "generator", inputs, results, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))
    return path


def script_generator(path: Path) -> Path:
    """Write the same in TorchScript, with a number and a tensor that have defaults."""
    import torch

    class Faces(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("matrix", torch.from_numpy(weights()))

        def forward(
            self, z: torch.Tensor, psi: float = 0.5, noise: torch.Tensor | None = None
        ) -> tuple[torch.Tensor, torch.Tensor]:
            latent = z.flatten(1) * psi
            if noise is not None:
                latent = latent + noise
            return torch.tanh(latent @ self.matrix).reshape(-1, 3, 16, 16), latent

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript as such
        torch.jit.script(Faces()).save(str(path))
    return path


def exported_generator(path: Path, *, keyword: bool = False) -> Path:
    """Write the same by torch.export, with a further input given by place or by keyword."""
    import torch

    class Faces(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("matrix", torch.from_numpy(weights()))

        def forward(self, z: torch.Tensor, psi: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
            images = torch.tanh(z.flatten(1) * psi @ self.matrix) * scale
            return images.reshape(-1, 3, SIDE, SIDE)

    z, psi = torch.zeros(2, DIM), torch.tensor(1.0)
    given = ((z,), {"psi": psi, "scale": 1.0}) if keyword else ((z, psi, 1.0), {})
    axes = {"z": {0: torch.export.Dim("batch")}, "psi": None, "scale": None}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own making
        torch.export.save(torch.export.export(Faces(), *given, dynamic_shapes=axes), str(path))
    return path
