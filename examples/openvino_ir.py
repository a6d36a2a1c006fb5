"""Turn an OpenVINO IR graph into ONNX nodes: the operators that MobileStyleGAN needs, no more.

Checked once against OpenVINO 2026.4.1 in float32: four faces differ by 3.4e-4 at most, of
values in -1..1.
"""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

TYPES = {"f32": np.float32, "i64": np.int64, "i32": np.int32}
ELEMENTWISE = {"Add": "Add", "Multiply": "Mul", "Power": "Pow"}


class Graph(NamedTuple):
    """The nodes of one network, with names that begin in its prefix."""

    nodes: list[NodeProto]
    constants: list[TensorProto]
    input: str
    output: str


class Layer(NamedTuple):
    """One operator of the IR: its attributes, and what it reads and writes."""

    attributes: dict[str, str]
    inputs: list[str]
    input_shapes: list[tuple[int, ...]]
    outputs: list[str]
    output_shapes: list[tuple[int, ...]]


def read_ir(xml: bytes, weights: bytes, prefix: str) -> Graph:
    """Read one network of an IR.

    Parameters
    ----------
    xml, weights
        The two files of the network.
    prefix
        Goes before every name, so that two networks can share one graph.

    Raises
    ------
    SystemExit
        It holds an operator that is not among those below.
    """
    root = ElementTree.fromstring(xml)
    sources = {
        (edge.get("to-layer"), edge.get("to-port")): (edge.get("from-layer"), edge.get("from-port"))
        for edge in root.find("edges")
    }
    reader = _Reader(weights)
    ends = {}
    for element in root.find("layers"):
        number, kind = element.get("id"), element.get("type")
        ports = element.findall("input/port")
        layer = Layer(
            {} if element.find("data") is None else dict(element.find("data").attrib),
            [prefix + "_".join(sources[number, port.get("id")]) for port in ports],
            [_shape(port) for port in ports],
            [f"{prefix}{number}_{port.get('id')}" for port in element.findall("output/port")],
            [_shape(port) for port in element.findall("output/port")],
        )
        if kind == "Parameter":
            ends["input"] = layer.outputs[0]
        elif kind == "Result":
            ends["output"] = layer.inputs[0]
        elif kind == "Const":
            reader.read_constant(layer)
        else:
            reader.convert(kind, layer)
    constants = [numpy_helper.from_array(value, name) for name, value in reader.constants.items()]
    return Graph(reader.nodes, constants, **ends)


def _shape(port: ElementTree.Element) -> tuple[int, ...]:
    return tuple(int(dim.text) for dim in port.findall("dim"))


class _Reader:
    def __init__(self, weights: bytes) -> None:
        self.weights = weights
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[np.generic]] = {}

    def read_constant(self, layer: Layer) -> None:
        about = layer.attributes
        start, size = int(about["offset"]), int(about["size"])
        values = np.frombuffer(self.weights[start : start + size], TYPES[about["element_type"]])
        if values.dtype == np.int32:  # axes and shapes, which are 64-bit in ONNX
            values = values.astype(np.int64)
        self.constants[layer.outputs[0]] = values.reshape(layer.output_shapes[0])

    def convert(self, kind: str, layer: Layer) -> None:
        if kind in ELEMENTWISE:
            self.add(ELEMENTWISE[kind], layer, *layer.inputs)
            return
        converters: dict[str, Callable[[Layer], None]] = {
            "ShapeOf": lambda one: self.add("Shape", one, *one.inputs),
            "Reshape": lambda one: self.add("Reshape", one, *one.inputs),
            "Broadcast": lambda one: self.add("Expand", one, *one.inputs),
            "Tile": lambda one: self.add("Tile", one, *one.inputs),
            "Concat": lambda one: self.add(
                "Concat", one, *one.inputs, axis=int(one.attributes["axis"])
            ),
            "MatMul": lambda one: self.add("Gemm", one, *one.inputs, transB=1),
            "Gather": self.gather,
            "Unsqueeze": self.axes("Unsqueeze"),
            "Squeeze": self.axes("Squeeze"),
            "ReduceMean": self.axes("ReduceMean"),
            "PReLU": self.prelu,
            "VariadicSplit": self.split,
            "Convolution": self.convolution,
            "GroupConvolution": self.group_convolution,
            "GroupConvolutionBackpropData": self.transposed_convolution,
        }
        if kind not in converters:
            raise SystemExit(f"cannot convert the OpenVINO operator {kind}")
        converters[kind](layer)

    def add(self, kind: str, layer: Layer, *inputs: str, **attributes: object) -> None:
        self.nodes.append(helper.make_node(kind, inputs, layer.outputs, **attributes))

    def gather(self, layer: Layer) -> None:
        data, indices, axis = layer.inputs
        self.add("Gather", layer, data, indices, axis=int(self.constants[axis]))

    def axes(self, kind: str) -> Callable[[Layer], None]:
        def convert(layer: Layer) -> None:
            data, axes = layer.inputs
            flat = self.constant(f"{layer.outputs[0]}_axes", self.constants[axes].reshape(-1))
            self.add(kind, layer, data, flat)

        return convert

    def prelu(self, layer: Layer) -> None:
        data, slope = layer.inputs
        values = self.constants[slope]
        if values.size > 1:  # one slope a channel
            values = values.reshape(-1, *[1] * (len(layer.input_shapes[0]) - 2))
        self.add("PRelu", layer, data, self.constant(f"{layer.outputs[0]}_slope", values))

    def split(self, layer: Layer) -> None:
        data, axis, _ = layer.inputs
        along = int(self.constants[axis])
        lengths = np.array([shape[along] for shape in layer.output_shapes], dtype=np.int64)
        parts = self.constant(f"{layer.outputs[0]}_lengths", lengths)
        self.add("Split", layer, data, parts, axis=along)

    def convolution(self, layer: Layer) -> None:
        self.add("Conv", layer, *layer.inputs, **_window(layer))

    def group_convolution(self, layer: Layer) -> None:
        self.grouped("Conv", layer)

    def transposed_convolution(self, layer: Layer) -> None:
        self.grouped("ConvTranspose", layer)

    def grouped(self, kind: str, layer: Layer) -> None:
        """Join the axis of groups, which ONNX does not have, with the one after it."""
        data, kernel = layer.inputs
        groups, first, *rest = layer.input_shapes[1]
        shape = self.constant(
            f"{layer.outputs[0]}_kernel_shape", np.array([groups * first, *rest], dtype=np.int64)
        )
        joined = f"{layer.outputs[0]}_kernel"
        self.nodes.append(helper.make_node("Reshape", [kernel, shape], [joined]))
        self.add(kind, layer, data, joined, group=groups, **_window(layer))

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        self.constants[name] = values
        return name


def _window(layer: Layer) -> dict[str, list[int]]:
    def numbers(name: str) -> list[int]:
        return [int(part) for part in layer.attributes[name].split(",")]

    return {
        "strides": numbers("strides"),
        "dilations": numbers("dilations"),
        "pads": numbers("pads_begin") + numbers("pads_end"),
    }
