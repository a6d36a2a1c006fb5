"""A state dict and the code that it belongs to: ``--arch package.module:factory``."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from damcli.errors import InputError, UserError
from damcli.models.batching import reason_of
from damcli.models.checkpoints import list_tensors
from damcli.models.tensors import StoredTensor

_NAMED = 5
_NESTINGS = {"state_dict", "model", "module", "backbone", "net", "network", "encoder"}
_HINT = "--arch names a callable without arguments that returns the torch.nn.Module"


def build(arch: str) -> Any:
    """Import and call a factory; the working folder counts as importable.

    Raises
    ------
    UserError
        There is no such thing, it fails, or what it returns is no module.
    """
    import torch

    module_name, _, name = arch.partition(":")
    if not module_name or not name:
        raise UserError(f"--arch is '{arch}'; expected package.module:factory", hint=_HINT)
    with _working_folder():
        try:
            factory: Any = importlib.import_module(module_name)
            for part in name.split("."):
                factory = getattr(factory, part)
        except AttributeError as error:
            raise UserError(
                f"--arch {arch}: '{module_name}' has no '{name}'; expected a factory", hint=_HINT
            ) from error
        except Exception as error:  # importing runs the user's code
            raise UserError(
                f"--arch {arch}: importing '{module_name}' fails ({type(error).__name__}: "
                f"{reason_of(error)}); expected a module of Python",
                hint="install it, or run damcli in the folder where it lies",
            ) from error
        if not callable(factory):
            raise UserError(
                f"--arch {arch}: is {type(factory).__name__}, not callable; expected a factory",
                hint=_HINT,
            )
        try:
            network = factory()
        except Exception as error:
            raise UserError(
                f"--arch {arch}: calling it fails ({type(error).__name__}: {reason_of(error)}); "
                "expected a torch.nn.Module",
                hint=_HINT,
            ) from error
    if not isinstance(network, torch.nn.Module):
        raise UserError(
            f"--arch {arch}: returns {type(network).__name__}; expected a torch.nn.Module",
            hint=_HINT,
        )
    return network


def load_weights(path: Path, network: Any) -> tuple[str, ...]:
    """Fill a module from a checkpoint, wherever in its nested dicts the weights lie.

    Returns
    -------
    tuple of str
        What was left out, for the user.

    Raises
    ------
    InputError
        The weights are not this module's.
    """
    import torch

    wanted = network.state_dict()
    stored = {tensor.name: tensor for tensor in list_tensors(path)}
    prefix = _prefix(path, stored, list(wanted))
    found = {
        name.removeprefix(prefix): tensor
        for name, tensor in stored.items()
        if name.startswith(prefix)
    }
    # counters of training, which files from before PyTorch 0.4.1 lack
    missing = [k for k in wanted if k not in found and not k.endswith("num_batches_tracked")]
    unexpected = [key for key in found if key not in wanted]
    if missing or unexpected:
        raise InputError(
            str(path),
            f"is not of this --arch: {_some(missing)} missing, {_some(unexpected)} unexpected; "
            "expected the same keys",
            hint="the factory must build the network that was trained, with the same head",
        )
    for key, tensor in found.items():
        if tensor.shape != tuple(wanted[key].shape):
            raise InputError(
                str(path),
                f"'{key}' is {tensor.shape}, and {tuple(wanted[key].shape)} in this --arch; "
                "expected the same shape",
                hint="the factory must build the network that was trained",
            )
    values = {key: torch.from_numpy(tensor.load().copy()) for key, tensor in found.items()}
    network.load_state_dict(values, strict=False)
    outside = [name for name in stored if not name.startswith(prefix)]
    return (f"left out {_some(outside)} outside '{prefix}'",) if outside else ()


@contextmanager
def _working_folder() -> Iterator[None]:
    folder = str(Path.cwd())
    sys.path.append(folder)
    try:
        yield
    finally:
        sys.path.remove(folder)


def _prefix(path: Path, stored: dict[str, StoredTensor], wanted: Sequence[str]) -> str:
    """Find where in the checkpoint the weights lie, such as ``state_dict.module.``."""
    matches: dict[str, int] = {"": 0}
    for key in wanted:
        for name in stored:
            if name == key or name.endswith(f".{key}"):
                prefix = name.removesuffix(key)
                matches[prefix] = matches.get(prefix, 0) + 1
    most = max(matches.values())
    best = [prefix for prefix, count in matches.items() if count == most]
    usual = [prefix for prefix in best if set(prefix.split(".")) - {""} <= _NESTINGS]
    if len(best) > 1 and len(usual) != 1:
        raise InputError(
            str(path),
            f"holds these weights {len(best)} times, under {', '.join(map(repr, best[:_NAMED]))}; "
            "expected them once",
            hint="save the one to use: torch.save(model.state_dict(), OUT)",
        )
    return usual[0] if len(best) > 1 else best[0]


def _some(names: Sequence[str]) -> str:
    if not names:
        return "none"
    listed = ", ".join(names[:_NAMED]) + (", …" if len(names) > _NAMED else "")
    return f"{len(names)} ({listed})"
