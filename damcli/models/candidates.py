"""Which tensor of a checkpoint is the class centres, by what the user knows of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from damcli.errors import InputError
from damcli.models.tensors import FLOATS, StoredTensor

LISTED = 20
# Of face and speaker embeddings: these tell the axes of a matrix apart.
USUAL_DIMS = frozenset({64, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048})
_HEAD_HINT = (
    "many training codes save the classifier's head in a file of its own, apart from the "
    "backbone: give that one"
)


@dataclass(frozen=True)
class Known:
    """What the user knows about the class centres.

    Attributes
    ----------
    dim
        D, the dimension of the embeddings.
    classes
        C, the number of classes.
    sub_centers
        K, the number of centres per class.
    """

    dim: int | None
    classes: int | None
    sub_centers: int | None

    def __str__(self) -> str:
        axes = []
        if self.classes is not None:
            per_class = self.sub_centers or 1
            product = f" × {per_class} sub-centres" if per_class > 1 else ""
            axes.append(f"{self.classes * per_class} ({self.classes} classes{product})")
        if self.dim is not None:
            axes.append(f"{self.dim} (the dimension)")
        if not axes:
            return f"(classes, {self.sub_centers} sub-centres, dimension)"
        return f"one axis of {' and one of '.join(axes)}"


@dataclass(frozen=True)
class Reading:
    """One way to see a tensor as class centres.

    Attributes
    ----------
    tensor
        The tensor.
    rows
        C * K, the number of centres.
    dim
        D, the length of each.
    transposed
        Whether the tensor lies as (D, C * K).
    sub_centers
        K.
    """

    tensor: StoredTensor
    rows: int
    dim: int
    transposed: bool
    sub_centers: int

    def fits(self, known: Known) -> bool:
        """Tell whether this agrees with all that is known."""
        return (
            known.dim in (None, self.dim)
            and (known.classes is None or known.classes * self.sub_centers == self.rows)
            and known.sub_centers in (None, self.sub_centers)
        )


def choose(
    path: Path, stored: Sequence[StoredTensor], known: Known, name: str | None = None
) -> Reading:
    """Find the one tensor that can be the class centres, and how it lies.

    Parameters
    ----------
    path
        The checkpoint, for messages.
    stored
        All its tensors.
    known
        What narrows the choice.
    name
        The tensor's name, where the user gave it.

    Raises
    ------
    InputError
        No tensor fits, or more than one.
    """
    pool = stored if name is None else _named(path, stored, name)
    readings = [reading for one in pool for reading in _readings(one, known.sub_centers)]
    if not readings:
        raise _no_matrix(path, pool, name)
    fitting = _one_per_tensor(reading for reading in readings if reading.fits(known))
    if not fitting:
        raise _misfit(path, readings, known)
    if len(fitting) > 1:
        raise _ambiguous(path, fitting, known)
    if known.dim is None and known.classes is None and _may_be_turned(fitting[0].tensor.shape):
        raise _two_ways(path, fitting[0].tensor, known)
    return fitting[0]


def _readings(tensor: StoredTensor, sub_centers: int | None) -> list[Reading]:
    """List the ways to see a tensor as class centres, the likelier first."""
    shape = tensor.shape
    if tensor.dtype not in FLOATS:
        return []
    if len(shape) == 2 and min(shape) > 1:
        per_class = sub_centers or 1
        straight = Reading(tensor, shape[0], shape[1], False, per_class)
        turned = Reading(tensor, shape[1], shape[0], True, per_class)
        is_turned = shape[0] in USUAL_DIMS and shape[1] not in USUAL_DIMS
        return [turned, straight] if is_turned else [straight, turned]
    # K < C tells (C, K, D) from (K, C, D), which would be read as a few absurd classes
    if len(shape) == 3 and 0 < shape[1] < shape[0] and shape[2] > 1:
        return [Reading(tensor, shape[0] * shape[1], shape[2], False, shape[1])]
    return []


def _may_be_turned(shape: tuple[int, ...]) -> bool:
    """Whether nothing about a shape tells the classes from the dimension.

    One axis of a usual dimension tells. Where none is, only more rows than columns do: they
    are classes by the layout of PyTorch's layers as well as by there being more of them.
    """
    if len(shape) != 2 or shape[0] == shape[1]:
        return False
    usual = [axis in USUAL_DIMS for axis in shape]
    return all(usual) or (not any(usual) and shape[0] < shape[1])


def _one_per_tensor(readings: Iterable[Reading]) -> list[Reading]:
    likeliest: dict[int, Reading] = {}
    for reading in readings:
        likeliest.setdefault(id(reading.tensor), reading)
    return list(likeliest.values())


def _named(path: Path, stored: Sequence[StoredTensor], name: str) -> list[StoredTensor]:
    found = [tensor for tensor in stored if tensor.name == name]
    if not found:
        matrices = [tensor for tensor in stored if _readings(tensor, None)] or stored
        raise InputError(
            str(path),
            f"holds no tensor '{name}'; expected one of:\n{_listing(matrices)}",
            hint="name one of them: --tensor NAME",
        )
    return found


def _no_matrix(path: Path, pool: Sequence[StoredTensor], name: str | None) -> InputError:
    wanted = "a 2-D float tensor with both axes longer than 1"
    if name is not None:
        return InputError(
            str(path),
            f"tensor '{name}' is {pool[0].dtype} {pool[0].shape}; expected {wanted}, or 3-D "
            "(classes, sub-centres, dimension)",
            hint="leave out --tensor to see what fits",
        )
    holds = f"; it holds:\n{_listing(pool)}" if pool else ""
    return InputError(
        str(path),
        f"{len(pool)} tensors, none of them class centres; expected {wanted}{holds}",
        hint=_HEAD_HINT,
    )


def _misfit(path: Path, readings: Sequence[Reading], known: Known) -> InputError:
    if known.classes is not None and known.sub_centers is None:
        unbound = replace(known, classes=None)
        several = [
            reading
            for reading in _one_per_tensor(one for one in readings if one.fits(unbound))
            if reading.sub_centers == 1 and reading.rows % known.classes == 0
        ]
        if len(several) == 1:
            return _unsaid_sub_centers(path, several[0], known.classes)
    tensors = [reading.tensor for reading in _one_per_tensor(readings)]
    return InputError(
        str(path),
        f"no tensor of the shape looked for; expected {known}; it holds:\n{_listing(tensors)}",
        hint="check the dimension and the number of classes against these; " + _HEAD_HINT,
    )


def _unsaid_sub_centers(path: Path, reading: Reading, classes: int) -> InputError:
    per_class = reading.rows // classes
    return InputError(
        str(path),
        f"'{reading.tensor.name}' has {reading.rows} rows for {classes} classes, which looks "
        f"like {per_class} sub-centres per class; expected {classes} rows",
        hint=f"if it was trained with sub-centres, say so: --sub-centers {per_class}",
    )


def _ambiguous(path: Path, fitting: Sequence[Reading], known: Known) -> InputError:
    ways = ["name the right one with --tensor NAME"]
    if known.dim is None:
        ways.append("give the embeddings' dimension with --dim D")
    if known.classes is None:
        ways.append("give the labels of the classes, whose number tells")
    tensors = [reading.tensor for reading in fitting]
    return InputError(
        str(path),
        f"{len(fitting)} tensors could be the class centres; expected one:\n{_listing(tensors)}",
        hint=", or ".join(ways),
    )


def _two_ways(path: Path, tensor: StoredTensor, known: Known) -> InputError:
    ways = [
        f"{reading.rows // reading.sub_centers} classes of dimension {reading.dim}"
        for reading in _readings(tensor, known.sub_centers)
    ]
    first, second = tensor.shape
    return InputError(
        str(path),
        f"'{tensor.name}' {tensor.shape} may be {' or '.join(ways)}; expected one of them",
        hint=f"say which: --dim {second} or --dim {first}; the labels of the classes tell as well",
    )


def _listing(tensors: Sequence[StoredTensor]) -> str:
    lines = [f"  {one.name} {one.shape} {one.dtype}" for one in tensors[:LISTED]]
    if len(tensors) > LISTED:
        lines.append(f"  and {len(tensors) - LISTED} more")
    return "\n".join(lines)
