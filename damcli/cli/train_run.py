"""How ``damcli train`` runs, ends when it is told to, and says what came of it."""

from __future__ import annotations

import os
import shlex
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages, print_json
from damcli.errors import Interrupted, MissingExtra

if TYPE_CHECKING:
    from damcli.cli.train_open import Request
    from damcli.training.log import Row
    from damcli.training.loop import Job, Progress
    from damcli.training.run import Finished
    from damcli.training.validation import Validated

_NAMED = 3  # how many broken images a message names


def run_job(job: Job, request: Request, *, as_json: bool) -> None:
    """Train, and say what was done; an interrupt says how to go on."""
    from damcli.training.loop import Diverged, Listener, Stopped
    from damcli.training.run import run

    messages = Messages(quiet=request.quiet or not job.ranks.is_first)
    with ExitStack() as stack:
        stop = stack.enter_context(_stopping(messages, once=job.ranks.size == 1))
        tale = _Tale(stack, job, messages)
        to = Listener(tale.step, tale.row, lambda: bool(stop))
        try:
            done = run(job, to, tensorboard=request.tensorboard)
        except (Stopped, KeyboardInterrupt) as end:
            stack.close()
            raise _interrupted(job, request, at_once=not isinstance(end, Stopped)) from None
        except Diverged:
            if not job.ranks.is_first:
                sys.exit(1)  # the first says it
            raise
        finally:
            job.folder.end()
    if done is None:
        return
    _tell_rejects(job, done, messages)
    _draw_curves(job, messages)
    _tell_files(job, done, messages)
    if as_json:
        print_json("train", _summary(job, done, tale))
    else:
        _print_table(done, tale)


class _Tale:
    """Tells how a run goes: on a bar, else row by row; and remembers what was validated."""

    def __init__(self, stack: ExitStack, job: Job, messages: Messages) -> None:
        self._stack, self._job, self._messages = stack, job, messages
        self._advance: Any = None
        self._said = ""
        self.last: Mapping[str, Validated] = {}
        self.last_row: Row | None = None

    def step(self, progress: Progress, loss: float, lr: float) -> None:
        batch = self._job.options.batch
        if self._advance is None:  # the bar appears when the first step is done
            left = self._job.options.steps - progress.step + 1
            bar = self._messages.progress("training", left * batch, "images")
            self._advance = self._stack.enter_context(bar)
        self._advance(batch, f"step {progress.step:,}: loss {loss:.3f}, lr {lr:.3g}{self._said}")

    def row(self, row: Row, validated: Mapping[str, Validated]) -> None:
        from damcli.reports.tables import percent

        self.last_row = row
        told = "".join(
            f", {name} {one.metric} {percent(one.value)}" for name, one in validated.items()
        )
        if validated:
            self._said, self.last = told, validated
        if validated or not sys.stderr.isatty():
            self._messages.say(
                f"step {row.step:,}: loss {row.loss:.4f}, lr {row.lr:.3g}, "
                f"{row.images_per_second:,.0f} images/s{told}"
            )


@contextmanager
def _stopping(messages: Messages, *, once: bool) -> Iterator[list[int]]:
    """Collect SIGINT and SIGTERM; the second ends at once, where the first comes but once.

    A process of torchrun hears of one Ctrl-C from the terminal and again from torchrun.
    """
    heard: list[int] = []

    def stop(number: int, frame: object) -> None:
        if heard and once:
            raise KeyboardInterrupt
        if not heard:
            messages.say("ending after this step, with a checkpoint")
        heard.append(number)

    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield heard
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _interrupted(job: Job, request: Request, *, at_once: bool) -> BaseException:
    from damcli.training.checkpoint import steps_of

    if not job.ranks.is_first:
        return SystemExit(130)
    steps = steps_of(job.folder.checkpoints)
    kept = f"a checkpoint of step {steps[-1]:,} is kept" if steps else "there is no checkpoint yet"
    told = "interrupted at once" if at_once else "interrupted"
    again = shlex.join(["damcli", "train", request.data, "-o", str(request.output), "--resume"])
    if job.ranks.size > 1:
        processes = os.environ.get("LOCAL_WORLD_SIZE", str(job.ranks.size))
        again = f"torchrun --nproc-per-node {processes} -m {again}"
    return Interrupted(f"{told}; {kept} in {job.folder.path}", hint=f"go on with: {again}")


def _tell_rejects(job: Job, done: Finished, messages: Messages) -> None:
    rejects = done.progress.rejects
    if rejects:
        first = "; ".join(f"{place}: {why}" for place, why in list(rejects.items())[:_NAMED])
        more = "; …" if len(rejects) > _NAMED else ""
        messages.warn(
            f"{len(rejects):,} image(s) could not be read and others were shown instead, listed "
            f"in {job.folder.rejects}: {first}{more}"
        )


def _draw_curves(job: Job, messages: Messages) -> None:
    from damcli.reports.curves import curves_png

    try:
        curves_png(job.folder.log, job.folder.curves, force=True)
    except MissingExtra as missing:
        messages.say(f"no picture of the curves: {missing}; {missing.hint}")


def _tell_files(job: Job, done: Finished, messages: Messages) -> None:
    folder = job.folder
    files = [folder.model, folder.centres, folder.classes, folder.curves]
    made = ", ".join(str(path) for path in files if path.exists())
    messages.say(
        f"wrote {made} from step {done.chosen:,}; onnxruntime's embeddings differ from torch's "
        f"by {done.difference:.1g} at most"
    )


def _summary(job: Job, done: Finished, tale: _Tale) -> dict[str, Any]:
    from damcli.training.run_folder import read_json

    folder, row = job.folder, tale.last_row
    files = {
        "model": folder.model,
        "centres": folder.centres,
        "classes": folder.classes,
        "curves": folder.curves,
        "log": folder.log,
        "rejects": folder.rejects,
    }
    return {
        "run": str(folder.path),
        "step": done.progress.step,
        "chosen": done.chosen,
        "best": read_json(folder.best) if folder.best.exists() else None,
        "loss": None if row is None else row.loss,
        "images_per_second": None if row is None else row.images_per_second,
        "validations": {
            name: {"metric": one.metric, "value": one.value, **one.further}
            for name, one in tale.last.items()
        },
        "rejects": dict(done.progress.rejects),
        "onnx_difference": done.difference,
        "files": {name: str(path) for name, path in files.items() if path.exists()},
        "options": job.options.as_json(),
    }


def _print_table(done: Finished, tale: _Tale) -> None:
    """Print what the last step and the best came to; nothing where nothing was validated."""
    from damcli.reports.tables import console_for, percent, table_of

    best = done.progress.best
    lines = []
    for name, one in tale.last.items():
        mine = best.get("validation") == name
        for place, (metric, value) in enumerate([(one.metric, one.value), *one.further.items()]):
            is_leading = mine and not place
            lines.append(
                (
                    "" if place else name,
                    metric,
                    percent(value),
                    f"{percent(best['value'])} (step {best['step']:,})" if is_leading else "",
                )
            )
    if lines:
        last = f"step {done.progress.step:,}"
        console_for(sys.stdout).print(table_of(("", "metric", last, "best"), lines))
