"""A generator in PyTorch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.models.program import NUMBER, Feeds, GraphInput
from damcli.models.torch_network import module_of

Call = Callable[[Mapping[str, Any]], Any]


class TorchProgram:
    """A program of PyTorch as a `damcli.models.program.Program`.

    Parameters
    ----------
    call
        Runs it on the values of its inputs by name.
    inputs
        What they are.
    device
        Of torch, where it runs.
    runtime
        What runs it, and where.
    """

    def __init__(
        self, call: Call, inputs: tuple[GraphInput, ...], device: Any, runtime: str
    ) -> None:
        self._call = call
        self._device = device
        self.inputs = inputs
        self.runtime = runtime

    def run(self, feeds: Feeds) -> dict[str, NDArray[Any]]:
        """Return the outputs that are tensors, named by their number."""
        import torch

        with torch.inference_mode():
            made = self._call({name: self._value(value) for name, value in feeds.items()})
            several = made if isinstance(made, list | tuple) else [made]
            tensors = {
                f"output{number}": value
                for number, value in enumerate(several)
                if isinstance(value, torch.Tensor)
            }
            return {name: self._array(value) for name, value in tensors.items()}

    def _value(self, value: NDArray[Any] | float) -> Any:
        import torch

        if isinstance(value, np.ndarray):
            return torch.from_numpy(value).to(self._device)
        return int(value) if value == int(value) else value

    @staticmethod
    def _array(tensor: Any) -> NDArray[Any]:
        plain = tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor
        values: NDArray[Any] = plain.cpu().numpy()
        return values


def script_program(module: Any, device: Any, runtime: str) -> TorchProgram:
    """Take a TorchScript module, which tells its inputs but not their shapes."""
    inputs = tuple(
        GraphInput(
            argument.name,
            None,
            "float32" if "Tensor" in str(argument.type) else NUMBER,
            argument.has_default_value(),
        )
        for argument in module.forward.schema.arguments[1:]
    )
    return TorchProgram(lambda values: module(**values), inputs, device, runtime)


def exported_program(exported: Any, device: Any, runtime: str) -> TorchProgram:
    """Take what torch.export saved, which tells shapes too, and has no defaults."""
    placeholders = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    # an argument that was a plain number stands there as its value, which cannot be another
    arguments = exported.graph_signature.user_inputs
    inputs = []
    for name in (one for one in arguments if isinstance(one, str) and one in placeholders):
        value = placeholders[name].meta["val"]
        shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
        inputs.append(GraphInput(name, shape, str(value.dtype).removeprefix("torch.")))
    module = module_of(exported).to(device)
    by_name = list(exported.call_spec.in_spec.child(1).context or ())

    def call(values: Mapping[str, Any]) -> Any:
        given = [values[one] if isinstance(one, str) else one for one in arguments]
        plain = len(given) - len(by_name)
        return module(*given[:plain], **dict(zip(by_name, given[plain:], strict=True)))

    return TorchProgram(call, tuple(inputs), device, runtime)
