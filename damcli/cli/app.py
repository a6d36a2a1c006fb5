"""The ``damcli`` command: its subcommands, and the one place where errors become messages."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from damcli.cli.commands import HELP, STYLE, Commands, offer_all
from damcli.cli.console import report_error
from damcli.errors import Interrupted, UserError
from damcli.processor import prefer_wide_products
from damcli.storage.atomic import is_disk_full

EXIT_BAD_DATA = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(name="damcli", cls=Commands, no_args_is_help=True, context_settings=HELP, **STYLE)
offer_all(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        from damcli import __version__

        print(f"damcli {__version__}")
        raise typer.Exit


@app.callback()
def damcli(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Better verification from the embeddings you already have, without retraining."""


def main() -> None:
    """Run the command line; every fault of the input ends in one message and exit code 1."""
    try:
        prefer_wide_products()
        with _ending_as_by_ctrl_c(signal.SIGTERM):
            app()
            sys.stdout.flush()
    except Interrupted as stop:
        report_error(str(stop), stop.hint)
        sys.exit(EXIT_INTERRUPTED)
    except UserError as error:
        report_error(str(error), error.hint)
        sys.exit(EXIT_BAD_DATA)
    except SystemExit as stop:
        if stop.code == EXIT_INTERRUPTED:  # typer turns Ctrl-C into this
            report_error("interrupted; every output is whole, or as it was before", None)
        raise
    except BrokenPipeError:
        _drop_stdout()
        sys.exit(EXIT_BAD_DATA)
    except KeyboardInterrupt:  # outside of what typer watches
        report_error("interrupted; every output is whole, or as it was before", None)
        sys.exit(EXIT_INTERRUPTED)
    except OSError as error:
        if error.filename is not None and not is_disk_full(error):
            report_error(f"{error.filename}: {error.strerror}", "check the name and its rights")
            sys.exit(EXIT_BAD_DATA)
        if not is_disk_full(error):
            raise
        _drop_stdout()
        report_error(
            f"no room left on the disk ({error.filename or 'stdout or a temporary file'})",
            "free some space; TMPDIR=FOLDER moves the temporary files",
        )
        sys.exit(EXIT_BAD_DATA)
    except MemoryError as error:
        report_error(f"out of memory ({error})", "give the command less at a time")
        sys.exit(EXIT_BAD_DATA)


@contextmanager
def _ending_as_by_ctrl_c(number: signal.Signals) -> Iterator[None]:
    """Let a signal clean up as well; where a caller ignores it or has another plan, it stays."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    if not in_main_thread or signal.getsignal(number) is not signal.SIG_DFL:
        yield
        return
    signal.signal(number, stop)
    try:
        yield
    finally:
        signal.signal(number, signal.SIG_DFL)


def _drop_stdout() -> None:
    """Keep Python from flushing once more, in vain, what nobody reads."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
