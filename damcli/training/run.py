"""A run from its options to what it leaves, in one process or in several."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from damcli.errors import InputError
from damcli.training.checkpoint import checkpoint_path, load_centres, load_state, steps_of
from damcli.training.classes import Classes
from damcli.training.learner import Learner
from damcli.training.log import Log
from damcli.training.loop import Job, Listener, Progress, train
from damcli.training.outputs import write_outputs, write_rejects


@dataclass(frozen=True)
class Finished:
    """What came of a run.

    Attributes
    ----------
    progress
        As it was at the end.
    chosen
        The step whose model was written: the best, or the last where nothing was validated.
    difference
        The largest between torch's embeddings and onnxruntime's.
    """

    progress: Progress
    chosen: int
    difference: float


def describe(source: Any, classes: Classes) -> dict[str, Any]:
    """Return what tells a training set from another: counts, and a digest of its labels."""
    digest = hashlib.sha256("\n".join(classes.labels).encode())
    digest.update(classes.of_row.tobytes())
    return {
        "images": len(source),
        "classes": len(classes.labels),
        "labels_sha256": digest.hexdigest(),
    }


def check_same_data(recorded: Mapping[str, Any], now: Mapping[str, Any], origin: str) -> None:
    """Refuse to go on with another training set.

    Raises
    ------
    InputError
        It has other images or classes.
    """
    if any(recorded.get(name) != value for name, value in now.items()):
        raise InputError(
            origin,
            f"{now['images']:,} images of {now['classes']:,} subjects that are not those the run "
            f"was begun with; expected {recorded.get('images'):,} images of "
            f"{recorded.get('classes'):,} subjects, in the same order",
            hint="begin another run with -o",
        )


def run(job: Job, to: Listener, *, tensorboard: bool = False) -> Finished | None:
    """Train, from the newest checkpoint where the folder has one, and write what is left.

    Returns
    -------
    Finished or None
        None in all processes but the first.

    Raises
    ------
    damcli.training.loop.Diverged, damcli.training.loop.Stopped
        See `damcli.training.loop.train`.
    UserError
        See the parts of a run.
    """
    folder, ranks = job.folder, job.ranks
    learner = Learner(job.options, len(job.classes.labels), job.device, ranks)
    progress = take_up(job, learner)
    if not ranks.is_first:
        train(job, learner, progress, None, to)
        ranks.first(lambda: None)
        return None
    folder.keep(job.record)
    board = folder.tensorboard if tensorboard else None
    with Log(folder.log, step=progress.step, board=board) as log:
        train(job, learner, progress, log, to)
    return ranks.first(lambda: _finish(job, progress))


def take_up(job: Job, learner: Learner) -> Progress:
    """Load the newest checkpoint, if there is one."""
    steps = steps_of(job.folder.checkpoints)
    if not steps:
        return Progress()
    checkpoint = checkpoint_path(job.folder.checkpoints, steps[-1])
    state = load_state(checkpoint)
    try:
        learner.load(state, load_centres(checkpoint))
        return Progress(state["step"], **state["progress"])
    except (KeyError, TypeError, RuntimeError) as error:
        raise InputError(
            str(checkpoint),
            f"does not hold what the run needs to go on ({error})",
            hint="go on from an earlier one: remove this folder",
        ) from error


def _finish(job: Job, progress: Progress) -> Finished:
    chosen = progress.best.get("step", progress.step)
    if progress.rejects:
        write_rejects(job.folder.rejects, progress.rejects)
    return Finished(progress, chosen, write_outputs(job.folder, chosen, job.classes))
