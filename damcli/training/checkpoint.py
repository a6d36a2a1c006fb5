"""Checkpoints: folders that appear whole or not at all, one file a process for the centres.

``checkpoints/step-00001000/state.pt`` holds the network and all that is the same in every
process; ``centres-R-of-N.pt`` the class centres of process R. Both are plain tensors and
numbers, loaded without running what is pickled.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from damcli.embedding.ranks import Ranks
from damcli.errors import InputError, OutputError
from damcli.models.runs import STATE
from damcli.storage.atomic import PRIVATE, is_disk_full

_NAME = re.compile(r"step-(\d{8,})")
_SHARD = re.compile(r"centres-(\d+)-of-(\d+)\.pt")
_DRAFT = ".draft-"


def checkpoint_path(folder: Path, step: int) -> Path:
    """Return where the checkpoint of a step lies."""
    return folder / f"step-{step:08d}"


def steps_of(folder: Path) -> list[int]:
    """List the steps whose checkpoints are there, rising."""
    names = (_NAME.fullmatch(path.name) for path in folder.glob("step-*"))
    return sorted(int(name[1]) for name in names if name is not None)


def remove_drafts(folder: Path) -> None:
    """Remove what writers left that did not live to the end."""
    for draft in folder.glob(f"{_DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def prune(folder: Path, keep: set[int]) -> None:
    """Remove all checkpoints but those of some steps."""
    for step in set(steps_of(folder)) - keep:
        # Out of sight first, so that no half of it can pass for a checkpoint.
        gone = folder / f"{_DRAFT}gone-{step}"
        checkpoint_path(folder, step).rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def save(
    folder: Path,
    step: int,
    state: Mapping[str, Any],
    centres: Mapping[str, Any],
    ranks: Ranks,
) -> Path:
    """Write a checkpoint; all processes take part, on one file system.

    Parameters
    ----------
    folder
        The checkpoints of the run.
    step
        Updates done so far.
    state
        What is the same in all processes; the first writes it.
    centres
        What this process holds of the class centres; empty where there are none.
    ranks
        The processes.

    Returns
    -------
    Path
        The checkpoint, on the disk to stay.

    Raises
    ------
    OutputError
        It cannot be written, for want of room for example. Earlier ones are as they were.
    """
    target = checkpoint_path(folder, step)
    draft = folder / f"{_DRAFT}{step}"

    def begin() -> None:
        remove_drafts(folder)
        _writing(target, draft.mkdir)

    ranks.first(begin)
    try:
        if centres:
            shard = draft / f"centres-{ranks.rank}-of-{ranks.size}.pt"
            _writing(target, lambda: _write(shard, centres))
        if ranks.is_first:
            _writing(target, lambda: _write(draft / STATE, state))
        ranks.gather(None)  # all parts are there
        ranks.first(lambda: _writing(target, lambda: _appear(draft, target)))
    finally:
        if ranks.is_first:
            shutil.rmtree(draft, ignore_errors=True)
    return target


def load_state(checkpoint: Path) -> dict[str, Any]:
    """Read what is the same in all processes.

    Raises
    ------
    InputError
        It is damaged.
    """
    return _read(checkpoint / STATE)


def load_centres(checkpoint: Path) -> dict[str, Any]:
    """Read the class centres of all processes, joined.

    Returns
    -------
    dict
        Tensors by name, of shape (C, …); empty where the run has no centres.

    Raises
    ------
    InputError
        A part is missing or damaged.
    """
    import torch

    parts = [_read(path) for path in centre_files(checkpoint)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}


def centre_files(checkpoint: Path) -> list[Path]:
    """List the files of the class centres, in the order of the classes.

    Raises
    ------
    InputError
        One is missing.
    """
    found = [(name, path) for path in checkpoint.iterdir() if (name := _SHARD.fullmatch(path.name))]
    found.sort(key=lambda one: int(one[0][1]))
    numbers = [(int(name[1]), int(name[2])) for name, _ in found]
    if numbers != [(rank, len(found)) for rank in range(len(found))]:
        raise InputError(
            str(checkpoint),
            f"holds {', '.join(path.name for _, path in found)}; expected one file of each process",
            hint="take an earlier checkpoint: remove this one",
        )
    return [path for _, path in found]


def _read(path: Path) -> dict[str, Any]:
    import torch

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch has many for a damaged file
        raise InputError(
            str(path),
            "is damaged; expected a checkpoint of damcli train",
            hint=f"go on from an earlier one: remove {path.parent}",
        ) from error
    if not isinstance(found, dict):
        raise InputError(str(path), "is not a checkpoint of damcli train")
    return found


def _write(path: Path, content: Mapping[str, Any]) -> None:
    import torch

    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(os.open(path, flags, PRIVATE), "wb") as file:
        try:
            torch.save(dict(content), file)
        except RuntimeError as error:
            raise _cause(error) from error
        _sync(file)


def _cause(error: BaseException) -> BaseException:
    """Find the fault of the disk behind torch's complaint of its consequences."""
    behind: BaseException | None = error
    while behind is not None and not isinstance(behind, OSError):
        behind = behind.__cause__ or behind.__context__
    return behind or error


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _appear(draft: Path, target: Path) -> None:
    _sync_folder(draft)
    draft.rename(target)
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    entry = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)


def _writing(target: Path, work: Callable[[], Any]) -> None:
    try:
        work()
    except OSError as error:
        said = "the disk is full" if is_disk_full(error) else error.strerror or error
        raise OutputError(
            f"{target}: not written ({said})",
            hint="earlier checkpoints are as they were: mend that, then go on with --resume",
        ) from error
