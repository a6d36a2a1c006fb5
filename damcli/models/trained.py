"""What ``damcli train`` saves of a model: enough to run it without further options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.errors import InputError
from damcli.models.backbones import BACKBONES, PREPROCESSING, build_backbone
from damcli.models.checkpoints import damage_reported, require_file
from damcli.models.contract import Preprocessing
from damcli.models.pytorch import load_plain

if TYPE_CHECKING:
    import torch

MARK = "damcli"
KIND = "checkpoint"
VERSION = 1


@dataclass(frozen=True, eq=False)
class Trained:
    """A backbone and its weights at one step of its training.

    Attributes
    ----------
    backbone
        One of `damcli.models.backbones.BACKBONES`.
    dim
        D, the dimension of the embeddings.
    dropout
        Of its head, in training.
    preprocessing
        Of the images that it was trained on.
    step
        How many steps it was trained for.
    weights
        The ``state_dict`` of the plain module: without the prefixes that
        `torch.nn.parallel` and `torch.compile` put before its names.
    """

    backbone: str
    dim: int
    dropout: float
    preprocessing: Preprocessing
    step: int
    weights: dict[str, torch.Tensor]


def pack(trained: Trained) -> dict[str, Any]:
    """Return a checkpoint to `torch.save`; it holds only tensors, text and numbers.

    Whoever saves it may add keys, such as the state of an optimizer.
    """
    return {
        MARK: KIND,
        "version": VERSION,
        "backbone": trained.backbone,
        "dim": trained.dim,
        "dropout": trained.dropout,
        "preprocessing": trained.preprocessing.as_json(),
        "step": trained.step,
        "weights": trained.weights,
    }


def read_trained(path: Path) -> Trained:
    """Read the model of a checkpoint that `pack` made; other keys stay on the disk.

    Raises
    ------
    InputError
        There is no such file, it is none of these, it is damaged, or it would run code.
    MissingExtra
        PyTorch is not installed.
    """
    found = find_trained(path)
    if found is None:
        raise InputError(
            str(path),
            "is no checkpoint of damcli train; expected the state.pt of one",
            hint="damcli embed takes weights of other networks, with --arch",
        )
    return found


def find_trained(path: Path) -> Trained | None:
    """Read the model of a checkpoint; None where the file holds weights of another kind.

    Raises
    ------
    InputError, MissingExtra
        As `read_trained`.
    """
    require_file(path, "a checkpoint")
    with damage_reported(path):
        document = load_plain(path)
    if not isinstance(document, Mapping) or document.get(MARK) != KIND:
        return None
    if document.get("version") != VERSION:
        raise InputError(
            str(path),
            f"is a checkpoint of version {document.get('version')}; expected {VERSION}",
            hint="it was written by a newer damcli: use that one",
        )
    try:
        return _checked(document, path)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            str(path),
            f"is a damaged checkpoint ({reason}); expected one that damcli train wrote",
            hint="take another one of the same run",
        ) from error


def rebuild(trained: Trained) -> torch.nn.Module:
    """Return the network with its weights, ready to embed, in eval mode on the CPU."""
    network = _without_weights(trained.backbone, trained.dim, trained.dropout)
    network.load_state_dict(trained.weights, assign=True)
    return network.eval()


def _checked(document: Mapping[str, Any], path: Path) -> Trained:
    backbone, dim, dropout = (document[name] for name in ("backbone", "dim", "dropout"))
    step, weights = document["step"], document["weights"]
    if backbone not in BACKBONES:
        raise ValueError(f"backbone {backbone!r} is none of {', '.join(BACKBONES)}")
    if not (isinstance(dim, int) and dim > 0 and isinstance(step, int) and step >= 0):
        raise ValueError(f"dim is {dim!r} and step is {step!r}")
    if not (isinstance(dropout, int | float) and 0 <= dropout < 1):
        raise ValueError(f"dropout is {dropout!r}")
    preprocessing = Preprocessing.from_json(document["preprocessing"], str(path))
    if (preprocessing.size, preprocessing.channels) != (PREPROCESSING.size, PREPROCESSING.channels):
        raise ValueError(f"{backbone} does not take images of {preprocessing.as_json()}")
    wanted = _shapes(_without_weights(backbone, dim, dropout).state_dict())
    found = _shapes(weights)
    if found != wanted:
        differing = [name for name in {**wanted, **found} if found.get(name) != wanted.get(name)]
        name = differing[0]
        raise ValueError(
            f"'{name}' is {found.get(name, 'missing')}, and {wanted.get(name, 'missing')} in "
            f"{backbone}; {len(differing)} weights differ"
        )
    # a mapped file that is overwritten in place would end the process
    owned = {name: values.clone() for name, values in weights.items()}
    return Trained(backbone, dim, dropout, preprocessing, step, owned)


def _shapes(weights: Mapping[str, torch.Tensor]) -> dict[str, str]:
    return {
        name: f"{str(values.dtype).removeprefix('torch.')} {tuple(values.shape)}"
        for name, values in weights.items()
    }


def _without_weights(backbone: str, dim: int, dropout: float) -> torch.nn.Module:
    """Build the network without memory for its weights, and without drawing any."""
    import torch

    with torch.device("meta"):
        return build_backbone(backbone, dim=dim, dropout=dropout)
