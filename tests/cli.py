"""Run damcli as a shell would, in this process."""

from __future__ import annotations

import contextlib
import io
import sys
from typing import Any, NamedTuple
from unittest.mock import patch

import typer

from damcli.cli.app import app, main
from damcli.cli.commands import load


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class _Stdout(io.TextIOWrapper):
    def __init__(self) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding="utf-8", write_through=True)


def damcli(*arguments: object, stdin: bytes = b"") -> Outcome:
    """Run ``damcli ARGUMENTS``: its exit code, and what it wrote to stdout and stderr."""
    out, err = _Stdout(), io.StringIO()
    feed = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    argv = ["damcli", *(str(argument) for argument in arguments)]
    with (
        patch.object(sys, "argv", argv),
        patch.object(sys, "stdin", feed),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    return Outcome(code, out.bytes.getvalue().decode(), err.getvalue())


def program() -> Any:
    """Return the program with all its commands built."""
    group: Any = typer.main.get_command(app)
    group.commands = {name: load(name) for name in group.commands}
    return group


def failed(outcome: Outcome, *parts: str, code: int = 1) -> None:
    """Assert one clear message with these parts, and no traceback."""
    assert outcome.code == code, outcome.err
    assert "Traceback" not in outcome.err
    assert outcome.err.count("error:") == 1, outcome.err
    for part in parts:
        assert part in outcome.err, outcome.err
