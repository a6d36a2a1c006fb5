"""An ONNX file, whatever it is for: read, and refused where it holds what it must not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from damcli.errors import InputError
from damcli.models.batching import digest_of, reason_of

_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"}


class CheckedFile(NamedTuple):
    """An ONNX file that holds nothing it must not, and its digest.

    ``mended`` is the whole model without the inputs that nothing reads; None where the file
    can be run as it is.
    """

    model: Any
    graphs: list[Any]
    digest: str
    mended: bytes | None
    notes: tuple[str, ...]


def check_file(path: Path) -> CheckedFile:
    """Read an ONNX file, whatever it is for.

    Raises
    ------
    InputError
        It is damaged, reaches out of its folder, or needs foreign operators.
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
    digest = digest_of(path, _external_files(path, graphs))
    mended, notes = _without_orphans(model, graphs)
    return CheckedFile(model, graphs, digest, model.SerializeToString() if mended else None, notes)


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
