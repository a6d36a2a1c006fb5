"""What a PyTorch file is, told by its members and never by unpickling; a program, checked."""

from __future__ import annotations

import json
import os
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from damcli.errors import InputError
from damcli.models.tensors import RefusedPickle

Kind = Literal["torchscript", "exported", "weights"]

# the operators that torch.export itself writes into a program
_OPERATORS = re.compile(
    r"torch\.ops\.(?!load_library|import_module)[A-Za-z]\w*\.\w+(\.\w+)?"
    r"|torch\.(sym_|_sym_)\w+"
    r"|math\.[a-z]\w*"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|pow|neg|pos|abs|lt|le|gt|ge|eq|ne|not_|and_"
    r"|or_|xor|getitem|lshift|rshift|invert|truth)"
)
# sympy's calls, symbols such as s77, their assumptions, numbers and signs; `eval` reads it
_EXPRESSION = re.compile(
    r"(?>[A-Z][A-Za-z0-9_]*|[a-z]+=(True|False)|'[a-z]+\d+'|[a-z]+\d+|and|or|not|int_oo|oo"
    r"|\d+(\.\d+)?|[()\s+\-*/%,<>=!~&|])*"
)

_MODULE_HINT = (
    "load it with its own code where you trust it, and save torch.save(model.state_dict(), OUT) "
    "for --arch package.module:factory, or the whole network: torch.jit.script(model).save(OUT), "
    "torch.export.save, or torch.onnx.export"
)


def kind_of(path: Path) -> Kind:
    """Tell a TorchScript program, a `torch.export` program and saved weights apart."""
    if not zipfile.is_zipfile(path):
        return "weights"
    try:
        with zipfile.ZipFile(path) as archive:
            # all members lie in one folder, of any name
            members = {name.partition("/")[2] or name for name in archive.namelist()}
            whole = set(archive.namelist())
    except zipfile.BadZipFile:
        return "weights"
    if "archive_format" in members or "serialized_exported_program.json" in members | whole:
        return "exported"
    if "constants.pkl" in members and any(name.startswith("code/") for name in members):
        return "torchscript"
    return "weights"


def check_exported(path: Path) -> None:
    """Refuse a `torch.export` program with more in it than tensors and PyTorch's operators.

    `torch.export.load` unpickles some members, loads compiled libraries, evaluates the
    text of shapes, and takes any function of torch for an operator.

    Raises
    ------
    InputError
        The file holds such a thing.
    """
    import torch

    reader = torch._C.PyTorchFileReader(str(path))  # the reader that torch loads it with
    names = [name.lower() for name in reader.get_all_records()]
    if "archive_format" not in names:
        raise InputError(
            str(path),
            "is a program of PyTorch before 2.8; expected the archive of torch.export.save",
            hint="export it again with a newer PyTorch",
        )
    for name in names:
        if "custom_obj" in name or "opaque_obj" in name:
            raise RefusedPickle(path, f" ({name})")
        if name.startswith("data/aotinductor"):
            raise InputError(
                str(path),
                f"holds compiled code ({name}); expected a program of torch.export.save",
                hint="save it with torch.export.save, without AOTInductor",
            )
    if len(set(names)) < len(names):
        raise InputError(
            str(path), "has two members of one name; expected a program of torch.export.save"
        )
    for name in reader.get_all_records():
        if name.startswith("models/"):
            _check_program(path, json.loads(reader.get_record(name)))


@contextmanager
def weights_only() -> Iterator[None]:
    """Let torch unpickle nothing but tensors, whatever its own code asks for."""
    switch = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(switch)
    os.environ[switch] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[switch]
        else:
            os.environ[switch] = before


@contextmanager
def saving_told() -> Iterator[None]:
    """Let a refused pickle say how a network is saved."""
    try:
        yield
    except RefusedPickle as error:
        error.hint = _MODULE_HINT
        raise


def _check_program(path: Path, program: Any) -> None:
    for key, value in _leaves(program):
        if not isinstance(value, str):
            continue
        foreign = key in ("target", "as_operator") and not _OPERATORS.fullmatch(value)
        strange = key == "expr_str" and not _EXPRESSION.fullmatch(value)
        if foreign or strange:
            raise InputError(
                str(path),
                f"calls '{value[:80]}'; expected only PyTorch's own operators",
                hint="damcli loads no code of a model's: export the model without it",
            )


def _leaves(value: Any) -> Iterator[tuple[str, Any]]:
    """Go through a JSON document: each key of an object with its value, nested ones too."""
    if isinstance(value, dict):
        # targets inside the graph are operators; a signature's are names of parameters
        for key, child in value.items():
            if key == "signature":
                continue
            yield key, child
            yield from _leaves(child)
    elif isinstance(value, list):
        for child in value:
            yield from _leaves(child)
