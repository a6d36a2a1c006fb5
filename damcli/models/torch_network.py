"""Running a model by PyTorch: TorchScript, `torch.export`, damcli's own, or weights and code.

A TorchScript file and a `torch.export` file hold a program, and running the model runs it:
PyTorch's operators on tensors. Nothing in them is unpickled beyond tensors.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, MissingExtra, UserError
from damcli.models.batching import (
    NUMBERS,
    LoadedNetwork,
    digest_of,
    reason_of,
    spec_of_shape,
    with_size,
)
from damcli.models.checkpoints import list_tensors
from damcli.models.network import Device, Layout
from damcli.models.torch_arch import build, load_weights
from damcli.models.torch_files import check_exported, kind_of, saving_told, weights_only
from damcli.models.trained import Trained, find_trained, rebuild


def open_torch(
    path: Path,
    *,
    device: Device = "auto",
    threads: int | None = None,
    arch: str | None = None,
    input_name: str | None = None,
    output_name: str | None = None,
    layout: Layout | None = None,
    size: tuple[int, int] | None = None,
) -> LoadedNetwork:
    """Load a PyTorch model; the arguments are those of `damcli.models.opening.open_network`."""
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(f"running {path.name}", "torch") from error
    where = torch_device(torch, device)
    is_plain = path.suffix.lower() == ".safetensors"
    kind = "weights" if is_plain else kind_of(path)
    with saving_told():
        trained = find_trained(path) if kind == "weights" and not is_plain else None
    if (kind != "weights" or trained is not None) and arch is not None:
        raise InputError(
            str(path),
            "is a whole model; expected saved weights for --arch",
            hint="leave out --arch",
        )
    notes: tuple[str, ...] = ()
    # nobody can mend what torch says of its own future
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind == "exported":
            program, shape, dtype, arguments = _exported(torch, path)
        else:
            if kind == "torchscript":
                program = loaded(path, lambda: torch.jit.load(str(path), map_location="cpu"))
            elif trained is not None:
                program = rebuild(trained)
            else:
                program, notes = _with_weights(path, arch)
            program.eval()
            shape = (None,) * 4 if trained is None else (None, *_image_shape(trained))
            dtype = _dtype_of(program)
            arguments = _arguments(program)
        program.to(where)
    name = _input_name(path, arguments, input_name)
    # in torch channels come first, unless the user says that this model turns them
    spec = replace(spec_of_shape(path, name, shape, layout or _usual(shape)), dtype=dtype)
    if trained is not None:
        spec = replace(spec, preprocessing=trained.preprocessing.as_json())
    if threads is not None:
        torch.set_num_threads(threads)
    return LoadedNetwork(
        path,
        digest_of(path),
        f"torch {torch.__version__}, {where.upper()}",
        with_size(spec, size, path),
        _forward(torch, path, program, where, dtype, output_name),
        notes,
    )


def torch_device(torch: Any, device: Device) -> str:
    """Return the device that a program runs on; one that was asked for and is missing raises."""
    there = torch.cuda.is_available()
    if device == "cuda" and not there:
        raise UserError(
            "--device cuda: PyTorch finds no CUDA device; expected one",
            hint="check the driver, and that this PyTorch is built for CUDA; or --device cpu",
        )
    return "cuda" if there and device != "cpu" else "cpu"


def loaded(path: Path, load: Any) -> Any:
    """Load something by torch; what it raises on damaged bytes becomes an `InputError`."""
    try:
        return load()
    except (UserError, MemoryError, ImportError):
        raise
    except Exception as error:  # on damaged bytes torch raises whatever comes
        raise InputError(
            str(path),
            f"cannot be loaded ({reason_of(error)}); expected a whole PyTorch model",
            hint="it may be cut short, or written by a newer PyTorch",
        ) from error


def load_exported(torch: Any, path: Path) -> Any:
    """Load a `torch.export` program that holds tensors and PyTorch's operators alone."""

    def load() -> Any:
        check_exported(path)
        with weights_only(), path.open("rb") as file:
            return torch.export.load(file)

    return loaded(path, load)


def module_of(program: Any) -> Any:
    """Return the module of a `torch.export` program."""
    # the guards are code from the file, written out and executed; shapes are checked by run
    takes_guards = "check_guards" in inspect.signature(program.module).parameters
    return program.module(check_guards=False) if takes_guards else program.module()


def _exported(torch: Any, path: Path) -> tuple[Any, tuple[int | None, ...], str, list[str]]:
    """Load a `torch.export` program: its module, its input's shape, type and names."""
    program = load_exported(torch, path)
    arguments = list(program.graph_signature.user_inputs)
    images = next((n for n in program.graph.nodes if n.name == str(arguments[0])), None)
    value = None if images is None else images.meta.get("val")
    if not isinstance(value, torch.Tensor):
        raise InputError(
            str(path), f"its first input '{arguments[0]}' is no tensor; expected a batch of images"
        )
    shape = tuple(axis if isinstance(axis, int) else None for axis in value.shape)
    dtype = _known_dtype(path, str(value.dtype))
    return module_of(program), shape, dtype, [str(one) for one in arguments]


