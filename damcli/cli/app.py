"""The ``damcli`` command: its subcommands, and the one place where errors become messages."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from damcli.cli import (
    build_anchors,
    calibrate,
    compare,
    convert,
    demo,
    embed,
    evaluate,
    export,
    fit_lidr,
    identify,
    info,
    pairs,
    pool,
    report,
    score,
    sweep,
    train,
)
from damcli.cli.console import report_error
from damcli.errors import Interrupted, UserError
from damcli.storage.atomic import is_disk_full

EXIT_BAD_DATA = 1
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="damcli",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
PANELS: dict[str, dict[str, Callable[..., None]]] = {
    "Pipeline": {
        "embed": embed.embed,
        "build-anchors": build_anchors.build_anchors,
        "fit-lidr": fit_lidr.fit_lidr,
        "calibrate": calibrate.calibrate,
        "score": score.score,
    },
    "Evaluation": {
        "evaluate": evaluate.evaluate,
        "compare": compare.compare,
        "sweep": sweep.sweep,
        "report": report.report,
        "identify": identify.identify,
    },
    "Data": {
        "pairs": pairs.pairs,
        "pool": pool.pool,
        "convert": convert.convert,
        "info": info.info,
    },
    "Models": {"train": train.train, "export": export.export},
    "Start here": {"demo": demo.demo},
}
for _panel, _commands in PANELS.items():
    for _name, _command in _commands.items():
        app.command(_name, rich_help_panel=_panel)(_command)


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
            report_error("interrupted; no output was written", None)
        raise
    except BrokenPipeError:
        _drop_stdout()
        sys.exit(EXIT_BAD_DATA)
    except KeyboardInterrupt:  # outside of what typer watches
        report_error("interrupted; no output was written", None)
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


def _drop_stdout() -> None:
    """Keep Python from flushing once more, in vain, what nobody reads."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
