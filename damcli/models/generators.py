"""Opening a generator's file: ONNX or TorchScript."""

from __future__ import annotations

import hashlib
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from damcli.errors import InputError, MissingExtra, UserError
from damcli.models.checkpoints import require_file
from damcli.models.generator import Generator, Program
from damcli.models.network import Device
from damcli.models.onnx_generator import OnnxProgram
from damcli.models.preprocessing import Color
from damcli.models.torch_generator import script_program


def open_generator(
    path: Path,
    *,
    device: Device = "auto",
    threads: int | None = None,
    latent: tuple[int, ...] | None = None,
    values: Mapping[str, float] | None = None,
    output: str | None = None,
    color: Color = "rgb",
) -> Generator:
    """Load a generator of faces. It is a program, which runs: take it from whom you trust.

    Parameters
    ----------
    path
        ``.onnx``, or a TorchScript ``.pt``, ``.pth`` or ``.ts``.
    device
        Where it runs; ``auto`` is CUDA where that is there.
    threads
        How many threads it may use on a CPU; by default as many as there are cores.
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
    program = _open_program(path, device, threads)
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Generator(
        path, digest, program, latent=latent, values=values, output=output, color=color
    )


def _open_program(path: Path, device: Device, threads: int | None) -> Program:
    if path.suffix.lower() == ".onnx":
        return _open_onnx(path, device, threads)
    if path.suffix.lower() in (".pt", ".pth", ".ts"):
        return _open_script(path, device, threads)
    raise InputError(
        str(path),
        f"unknown kind of generator '{path.suffix}'; expected .onnx, .pt, .pth or .ts",
        hint="export it: torch.onnx.export, or torch.jit.script(generator).save(OUT)",
    )


def _open_onnx(path: Path, device: Device, threads: int | None) -> Program:
    import onnxruntime

    cuda = "CUDAExecutionProvider"
    on_cuda = device != "cpu" and cuda in onnxruntime.get_available_providers()
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.intra_op_num_threads = threads or 0
    providers = [*([cuda] if on_cuda else []), "CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(str(path), settings, providers)
    except Exception as error:  # onnxruntime has a class of errors for every status
        raise _damaged(path, error, "an ONNX graph") from error
    on_cuda = cuda in session.get_providers()
    if device == "cuda" and not on_cuda:
        raise _no_cuda("onnxruntime")
    where = "CUDA" if on_cuda else "CPU"
    return OnnxProgram(session, f"onnxruntime {onnxruntime.__version__}, {where}")


def _open_script(path: Path, device: Device, threads: int | None) -> Program:
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(f"Running {path.name}", "torch") from error
    on_cuda = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not on_cuda:
        raise _no_cuda("PyTorch")
    # anything else that PyTorch saves is data without a program, and might be a pickle
    if not zipfile.is_zipfile(path) or not any(
        "/code/" in name for name in zipfile.ZipFile(path).namelist()
    ):
        raise InputError(
            str(path),
            "is not a TorchScript program; expected one that turns latents into images",
            hint="load the generator with its own code, then "
            "torch.jit.script(generator).save(OUT), or export it to ONNX",
        )
    where = torch.device("cuda" if on_cuda else "cpu")
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        with warnings.catch_warnings():
            # of PyTorch's own plans, not of the user's file
            warnings.simplefilter("ignore", DeprecationWarning)
            module: Any = torch.jit.load(str(path), map_location=where).eval()
    except Exception as error:  # on damaged bytes PyTorch raises whatever comes
        raise _damaged(path, error, "a TorchScript program") from error
    name = torch.cuda.get_device_name() if on_cuda else "CPU"
    return script_program(module, where, f"torch {torch.__version__}, {name}")


def _damaged(path: Path, error: Exception, expected: str) -> InputError:
    reason = " ".join(str(error).split())[:300]
    return InputError(
        str(path),
        f"cannot be loaded ({type(error).__name__}: {reason}); expected {expected}",
        hint="it may be cut short: fetch or export it again",
    )


def _no_cuda(runtime: str) -> UserError:
    return UserError(
        f"--device cuda: {runtime} has no CUDA here; expected a CUDA device",
        hint="install a build with CUDA, or leave the choice: --device auto",
    )