def _image_shape(trained: Trained) -> tuple[int, int, int]:
    return (trained.preprocessing.channels, *trained.preprocessing.size)


def _with_weights(path: Path, arch: str | None) -> tuple[Any, tuple[str, ...]]:
    with saving_told():
        if arch is not None:
            network = build(arch)
            return network, load_weights(path, network)
        list_tensors(path)
    raise InputError(
        str(path),
        "holds weights without the network that they belong to; expected TorchScript or "
        "torch.export, or the network's code",
        hint="--arch package.module:factory names a callable that returns the torch.nn.Module",
    )


def _dtype_of(program: Any) -> str:
    """Return the type of a module's weights, which its images must have too."""
    for values in (*program.parameters(), *program.buffers()):
        if values.dtype.is_floating_point:
            return str(values.dtype).removeprefix("torch.")
    return "float32"


def _known_dtype(path: Path, name: str) -> str:
    dtype = name.removeprefix("torch.")
    if dtype not in NUMBERS:
        raise InputError(
            str(path),
            f"its input is {dtype}; expected {', '.join(NUMBERS)}",
            hint="export it again",
        )
    return dtype


def _arguments(program: Any) -> list[str]:
    """Name the inputs that a module's ``forward`` cannot do without."""
    schema = getattr(program.forward, "schema", None)
    if schema is not None:
        return [one.name for one in schema.arguments[1:] if not one.has_default_value()]
    return [
        one.name
        for one in inspect.signature(program.forward).parameters.values()
        if one.default is one.empty and one.kind is not one.VAR_KEYWORD
    ]


def _input_name(path: Path, arguments: list[str], wanted: str | None) -> str:
    if len(arguments) != 1:
        raise InputError(
            str(path),
            f"has {len(arguments)} inputs ({', '.join(arguments)}); expected one, the images",
            hint="export it with the images as its only input",
        )
    if wanted not in (None, arguments[0]):
        raise InputError(
            str(path),
            f"has no input '{wanted}'; expected '{arguments[0]}'",
            hint="leave out --input",
        )
    return arguments[0]


def _usual(shape: tuple[int | None, ...]) -> Layout | None:
    return "NCHW" if len(shape) == 4 and shape[1] in (None, 1, 3) and shape[3] != 3 else None


def _forward(
    torch: Any, path: Path, program: Any, where: str, dtype: str, output_name: str | None
) -> Any:
    kind = getattr(torch, dtype)

    def forward(batch: NDArray[Any]) -> NDArray[Any]:
        images = torch.from_numpy(np.ascontiguousarray(batch)).to(where, kind)
        # TF32 keeps 10 bits of a float32, and the CPU's numbers would not come out
        exact = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            output = _embedding(torch, path, program(images), output_name)
        values: NDArray[Any] = output.float().cpu().numpy()
        return values

    return forward


def _embedding(torch: Any, path: Path, result: Any, name: str | None) -> Any:
    """Pick the embedding out of what a model returns: by name, or the one that looks like it."""
    named = _named(torch, result)
    if name is not None and name not in named:
        raise InputError(str(path), f"has no output '{name}'; expected one of:\n{_listing(named)}")
    if name is not None:
        return named[name]
    fitting = list(named.values())
    if len(named) > 1:
        fitting = [one for one in fitting if _looks_like_embedding(one)]
    if len(fitting) != 1:
        raise InputError(
            str(path),
            f"has {len(named)} outputs, {len(fitting)} of them (B, D) in floats; expected one:\n"
            f"{_listing(named)}",
            hint="name the embedding: --output-name NAME",
        )
    return fitting[0]


def _named(torch: Any, result: Any) -> dict[str, Any]:
    """Name the tensors of a result: by its keys or fields, else by their places from 0."""
    if isinstance(result, torch.Tensor):
        return {"0": result}
    if isinstance(result, Mapping):
        pairs = list(result.items())
    elif hasattr(result, "_fields"):
        pairs = list(zip(result._fields, result, strict=True))
    elif isinstance(result, list | tuple):
        pairs = list(enumerate(result))
    else:
        pairs = []
    return {str(key): value for key, value in pairs if isinstance(value, torch.Tensor)}


def _looks_like_embedding(value: Any) -> bool:
    shape = tuple(value.shape)
    if not value.is_floating_point() or len(shape) < 2:
        return False
    return shape[1] != 1 and all(axis == 1 for axis in shape[2:])


def _listing(named: Mapping[str, Any]) -> str:
    return "\n".join(
        f"  {name} {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
        for name, value in named.items()
    )
