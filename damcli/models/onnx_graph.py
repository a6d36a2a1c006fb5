"""An ONNX file before it runs: its inputs and outputs, and what must not be in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from damcli.errors import InputError
from damcli.models.batching import NUMBERS, digest_of, reason_of, spec_of_shape, with_size
from damcli.models.contract import Preprocessing
from damcli.models.network import InputSpec, Layout

METADATA_KEY = "damcli.preprocessing"
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}
_BY_BATCH = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}
_LISTED = 20


@dataclass(frozen=True)
class Graph:
    """What is known of an ONNX file.

    Attributes
    ----------
    digest
        Of the file, and of those beside it that hold its tensors.
    input
        The images.
    output
        The name of the output to read.
    mended
        The whole model without the inputs that nothing reads; None where the file can be
        run as it is.
    notes
        What the user should know.
    """

    digest: str
    input: InputSpec
    output: str
    mended: bytes | None
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
    import onnx

    try:
        model = onnx.load(path, format="protobuf", load_external_data=False)
    except Exception as error:  # protobuf raises its own, of a private module
        raise _damaged(path, reason_of(error)) from error
    if not model.graph.node or not model.graph.output:
        raise _damaged(path, "it has no nodes")
    graphs = list(_graphs(model))
    _refuse_foreign_operators(path, model, graphs)
    beside = _external_files(path, graphs)
    mended, notes = _without_orphans(model, graphs)
    spec = with_size(_input(path, model.graph, input_name, layout), size, path)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            Preprocessing.from_json(entry.value, str(path))
            spec = replace(spec, preprocessing=entry.value)
    if spec.batch is None and _BY_BATCH & {node.op_type for graph in graphs for node in graph.node}:
        # its scale is taken over the whole batch, so an image's numbers hang on the others
        spec = replace(spec, batch=1)
        notes = (*notes, "one image at a time: it quantises by the whole batch")
    output = _output(path, model.graph, output_name)
    blob = model.SerializeToString() if mended else None
    return Graph(digest_of(path, beside), spec, output, blob, notes)


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        str(path),
        f"cannot be read ({reason}); expected a whole ONNX model",
        hint="it may be cut short or of another kind than its name says: fetch it again",
    )


def _graphs(model: Any) -> Iterator[Any]:
    """Go through the graph, the graphs inside its nodes, and the model's own functions."""
    left = [model.graph, *model.functions]
    while left:
        graph = left.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                left.extend(attribute.graphs)
                if attribute.HasField("g"):
                    left.append(attribute.g)


def _refuse_foreign_operators(path: Path, model: Any, graphs: list[Any]) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    foreign = sorted(
        {
            f"{node.domain}.{node.op_type}"
            for graph in graphs
            for node in graph.node
            if node.domain not in _DOMAINS and (node.domain, node.op_type) not in own
        }
    )
    if foreign:
        raise InputError(
            str(path),
            f"needs operators that come with a library of their own: {', '.join(foreign[:5])}; "
            "expected those of ONNX and onnxruntime",
            hint="damcli loads no code of a model's: export the model with standard operators",
        )


def _external_files(path: Path, graphs: list[Any]) -> list[Path]:
    """List the files that hold tensors; each must lie in the model's own folder."""
    from onnx import TensorProto

    folder = path.parent.resolve()
    found: dict[str, Path] = {}
    for tensor in _tensors(graphs):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        file = found.setdefault(location, path.parent / location)
        relative = Path(location)
        outside = relative.is_absolute() or ".." in relative.parts or not location
        if outside or not file.resolve().is_relative_to(folder):
            raise InputError(
                str(path),
                f"tensor '{tensor.name}' lies in '{location}', outside the model's folder; "
                "expected a data file beside the model",
                hint="keep the model and its data file side by side, as copies, not links",
            )
        if not file.is_file():
            raise InputError(
                str(path),
                f"tensor '{tensor.name}' lies in '{location}', and there is no such file; "
                "expected the data file beside the model",
                hint="fetch that file too: the model's weights are in it",
            )
        end = int(entries.get("offset", 0)) + int(entries.get("length", 0))
        if file.stat().st_size < end:
            raise InputError(
                str(file),
                f"has {file.stat().st_size} bytes, and tensor '{tensor.name}' of {path.name} ends "
                f"at {end}; expected the whole data file",
                hint="it may be cut short, or of another model: fetch it again",
            )
    return list(found.values())


def _tensors(graphs: list[Any]) -> Iterator[Any]:
    for graph in graphs:
        yield from getattr(graph, "initializer", ())  # a function has none
        for sparse in getattr(graph, "sparse_initializer", ()):
            yield from (sparse.values, sparse.indices)
        for node in graph.node:
            for attribute in node.attribute:
                yield from attribute.tensors
                if attribute.HasField("t"):
                    yield attribute.t


def _without_orphans(model: Any, graphs: list[Any]) -> tuple[bool, tuple[str, ...]]:
    """Drop the inputs that nothing reads, which the runtime would ask for."""
    graph = model.graph
    read = {name for part in graphs for node in part.node for name in node.input}
    for part in graphs:
        read.update(getattr(output, "name", output) for output in part.output)
    filled = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name in read | filled]
    orphans = [value.name for value in graph.input if value.name not in read | filled]
    if not orphans or all(value.name in filled for value in kept):
        return False, ()
    del graph.input[:]
    graph.input.extend(kept)
    names = ", ".join(orphans[:3]) + (", …" if len(orphans) > 3 else "")
    return True, (f"dropped {len(orphans)} inputs that nothing reads: {names}",)


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
            hint="name the embedding: --output NAME",
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
        hint=f"leave out --{what} where there is one only",
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
