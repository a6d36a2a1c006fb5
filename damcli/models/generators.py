"""Opening a generator's file: ONNX, TorchScript, or what torch.export saved."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from damcli.errors import InputError, MissingExtra
from damcli.models.batching import digest_of
from damcli.models.checkpoints import require_file
from damcli.models.generator import GeneratedColor, Generator
from damcli.models.network import Device
from damcli.models.onnx_file import check_file
from damcli.models.onnx_generator import OnnxProgram
from damcli.models.onnx_network import open_session
from damcli.models.program import Program
from damcli.models.torch_files import kind_of
from damcli.models.torch_generator import exported_program, script_program
from damcli.models.torch_network import load_exported, loaded, torch_device


def open_generator(
    path: Path,
    *,
    device: Device = "auto",
    threads: int | None = None,
    latent: tuple[int, ...] | None = None,
    values: Mapping[str, float] | None = None,
    output: str | None = None,
    color: GeneratedColor = "rgb",
) -> Generator:
    """Load a generator of faces. It is a program, which runs: take it from whom you trust.

    Parameters
    ----------
    path
        ``.onnx``; TorchScript or a `torch.export` program in ``.pt``, ``.pt2``, ``.pth`` or
        ``.ts``.
    device
        Where it runs; ``auto`` is CUDA where that is there.
    threads
        How many threads it may use on a CPU; see `damcli.models.opening.open_network`.
    latent, values, output, color
        See `damcli.models.generator.Generator`.

    Raises
    ------
    InputError
        The file is missing, damaged, or not a generator of images from one latent.
    MissingExtra
        It is PyTorch's, and PyTorch is not installed.
    UserError
        The device that was asked for is not there.
    """
    require_file(path, "a generator")
    program, digest, notes = _open_program(path, device, threads)
    generator = Generator(
        path,
        digest,
        program,
        latent=latent,
        values=values,
        output=output,
        color=color,
        notes=notes,
    )
    generator.settle()
    return generator


def _open_program(
    path: Path, device: Device, threads: int | None
) -> tuple[Program, str, tuple[str, ...]]:
    """Return the program, the digest of its file, and what the user should know of it."""
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        checked = check_file(path)
        session = open_session(path, checked.mended, device, threads)
        return OnnxProgram(session), checked.digest, checked.notes
    if suffix in (".pt", ".pt2", ".pth", ".ts"):
        return _open_torch(path, device, threads), digest_of(path), ()
    raise InputError(
        str(path),
        f"unknown kind of generator '{path.suffix}'; expected .onnx, .pt, .pt2, .pth or .ts",
        hint="export it: torch.onnx.export, or torch.jit.script(generator).save(OUT)",
    )


def _open_torch(path: Path, device: Device, threads: int | None) -> Program:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(f"running {path.name}", "torch") from error
    where = torch_device(torch, device)
    kind = kind_of(path)
    if kind == "weights":
        raise InputError(
            str(path),
            "is no program of PyTorch; expected one that turns latents into images",
            hint="load the generator with its own code, then "
            "torch.jit.script(generator).save(OUT), or export it to ONNX",
        )
    if threads is not None:
        torch.set_num_threads(threads)
    runtime = f"torch {torch.__version__}, {where.upper()}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nobody can mend what torch says of its own future
        if kind == "exported":
            return exported_program(load_exported(torch, path), where, runtime)
        module = loaded(path, lambda: torch.jit.load(str(path), map_location=where))
        return script_program(module.eval(), where, runtime)
