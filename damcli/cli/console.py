"""What goes to stderr: progress, messages, errors. stdout is for data."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from damcli.errors import UserError

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.evaluation.group_results import GroupEvaluation
    from damcli.evaluation.llr import LlrQuality
    from damcli.scoring.matches import Matches


class Advance(Protocol):
    """Moves a progress bar on, and changes what it says is done."""

    def __call__(self, done: int, what: str | None = None, /) -> None: ...  # noqa: D102


STDOUT = "-"
DEFAULT_FAR = "1e-6,1e-5,1e-4,1e-3,1e-2"
_LONGEST_LINE = 600


def report_error(found: str, hint: str | None) -> None:
    """Print an error and what to do about it."""
    print(f"error: {readable(found)}", file=sys.stderr)
    if hint is not None:
        print(f"hint: {readable(hint)}", file=sys.stderr)


def readable(text: str) -> str:
    """Escape what does not show or moves the cursor, and leave out the middle of long lines.

    Names that stand in a file end up in messages, and may be anything. Only our own line breaks
    are followed by spaces.
    """
    lines = re.split(r"\n(?=  )", text)
    return "\n".join(_shortened("".join(map(_visible, line))) for line in lines)


def _visible(char: str) -> str:
    return char if char.isprintable() else char.encode("unicode_escape").decode()


def _shortened(line: str) -> str:
    half = _LONGEST_LINE // 2
    return line if len(line) <= _LONGEST_LINE else f"{line[:half]} … {line[-half:]}"


class Messages:
    """Messages and progress bars on stderr.

    Parameters
    ----------
    quiet
        Leave out everything but warnings and errors.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def say(self, text: str) -> None:
        """Print a message."""
        if not self._quiet:
            print(readable(text), file=sys.stderr)

    def warn(self, text: str) -> None:
        """Print what the user must know, even with --quiet."""
        print(f"warning: {readable(text)}", file=sys.stderr)

    @contextmanager
    def progress(self, what: str, total: int | None, unit: str) -> Iterator[Advance]:
        """Show a bar with rate and time left, where stderr is a terminal."""
        if self._quiet or not sys.stderr.isatty():
            yield lambda done, what=None, /: None
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            Progress,
            TaskProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )

        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(show_speed=True),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        ) as bar:
            task = bar.add_task(what, total=total, rate="")

            def advance(done: int, what: str | None = None, /) -> None:
                bar.update(task, advance=done, description=what)
                speed = bar.tasks[task].speed
                if speed:
                    bar.update(task, rate=speed_of(speed, unit))

            yield advance


def usage_error(text: str) -> Exception:
    """Make the error for options that do not go together (exit code 2)."""
    import typer

    return typer.BadParameter(text)


def parse_number_list(text: str, option: str, example: str = "1e-4,1e-3") -> tuple[float, ...]:
    """Read numbers as in the example; anything else is a usage error."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise usage_error(
            f"{option} {text}: expected numbers separated by commas, as in {option} {example}"
        ) from error


def parse_fars(text: str, option: str = "--far") -> tuple[float, ...]:
    """Read false accept rates, each between 0 and 1 and given once; else a usage error."""
    from damcli.evaluation import check_fars

    fars = parse_number_list(text, option)
    try:
        check_fars(fars)
    except UserError as error:
        raise usage_error(f"{option} {text}: {error}") from error
    return fars


def evaluate_with_progress(
    matches: Matches, fars: tuple[float, ...], resamples: int, seed: int, messages: Messages
) -> Evaluation:
    """Evaluate labelled scores, with a bar for the pairs and one for the resamples."""
    from damcli.evaluation import evaluate

    with (
        messages.progress("evaluating", matches.impostor_count, "pairs") as counting,
        messages.progress("intervals", resamples, "resamples") as resampling,
    ):
        return evaluate(
            matches,
            fars=fars,
            resamples=resamples,
            seed=seed,
            progress=counting,
            resampling=resampling,
        )


def print_evaluation(
    evaluation: Evaluation,
    *,
    command: str,
    inputs: Mapping[str, str | None],
    settings: Mapping[str, Any],
    as_json: bool,
    as_csv: bool,
    to_stderr: bool = False,
    more: Mapping[str, Any] | None = None,
    quality: LlrQuality | None = None,
    groups: Sequence[GroupEvaluation] = (),
) -> None:
    """Print an evaluation, by groups as well, and how good its llr are where there are any.

    As JSON (with more in the document), as CSV (which has no place for the reliability of
    llr), or as tables.
    """
    import json

    from damcli.reports import calibration, documents, group_rows
    from damcli.reports.groups import print_groups
    from damcli.reports.tables import print_report

    if as_json:
        document = documents.as_document(
            evaluation, command=command, inputs=inputs, settings=settings
        )
        document |= more or {}
        if groups:
            document["groups"] = [group_rows.as_document(one) for one in groups]
        if quality is not None:
            document["llr"] = calibration.quality_as_dict(quality)
        print(json.dumps(document, indent=2))
    elif as_csv:
        print(documents.as_csv(evaluation, groups), end="")
    else:
        stream = sys.stderr if to_stderr else sys.stdout
        print_report(evaluation, stream=stream)
        for one in groups:
            print_groups(one, stream=stream)
        if quality is not None:
            calibration.print_quality(quality, stream=stream)


def print_json(command: str, content: Mapping[str, Any]) -> None:
    """Print a JSON document of a command, with its schema's name and version."""
    import json

    from damcli import __version__

    head = {
        "schema": f"damcli/{command}",
        "schema_version": 1,
        "command": command,
        "damcli_version": __version__,
    }
    print(json.dumps({**head, **content}, indent=2, default=str))


def speed_of(speed: float, units: str) -> str:
    """Write how many a second; a slow run must not read as standing still."""
    return f"{speed:,.0f} {units}/s" if speed >= 10 else f"{speed:.2g} {units}/s"


def command_line() -> str:
    """Return the command as it was given, to record in what it makes."""
    return shlex.join(["damcli", *sys.argv[1:]])
