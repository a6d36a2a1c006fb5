"""Every command that writes, on a disk with room for a part of its output."""

from __future__ import annotations

import contextlib
import resource
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import cli
from tests.stress.conftest import COMMANDS
from tests.stress.scene import content
from tests.training import small  # noqa: F401

SINGLE = [name for name in COMMANDS if name not in ("embed", "train")]
SHORTER = {"fit-lidr": ("--iterations", "2"), "report": ("--resamples", "0")}


@contextlib.contextmanager
def room(size: int) -> Iterator[None]:
    """Let no file grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def damcli(name: str, *more: str) -> cli.Outcome:
    """Run a command of the scene in this process, in the folder where it is."""
    return cli.damcli(*shlex.split(COMMANDS[name][0]), *SHORTER.get(name, ()), *more)


@pytest.fixture(autouse=True)
def there(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)


def said_full(done: cli.Outcome, *parts: str) -> None:
    cli.failed(done, "hint: ", *parts)
    assert "disk is full" in done.err or "no room left" in done.err, done.err


@pytest.mark.parametrize("name", SINGLE)
def test_outputs_stay_as_they_were(work: Path, name: str) -> None:
    done = damcli(name)
    assert done.code == 0, done.err
    outputs = [work / one for one in COMMANDS[name][1]]
    before = {path: path.read_bytes() for path in work.iterdir()}
    assert set(before) == set(outputs)
    for size in (len(before[outputs[0]]) // 2, len(before[outputs[0]]) - 1):
        with room(size):
            done = damcli(name, "--force")
        said_full(done)
        assert {path: path.read_bytes() for path in work.iterdir()} == before


def test_embed_keeps_its_batches(work: Path) -> None:
    assert damcli("embed").code == 0
    whole = content(work / "out.h5")
    Path("out.h5").unlink()
    with room(500):
        said_full(damcli("embed"), "out.h5.partial: cannot be written (the disk is full)")
    assert [path.name for path in work.iterdir()] == ["out.h5.partial"]
    with room(4000):  # for the journal, and not for the output
        said_full(damcli("embed", "--resume"), "out.h5: not written, the disk is full")
    assert [path.name for path in work.iterdir()] == ["out.h5.partial"]
    done = damcli("embed", "--resume", "--json")
    assert done.code == 0, done.err
    assert '"computed": 0' in done.out
    assert content(work / "out.h5") == whole


@pytest.mark.usefixtures("small")
def test_train_that_cannot_even_begin_can_begin_later(work: Path) -> None:
    with room(0):
        said_full(damcli("train"), "run/options.json: not written, the disk is full")
    done = damcli("train")
    assert done.code == 0, done.err
    assert (work / "run/model.onnx").exists()
