"""Opening a model of any kind by its file."""

from __future__ import annotations

from pathlib import Path

from damcli.errors import InputError
from damcli.models.batching import settle_batch
from damcli.models.checkpoints import require_file
from damcli.models.network import Device, Layout, Network
from damcli.models.onnx_network import open_onnx
from damcli.models.runs import model_of_run
from damcli.models.torch_network import open_torch

SUFFIXES = (".onnx", ".pt2", ".pt", ".pth", ".ts", ".safetensors")


def open_network(
    path: Path,
    *,
    device: Device = "auto",
    threads: int | None = None,
    arch: str | None = None,
    input_name: str | None = None,
    output_name: str | None = None,
    layout: Layout | None = None,
    size: tuple[int, int] | None = None,
) -> Network:
    """Load a model that turns images into embeddings.

    Parameters
    ----------
    path
        ``.onnx``; TorchScript, a `torch.export` program or saved weights in ``.pt``,
        ``.pth``, ``.ts`` or ``.pt2``, told apart by what is in the file; weights in
        ``.safetensors``. A checkpoint of ``damcli train`` needs no ``arch``, and of a whole
        run its folder is enough: that opens its ``model.onnx``.
    device
        ``auto`` is CUDA where the runtime has it. ``cuda`` never falls back to the CPU.
    threads
        That one operator may use; by default onnxruntime gets the physical cores that
        this process may run on, and torch decides by itself.
    arch
        ``package.module:factory``, a callable that returns the `torch.nn.Module` that
        saved weights belong to.
    input_name
        The input that takes the images, where the name is to be checked.
    output_name
        The output that is the embedding: its name, or its place from 0 in what a torch
        model returns. By default the only one of shape (B, D).
    layout
        Where the channels stand, if the model's input does not tell.
    size
        Height and width of the images, if the model's input leaves them open.

    Raises
    ------
    UserError
        The model cannot be run; the message says why.
    """
    if path.is_dir():
        path = model_of_run(path)
    require_file(path, "a model")
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(
            str(path),
            f"unknown kind of model '{path.suffix}'; expected {', '.join(SUFFIXES)}",
            hint="give a file that PyTorch saved under another name the ending .pt",
        )
    if suffix != ".onnx":
        return settle_batch(
            open_torch(
                path,
                device=device,
                threads=threads,
                arch=arch,
                input_name=input_name,
                output_name=output_name,
                layout=layout,
                size=size,
            )
        )
    if arch is not None:
        raise InputError(
            str(path),
            "is a whole model; expected saved weights for --arch",
            hint="leave out --arch",
        )
    return settle_batch(
        open_onnx(
            path,
            device=device,
            threads=threads,
            input_name=input_name,
            output_name=output_name,
            layout=layout,
            size=size,
        )
    )
