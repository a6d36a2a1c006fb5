"""``damcli export``: a fitted regressor as an ONNX model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from damcli.cli.console import Messages, usage_error


def export(
    source: Annotated[
        Path, typer.Argument(help="Regressor from fit-lidr, .h5.", show_default=False)
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Model to write, .onnx.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    """Write a regressor as ONNX: raw embeddings in, log LIDs out; checked before it appears.

    Example: damcli export lidr.h5 -o lidr.onnx
    """
    if output.suffix.lower() != ".onnx":
        raise usage_error(f"-o {output}: expected a name that ends in .onnx")
    from damcli.lid.onnx_lidr import export_lidr
    from damcli.storage.atomic import check_writable
    from damcli.storage.lidr import read_lidr

    check_writable(output, force=force)
    difference = export_lidr(output, read_lidr(source), force=force)
    Messages(quiet=quiet).say(
        f"wrote {output}; onnxruntime's log LIDs differ from damcli's by {difference:.1g} at most"
    )
