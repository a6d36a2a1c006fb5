"""A model in ONNX before it runs: its inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from damcli.errors import InputError
from damcli.models.batching import NUMBERS, spec_of_shape, with_size
from damcli.models.contract import Preprocessing
from damcli.models.network import InputSpec, Layout
from damcli.models.onnx_file import CheckedFile, check_file

METADATA_KEY = "damcli.preprocessing"
_BY_BATCH = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
_LISTED = 20


@dataclass(frozen=True)
class Graph:
    """What is known of an ONNX file.

    Attributes
    ----------
    file
        The file that it is in.
    input
        The images.
    output
        The name of the output to read.
    notes
        What the user should know.
    """

    file: CheckedFile
    input: InputSpec
    output: str
    notes: tuple[str, ...]


def read_graph(
    path: Path,
    *,
    input_name: str | None = None,
    output_name: str | None = None,
    layout: Layout | None = None,
    size: tuple[int, int] | None = None,
) -> Graph:
    """Read and check an ONNX file.

    Raises
    ------
    InputError
        It is damaged, reaches out of its folder, needs foreign operators, or its input or
        output cannot be told.
    """
    file = check_file(path)
    model, notes = file.model, file.notes
    spec = with_size(_input(path, model.graph, input_name, layout), size, path)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            Preprocessing.from_json(entry.value, str(path))
            spec = replace(spec, preprocessing=entry.value)
    if spec.batch is None and _BY_BATCH & {
        node.op_type for graph in file.graphs for node in graph.node
    }:
        # its scale is taken over the whole batch, so an image's numbers hang on the others
        spec = replace(spec, batch=1)
        notes = (*notes, "one image at a time: it quantises by the whole batch")
    output = _output(path, model.graph, output_name)
    return Graph(file, spec, output, notes)


def _input(path: Path, graph: Any, name: str | None, layout: Layout | None) -> InputSpec:
    filled = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in filled]
    if name is not None and name not in {value.name for value in inputs}:
        raise _no_such(path, "input", name, inputs)
    if len(inputs) != 1:
        raise InputError(
            str(path),
            f"has {len(inputs)} inputs; expected one, the images:\n{_listing(inputs)}",
            hint="export it with the images as its only input",
        )
    dtype = _dtype(inputs[0])
    if dtype not in NUMBERS or dtype == "bfloat16":
        raise InputError(
            str(path),
            f"input '{inputs[0].name}' is {dtype}; expected float32, float16, float64 or uint8",
            hint="export it with a float32 input",
        )
    shape = _shape(inputs[0])
    if shape is None:
        shape = (None,) * 4
    return replace(spec_of_shape(path, inputs[0].name, shape, layout), dtype=dtype)


def _output(path: Path, graph: Any, name: str | None) -> str:
    outputs = list(graph.output)
    if name is not None:
        if name not in {value.name for value in outputs}:
            raise _no_such(path, "output", name, outputs)
        return name
    fitting = outputs if len(outputs) == 1 else [one for one in outputs if _is_embedding(one)]
    if len(fitting) != 1:
        raise InputError(
            str(path),
            f"has {len(outputs)} outputs, {len(fitting)} of them (B, D) in floats; expected one:\n"
            f"{_listing(outputs)}",
            hint="name the embedding: --output-name NAME",
        )
    return str(fitting[0].name)


def _is_embedding(value: Any) -> bool:
    shape = _shape(value)
    if shape is None or len(shape) < 2 or "float" not in _dtype(value):
        return False
    return shape[1] != 1 and all(axis == 1 for axis in shape[2:])


def _no_such(path: Path, what: str, name: str, values: list[Any]) -> InputError:
    return InputError(
        str(path),
        f"has no {what} '{name}'; expected one of:\n{_listing(values)}",
        hint="leave the name out where there is one only",
    )


def _listing(values: list[Any]) -> str:
    lines = [f"  {one.name} {_dtype(one)} {_axes(one)}" for one in values[:_LISTED]]
    if len(values) > _LISTED:
        lines.append(f"  and {len(values) - _LISTED} more")
    return "\n".join(lines)


def _axes(value: Any) -> str:
    shape = _shape(value)
    if shape is None:
        return "of unknown shape"
    return "(" + ", ".join("any" if axis is None else str(axis) for axis in shape) + ")"


def _dtype(value: Any) -> str:
    from onnx import TensorProto

    if not value.type.HasField("tensor_type"):
        return "no tensor"
    name = TensorProto.DataType.Name(value.type.tensor_type.elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, str(name))


def _shape(value: Any) -> tuple[int | None, ...] | None:
    if not value.type.tensor_type.HasField("shape"):
        return None
    axes = value.type.tensor_type.shape.dim
    return tuple(axis.dim_value if axis.dim_value > 0 else None for axis in axes)
