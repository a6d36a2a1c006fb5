"""Runs a command on a damaged copy of an input, and looks at what it said and left."""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.cli import Outcome, damcli

PRECIOUS = b"what stood here before\n"
LONGEST_LINE = 700


class Place(NamedTuple):
    """Where a case lies.

    Attributes
    ----------
    inputs
        Holds the copy of the input.
    out
        What the command writes to; files that it may replace stand there.
    temporary
        Where the command has its temporary files.
    """

    inputs: Path
    out: Path
    temporary: Path


def prepare(folder: Path, patch: pytest.MonkeyPatch) -> Place:
    """Make the folders of a case, and work in the one for outputs."""
    place = Place(*(folder / name for name in ("in", "out", "tmp")))
    for part in place:
        part.mkdir()
    patch.setenv("TMPDIR", str(place.temporary))
    patch.setattr(tempfile, "tempdir", None)
    patch.chdir(place.out)
    return place


def copy(good: Path, name: str, beside: tuple[str, ...], to: Path) -> None:
    """Copy the input, which may lie in a folder of which all is copied, and what goes with it."""
    for one in (name.split("/")[0], *beside):
        source, target = good / one, to / one
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)


def arguments(command: str, good: Path, place: Place, it: Path) -> list[str]:
    """Fill in a command, and put files where it would write with --force."""
    filled = [
        word.format(good=good, out=place.out, it=it, inputs=place.inputs)
        for word in shlex.split(command)
    ]
    if "--force" in filled:
        for name in filled:
            target = Path(name)
            if target.parent == place.out and target.suffix:
                target.write_bytes(PRECIOUS)
    return filled


def run(command: list[str]) -> Outcome:
    """Run a filled-in command."""
    return damcli(*command)


def snapshot(folder: Path) -> dict[str, str]:
    """Return a digest of every file, where every link leads, and every folder."""
    return {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*"))}


def _digest(path: Path) -> str:
    if path.is_symlink():
        return f"link to {path.readlink()}"
    if path.is_dir():
        return "folder"
    if not os.access(path, os.R_OK):
        return "unreadable"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_refusal(outcome: Outcome, names: tuple[str, ...], says: str) -> None:
    """Assert one clear message on stderr, that names the file, and nothing on stdout."""
    assert outcome.code == 1, outcome
    assert outcome.out == ""
    check_readable(outcome.err)
    lines = outcome.err.splitlines()
    at = [number for number, line in enumerate(lines) if line.startswith("error: ")]
    assert len(at) == 1, outcome.err
    error, *after = (line for line in lines[at[0] :] if not line.startswith("  "))
    assert any(name in error for name in names), f"{error}\nnames none of {names}"
    assert says in error, error
    assert "expected" in error or after, error
    assert len(after) <= 1, outcome.err
    assert all(line.startswith("hint: ") for line in after), outcome.err


def check_usage(outcome: Outcome, name: str) -> None:
    """Assert that an option was refused for its file; the box breaks lines anywhere."""
    said = "".join(outcome.err.replace("│", "").split())
    assert outcome.out == ""
    assert name in said, outcome.err
    assert "isnotreadable" in said, outcome.err


def check_readable(err: str) -> None:
    """Assert that a person can read it: no raw bytes, no page of text in a line."""
    assert "Traceback" not in err
    for line in err.splitlines():
        assert line.isprintable(), repr(line)
        assert "\ufffd" not in line, line
        assert len(line) <= LONGEST_LINE, line
