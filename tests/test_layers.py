"""Imports run upstream only, and what is heavy is imported when it is needed."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "damcli"
UPSTREAM = {
    "errors": set(),
    "processor": set(),
    "threads": set(),
    "kernels": set(),
    "storage": set(),
    "sources": {"storage"},
    "models": set(),
    "metrics": set(),
    "embedding": {"storage", "sources", "models"},
    "anchors": {"storage", "models"},
    "lid": {"storage", "metrics"},
    "protocols": {"storage", "sources"},
    "scoring": {"storage", "metrics", "lid", "protocols"},
    "pooling": {"storage", "sources", "lid", "protocols", "scoring"},
    "evaluation": {"scoring", "metrics"},
    "calibration": {"storage", "metrics", "lid", "protocols", "scoring", "evaluation"},
    "sweeping": {"storage", "metrics", "lid", "protocols", "scoring", "evaluation"},
    "identification": {"storage", "metrics", "lid", "protocols", "scoring", "evaluation"},
    "training": {
        *("storage", "sources", "models", "embedding"),
        *("protocols", "scoring", "metrics", "evaluation"),
    },
    "cluster": {
        *("storage", "sources", "models", "embedding"),
        *("lid", "metrics", "protocols", "scoring"),
    },
    "reports": {
        *("evaluation", "calibration", "sweeping", "identification"),
        *("lid", "storage"),
    },
}
HEAVY = {"torch", "faiss", "onnx", "onnxruntime", "pandas", "sklearn", "pyarrow", "safetensors"}
HEAVY |= {"PIL", "cv2", "matplotlib", "dask", "distributed", "cloudpickle"}
# Here modules of PyTorch are defined, and others import them inside functions.
OF_TORCH = (PACKAGE / "training", PACKAGE / "models" / "backbones")
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(nodes: list[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def layer(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_keep_to_the_layers(path: Path) -> None:
    tree = ast.parse(path.read_text())
    everywhere, at_start = set(imported(list(ast.walk(tree)))), set(imported(tree.body))
    top = {name.split(".")[0] for name in everywhere}
    mine = layer(path)
    assert "click" not in top
    assert "typer" not in top or mine == "cli"
    assert "rich" not in top or mine in ("cli", "reports")
    heavy = HEAVY - {"torch"} if set(OF_TORCH) & set(path.parents) else HEAVY
    assert not heavy & {name.split(".")[0] for name in at_start}
    if mine in UPSTREAM:
        used = {name.split(".")[1] for name in everywhere if name.startswith("damcli.")}
        assert used <= UPSTREAM[mine] | {mine, "errors", "processor", "threads", "kernels"}


def test_every_folder_has_its_place() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert folders <= set(UPSTREAM) | {"cli"}


def test_no_file_grows_beyond_300_lines() -> None:
    long = [path.name for path in FILES if len(path.read_text().splitlines()) > 300]
    assert long == []


def test_help_waits_for_nothing_heavy() -> None:
    code = "import sys, damcli.cli.app; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert not (HEAVY | {"numpy", "h5py", "rich", "click"}) & set(loaded.split())
