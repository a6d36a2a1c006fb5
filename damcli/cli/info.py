"""``damcli info``: what a file of embeddings, anchors, LIDs or a regressor is, and its making."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli.console import print_json

if TYPE_CHECKING:
    from damcli.storage.files import EmbeddingFile
    from damcli.storage.lidr import Lidr


def info(
    file: Annotated[
        Path,
        typer.Argument(
            help="Embeddings or anchors in any layout, a lidr, or LIDs.", show_default=False
        ),
    ],
    ids: Annotated[
        Path | None, typer.Option(help="The ids of an .npy: id[,subject] lines.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Show what a file holds, how it was made, and what is wrong with its rows.

    Example: damcli info emb.h5
    """
    from damcli.storage.files import open_embeddings
    from damcli.storage.lidr import is_lidr, read_lidr
    from damcli.storage.lids import is_lids

    if is_lids(file):
        found = _describe_lids(file)
    elif is_lidr(file):
        found = _describe_lidr(read_lidr(file))
    else:
        found = _describe(open_embeddings(file, ids))
    if as_json:
        print_json("info", found)
    else:
        _print(found)


def _describe(opened: EmbeddingFile) -> dict[str, Any]:
    import numpy as np

    invalid, duplicates = opened.invalid(), opened.duplicates()
    valid = np.setdiff1d(np.arange(len(opened)), invalid)
    found: dict[str, Any] = {
        "file": opened.origin,
        "format": opened.format,
        "sha256": opened.digest,
        "embeddings": len(opened),
        "dim": opened.dim,
        "dtype": opened.dtype,
        "first_ids": [str(name) for name in opened.ids[:3]],
        "invalid_rows": [int(row) + 1 for row in invalid[:10]],
        "invalid_count": len(invalid),
        "duplicate_ids": [str(name) for name in opened.ids[duplicates][:10]],
        "duplicate_count": len(duplicates),
        "groups": {name: len(set(column)) for name, column in opened.groups.items()},
        "attributes": dict(opened.attributes),
    }
    if opened.subjects is not None:
        sizes = np.unique(opened.subjects.astype(str), return_counts=True)[1]
        found["subjects"] = len(sizes)
        found["samples_per_subject"] = _spread(sizes)
    if len(valid):
        found["norms"] = _spread(opened.take(valid).norms)
    return found


def _describe_lidr(lidr: Lidr) -> dict[str, Any]:
    from damcli.storage.hdf5 import LIDR

    return {
        "file": lidr.origin,
        "format": LIDR,
        "sha256": lidr.digest,
        "dim": lidr.dim,
        "hidden": lidr.hidden,
        "k": lidr.k,
        "s": lidr.s,
        "target": lidr.target,
        "anchor_count": lidr.anchor_count,
        "checks": len(lidr.curve),
        "attributes": dict(lidr.attributes),
    }


def _describe_lids(file: Path) -> dict[str, Any]:
    import numpy as np

    from damcli.storage.digests import file_digest
    from damcli.storage.lids import LIDS, read_lids

    found: dict[str, Any] = {"file": str(file), "format": LIDS, "sha256": file_digest(file)}
    found["columns"] = [
        {
            **made_of._asdict(),
            "kept": int(np.isfinite(values).sum()),
            "embeddings_count": len(values),
        }
        for made_of, values in read_lids(file).items()
    ]
    return found | {"attributes": {}}


def _spread(values: Any) -> dict[str, float]:
    import numpy as np

    return {
        "min": float(np.min(values)),
        "median": float(np.median(values)),
        "max": float(np.max(values)),
    }


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in found.items():
        if name == "attributes":
            continue
        if name == "columns":
            for at, column in enumerate(value, start=1):
                table.add_row(f"LIDs {at}", ", ".join(f"{n} {v}" for n, v in column.items()))
            continue
        table.add_row(name.replace("_", " "), _text(value))
    for name, value in found["attributes"].items():
        table.add_row(f"· {name}", _text(value))
    console = Console(highlight=False, markup=False)
    Console(
        highlight=False, markup=False, width=console.width if console.is_terminal else 160
    ).print(table)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {number:,g}" for name, number in value.items()) or "none"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
