"""The folder of a training run: what lies where in it."""

from __future__ import annotations

import json
import re
from pathlib import Path

from damcli.errors import InputError

MODEL = "model.onnx"
CENTRES = "centres.npy"
CLASSES = "classes.csv"
CHECKPOINTS = "checkpoints"
STATE = "state.pt"
BEST = "best.json"
_STEP = re.compile(r"step-(\d+)")


def model_of_run(run: Path) -> Path:
    """Return the model of a finished run.

    Raises
    ------
    InputError
        The folder is no run, or one that was not finished.
    """
    return _result(run, MODEL, f"or export its best checkpoint so far: {_export(run)}")


def centres_of_run(run: Path) -> tuple[Path, Path]:
    """Return the class centres of a finished run, and their labels.

    Raises
    ------
    InputError
        As `model_of_run`.
    """
    hint = "the class centres are written at its end"
    return _result(run, CENTRES, hint), _result(run, CLASSES, hint)


def checkpoint_of_run(run: Path) -> Path:
    """Return the best checkpoint of a run, or the newest where none was validated.

    Raises
    ------
    InputError
        The folder holds none, or not the one that ``best.json`` names.
    """
    steps = _steps(run)
    if not steps:
        raise InputError(
            str(run),
            f"holds no {CHECKPOINTS}/step-…/{STATE}; expected the folder of a run of damcli train",
            hint="give the folder that damcli train wrote to with -o, or a checkpoint's state.pt",
        )
    best = _best_step(run)
    if best is None:
        return steps[max(steps)]
    if best not in steps:
        raise InputError(
            str(run / BEST),
            f"names step {best}, which has no {STATE}; expected one of {_listed(steps)}",
            hint=f"name the one to use: {steps[max(steps)]}",
        )
    return steps[best]


def _result(run: Path, name: str, hint: str) -> Path:
    found = run / name
    if found.is_file():
        return found
    if not _steps(run):
        raise InputError(
            str(run),
            f"is a folder without {name}; expected a finished run of damcli train",
            hint="give a file, or the folder that damcli train wrote to with -o",
        )
    raise InputError(
        str(run),
        f"holds checkpoints but no {name}; expected a finished run of damcli train",
        hint=f"finish it with damcli train … --resume; {hint}",
    )


def _export(run: Path) -> str:
    return f"damcli export {run} -o {run / MODEL}"


def _steps(run: Path) -> dict[int, Path]:
    found = {}
    for folder in run.glob(f"{CHECKPOINTS}/step-*"):
        match = _STEP.fullmatch(folder.name)
        if match and (folder / STATE).is_file():
            found[int(match[1])] = folder / STATE
    return found


def _best_step(run: Path) -> int | None:
    path = run / BEST
    if not path.exists():
        return None
    try:
        step = json.loads(path.read_text("utf-8"))["step"]
        if not isinstance(step, int):
            raise TypeError(f"step is {step!r}")
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(
            str(path),
            f"cannot be read ({reason}); expected a JSON object with the best step",
            hint="name a checkpoint's state.pt instead of the run",
        ) from error
    return step


def _listed(steps: dict[int, Path]) -> str:
    return ", ".join(str(step) for step in sorted(steps))
