"""The sound inputs, made once."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from damcli.cli import commands
from tests.faults import good as tables
from tests.faults import good_images, good_protocols
from tests.faults.harness import snapshot


@pytest.fixture(scope="package")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a folder with a sound input of every kind, which no command may change."""
    folder = tmp_path_factory.mktemp("good")
    with good_protocols.small_ijb(), good_images.small_networks():
        tables.make(folder)
        good_protocols.make(folder)
        good_images.make(folder)
        made = snapshot(folder)
        yield folder
        assert snapshot(folder) == made


@pytest.fixture(scope="package", autouse=True)
def commands_built_once() -> Iterator[None]:
    """Build each command once: for thousands of runs, that would take longer than the runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(commands, "load", functools.cache(commands.load))
        patch.setattr(typer.main, "get_command", functools.cache(typer.main.get_command))
        yield
