"""The tensors of a PyTorch checkpoint, without running what else is pickled in it."""

from __future__ import annotations

import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from damcli.errors import InputError, MissingExtra
from damcli.models.tensors import RefusedPickle, StoredTensor


def list_torch(path: Path) -> list[StoredTensor]:
    """List the tensors of a ``.pt`` or ``.pth`` file; nested dicts give dotted names."""
    stored = load_plain(path)
    import torch

    tensors: list[StoredTensor] = []
    for name, value in _leaves(stored, "", set()):
        if isinstance(value, torch.Tensor):
            dtype = str(value.dtype).removeprefix("torch.")
            if value.layout is not torch.strided:
                dtype = f"sparse {dtype}"
            name = name or path.stem
            tensors.append(StoredTensor(name, tuple(value.shape), dtype, partial(_numpy_of, value)))
    return tensors


def load_plain(path: Path) -> Any:
    """Load what PyTorch saved, tensors mapped and not read, and nothing but plain values.

    Raises
    ------
    InputError
        It would run code.
    MissingExtra
        PyTorch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(f"reading {path.name}", "torch") from error
    try:
        with warnings.catch_warnings():
            # they speak of torch's own past and of pickle protocols, not of the user's weights
            warnings.simplefilter("ignore")
            return torch.load(
                path,
                map_location="cpu",
                weights_only=True,
                mmap=zipfile.is_zipfile(path),  # torch's older layout cannot be mapped
            )
    except Exception as error:
        refused = re.search(r"GLOBAL (\S+)", str(error))
        if refused:
            raise RefusedPickle(path, f" ({refused[1]})") from error
        if "TorchScript" in str(error):
            raise InputError(
                str(path),
                "is a TorchScript program, and damcli refuses to run code from a checkpoint; "
                "expected saved weights",
                hint="save only its weights: torch.save(torch.jit.load(IN).state_dict(), OUT)",
            ) from error
        if "Weights only load failed" in str(error):
            # torch's text goes on to advise loading it unsafely, which no message of ours may
            reason = re.search(r"WeightsUnpickler error:\s*(\S.*)", str(error))
            raise ValueError(reason[1] if reason else "not a pickle of plain tensors") from error
        raise


def _leaves(value: Any, name: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, Mapping | list | tuple):
        yield name, value
        return
    # a pickle can hold a container inside itself, or many times over
    if id(value) in seen or _is_optimizer_state(value):
        return
    seen.add(id(value))
    children = value.items() if isinstance(value, Mapping) else enumerate(value)
    for key, child in children:
        yield from _leaves(child, f"{name}.{key}" if name else str(key), seen)


def _is_optimizer_state(value: Any) -> bool:
    """Tell the ``state_dict`` of any torch optimizer.

    Its moments have the shape of the weights that they belong to, so each would stand
    beside the class centres as if it might be them.
    """
    return isinstance(value, Mapping) and {"state", "param_groups"} <= value.keys()


def _numpy_of(tensor: Any) -> NDArray[Any]:
    plain = tensor.detach()
    if str(plain.dtype) == "torch.bfloat16":  # numpy has no such type
        plain = plain.float()
    values: NDArray[Any] = plain.numpy()
    return values
