"""``damcli export``: a fitted regressor or a trained model as ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from damcli.cli.console import Messages, usage_error


def export(
    source: Annotated[
        Path,
        typer.Argument(
            help="Regressor from fit-lidr, .h5; a run of damcli train, of which the best "
            "checkpoint is taken, else the newest; or one checkpoint, .pt.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write, .onnx.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    """Write what was learnt as ONNX, checked before it appears.

    A regressor takes raw embeddings and gives log LIDs. A trained model takes images and gives
    embeddings, and states how its images are prepared.

    Example: damcli export lidr.h5 -o lidr.onnx
    """
    if output.suffix.lower() != ".onnx":
        raise usage_error(f"-o {output}: expected a name that ends in .onnx")
    from damcli.storage.atomic import check_writable

    check_writable(output, force=force)
    is_model = source.is_dir() or source.suffix.lower() in (".pt", ".pth")
    write = _export_trained if is_model else _export_lidr
    write(source, output, Messages(quiet=quiet), force=force)


def _export_lidr(source: Path, output: Path, messages: Messages, *, force: bool) -> None:
    from damcli.lid.onnx_lidr import export_lidr
    from damcli.storage.lidr import read_lidr

    difference = export_lidr(output, read_lidr(source), force=force)
    messages.say(
        f"wrote {output}; onnxruntime's log LIDs differ from damcli's by {difference:.1g} at most"
    )


def _export_trained(source: Path, output: Path, messages: Messages, *, force: bool) -> None:
    from damcli.models.runs import checkpoint_of_run
    from damcli.models.trained import read_trained

    checkpoint = checkpoint_of_run(source) if source.is_dir() else source
    trained = read_trained(checkpoint)
    from damcli.training.onnx_export import export_onnx

    difference = export_onnx(trained, output, force=force)
    messages.say(
        f"wrote {output}: {trained.backbone}, dimension {trained.dim}, step {trained.step:,} "
        f"from {checkpoint}"
    )
    messages.say(
        f"  onnxruntime's embeddings differ from PyTorch's by {difference:.1g} of their size at "
        "most"
    )
