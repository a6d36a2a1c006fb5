"""The tensors of a checkpoint: listed by name, type and shape, read one at a time.

Nothing here unpickles beyond plain tensors: a checkpoint comes from strangers, and a
pickle can run any code.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.models.pytorch import list_torch
from damcli.models.tensors import RefusedPickle, StoredTensor

_SAFETENSORS_FLOATS = {"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64"}
_ONNX_FLOATS = {1: "float32", 10: "float16", 11: "float64", 16: "bfloat16"}


def list_tensors(path: Path) -> list[StoredTensor]:
    """List the tensors of a checkpoint, in the order of the file.

    Parameters
    ----------
    path
        A ``.pt``, ``.pth``, ``.safetensors``, ``.onnx``, ``.npy`` or ``.npz`` file.

    Raises
    ------
    InputError
        There is no such file, it is damaged, of an unknown kind, or would run code.
    MissingExtra
        It is PyTorch's, and PyTorch is not installed.
    """
    require_file(path, "a checkpoint")
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        *most, last = _READERS
        raise InputError(
            str(path),
            f"unknown kind of checkpoint '{path.suffix}'; expected {', '.join(most)} or {last}",
            hint="give a file that PyTorch saved under another name the ending .pt",
        )
    with damage_reported(path):
        return reader(path)


def read_tensor(path: Path, tensor: StoredTensor) -> NDArray[np.float32]:
    """Read one of the tensors that `list_tensors` found in the file.

    Returns
    -------
    NDArray[np.float32]
        An array of the tensor's shape that owns its memory.
    """
    # a float64 beyond float32's range becomes infinite, which the caller's checks name by row
    with damage_reported(path), np.errstate(over="ignore"):
        return np.array(tensor.load(), dtype=np.float32, order="C")


def require_file(path: Path, what: str) -> None:
    """Raise unless the path is a file with something in it."""
    try:
        is_there, is_file = path.exists(), path.is_file()
    except OSError as error:
        raise InputError(
            str(path),
            f"cannot be reached ({error.strerror}); expected {what}",
            hint="check the name, and that you may enter its folder",
        ) from error
    if not is_there:
        raise InputError(str(path), f"no such file; expected {what}")
    if not is_file:
        raise InputError(str(path), f"is not a file; expected {what}")
    if path.stat().st_size == 0:
        raise InputError(str(path), f"is empty (0 bytes); expected {what}")


@contextmanager
def damage_reported(path: Path) -> Iterator[None]:
    """Turn what a parser raises on damaged bytes into an `InputError`."""
    try:
        yield
    except (UserError, MemoryError, ImportError):
        raise
    except Exception as error:  # on damaged bytes the parsers raise whatever comes
        reason = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            str(path),
            f"cannot be read ({type(error).__name__}: {reason}); expected a whole {path.suffix} "
            "file",
            hint="it may be cut short or of another kind than its name says: fetch it again",
        ) from error


def _list_safetensors(path: Path) -> list[StoredTensor]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
        return [
            StoredTensor(
                name,
                tuple(part.get_shape()),
                _SAFETENSORS_FLOATS.get(part.get_dtype(), part.get_dtype()),
                partial(_load_safetensors, path, name),
            )
            for name, part in slices.items()
        ]


def _load_safetensors(path: Path, name: str) -> NDArray[Any]:
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        if file.get_slice(name).get_dtype() == "BF16":
            return _load_bfloat16(path, name)
        values: NDArray[Any] = file.get_tensor(name)
        return values


def _load_bfloat16(path: Path, name: str) -> NDArray[np.float32]:
    """Read a bfloat16 tensor from its bytes, as neither numpy nor safetensors' numpy side can.

    safetensors has checked the header by now. A bfloat16 is the upper half of a float32.
    """
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
        entry = json.loads(file.read(header_bytes))[name]
        start, end = entry["data_offsets"]
        file.seek(8 + header_bytes + start)
        halves = np.frombuffer(file.read(end - start), dtype="<u2")
    return (halves.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def _list_onnx(path: Path) -> list[StoredTensor]:
    import onnx

    # only the tensor that is asked for may be worth reading from files beside the model
    model = onnx.load(path, format="protobuf", load_external_data=False)
    return [
        StoredTensor(
            tensor.name,
            tuple(tensor.dims),
            _ONNX_FLOATS.get(tensor.data_type, f"ONNX type {tensor.data_type}"),
            partial(_load_onnx, path, tensor),
        )
        for tensor in model.graph.initializer
    ]


def _load_onnx(path: Path, tensor: Any) -> NDArray[Any]:
    from onnx import TensorProto, numpy_helper

    try:
        # onnx itself refuses to leave the folder by '..', an absolute path or a link
        values: NDArray[Any] = numpy_helper.to_array(tensor, base_dir=str(path.parent))
    except Exception as error:
        if tensor.data_location != TensorProto.EXTERNAL:
            raise
        places = [entry.value for entry in tensor.external_data if entry.key == "location"]
        raise InputError(
            str(path),
            f"tensor '{tensor.name}' lies in the external file '{', '.join(places)}', which "
            "cannot be read; expected a whole data file in the model's own folder",
            hint="keep the model and its data file side by side, as they were exported",
        ) from error
    return values


def _list_npy(path: Path) -> list[StoredTensor]:
    with path.open("rb") as file:
        shape, dtype = _array_header(file)
    if dtype.hasobject:
        raise RefusedPickle(path)
    # mapping it compares the size that the header claims with the file's, before any memory
    load = partial(np.lib.format.open_memmap, path, mode="r")
    return [StoredTensor(path.stem, shape, dtype.name, load)]


def _list_npz(path: Path) -> list[StoredTensor]:
    tensors: list[StoredTensor] = []
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, dtype = _array_header(file)
                left = member.file_size - file.tell()
            if not dtype.hasobject and math.prod(shape) * dtype.itemsize > left:
                raise ValueError(f"{member.filename} is shorter than its header says")
            name = member.filename.removesuffix(".npy")
            dtype_name = "pickled object" if dtype.hasobject else dtype.name
            tensors.append(StoredTensor(name, shape, dtype_name, partial(_load_npz, path, name)))
    return tensors


def _load_npz(path: Path, name: str) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as archive:
        values: NDArray[Any] = archive[name]
        return values


def _array_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(file)
    return shape, dtype


_READERS: dict[str, Callable[[Path], list[StoredTensor]]] = {
    ".pt": list_torch,
    ".pth": list_torch,
    ".safetensors": _list_safetensors,
    ".onnx": _list_onnx,
    ".npy": _list_npy,
    ".npz": _list_npz,
}
