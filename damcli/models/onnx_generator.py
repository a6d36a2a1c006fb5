"""A generator in ONNX."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from damcli.models.onnx_network import run_options, runtime_of
from damcli.models.program import Feeds, GraphInput

_TYPES = {"float": "float32", "double": "float64", "bool": "bool"}


class OnnxProgram:
    """An ONNX graph as a `damcli.models.program.Program`.

    Parameters
    ----------
    session
        The graph in onnxruntime.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._options = run_options()
        self.runtime = runtime_of(session)
        needed = [_graph_input(one, optional=False) for one in session.get_inputs()]
        # an input that the file also gives a value may be left out
        spare = [_graph_input(one, optional=True) for one in session.get_overridable_initializers()]
        self.inputs = (*needed, *spare)

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Return the outputs by name."""
        names = [one.name for one in self._session.get_outputs()]
        return dict(zip(names, self._session.run(names, dict(feeds), self._options), strict=True))


def _graph_input(argument: Any, *, optional: bool) -> GraphInput:
    shape = tuple(axis if isinstance(axis, int) else None for axis in argument.shape)
    word = argument.type.removeprefix("tensor(").removesuffix(")")
    return GraphInput(argument.name, shape, _TYPES.get(word, word), optional)
