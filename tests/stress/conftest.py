"""Inputs made once, and commands that run in processes of their own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.stress.scene import ROOT, Size, argv, commands, content, make

COMMANDS = commands(Size())
Run = Callable[..., subprocess.CompletedProcess[str]]


class Hooked(NamedTuple):
    """How a command ended, and the one that ran while it waited."""

    code: int
    err: str
    other: dict[str, Any] | None


@pytest.fixture(scope="package")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``in`` in it, which no command changes."""
    folder = tmp_path_factory.mktemp("stress")
    make(folder / "in", Size())
    return folder


@pytest.fixture
def work(inputs: Path, tmp_path: Path) -> Iterator[Path]:
    """Return an empty folder beside the inputs."""
    (tmp_path / "in").symlink_to(inputs / "in")
    folder = tmp_path / "work"
    folder.mkdir()
    yield folder


def run(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a folder."""
    return subprocess.run(
        arguments,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def damcli(name: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the scene."""
    return run(argv(COMMANDS[name][0], *more), folder)


def hooked(name: str, folder: Path, at: str, nth: int, action: str, *more: str) -> Hooked:
    """Run a command of the scene with something that happens at a point of it."""
    line = shlex.split(COMMANDS[name][0])
    start = [sys.executable, "-m", "tests.stress.launcher", at, str(nth), action]
    done = run([*start, *line, *more], folder)
    meanwhile = folder / "meanwhile.json"
    other = json.loads(meanwhile.read_text()) if meanwhile.exists() else None
    meanwhile.unlink(missing_ok=True)
    return Hooked(done.returncode, done.stderr, other)


@pytest.fixture(scope="package")
def whole(inputs: Path) -> Callable[[str], dict[str, Any]]:
    """Return what an undisturbed run of a command makes."""
    known: dict[str, dict[str, Any]] = {}

    def made(name: str) -> dict[str, Any]:
        if name not in known:
            folder = inputs / name.replace(" ", "-")
            folder.mkdir()
            done = damcli(name, folder)
            assert done.returncode == 0, done.stderr
            known[name] = {one: content(folder / one) for one in COMMANDS[name][1]}
        return known[name]

    return made
