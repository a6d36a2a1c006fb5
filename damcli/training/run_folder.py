"""The folder of a run: what lies where, and who may write to it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from damcli.errors import InputError, OutputError
from damcli.models.runs import BEST, CENTRES, CHECKPOINTS, CLASSES, MODEL
from damcli.storage.atomic import atomic_output, drafts_of
from damcli.storage.journal import lock

FORMAT = "damcli/training-run"
VERSION = 1


class RunFolder:
    """Where the parts of a run lie.

    Parameters
    ----------
    path
        The folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.record = path / "options.json"
        self.log = path / "log.csv"
        self.best = path / BEST
        self.checkpoints = path / CHECKPOINTS
        self.rejects = path / "rejects.csv"
        self.model = path / MODEL
        self.centres = path / CENTRES
        self.classes = path / CLASSES
        self.curves = path / "curves.png"
        self.tensorboard = path / "tensorboard"
        self._lock: int | None = None

    def check(self, *, resume: bool, force: bool) -> None:
        """Refuse a folder that holds a run already, or something else; nothing is changed.

        Raises
        ------
        OutputError
            It does.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(f"{self.path}: is a file; expected the name of a folder")
        if not self.path.exists() or set(self.path.iterdir()) <= set(drafts_of(self.record)):
            return
        if not self.record.exists():
            raise OutputError(
                f"{self.path}: holds files, and none of damcli train; expected a new or an empty "
                "folder",
                hint="choose another folder",
            )
        if not (resume or force):
            raise OutputError(
                f"{self.path}: holds a run already",
                hint="go on with it by --resume, or start over with --force",
            )

    def begin(self, record: Mapping[str, Any], *, resume: bool) -> None:
        """Hold the folder for this process; a new run is written down.

        Parameters
        ----------
        record
            JSON-safe; see `read_record`.
        resume
            Leave what an earlier process made; else it is removed.

        Raises
        ------
        OutputError
            It cannot be written.
        UserError
            Another process writes to it.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.path, os.O_RDONLY)
            self._take(self._lock, record, resume)
        except OSError as error:
            self.end()
            raise OutputError(
                f"{self.path}: cannot be written ({error.strerror})",
                hint="choose a folder you may write to",
            ) from error
        except BaseException:
            self.end()
            raise

    def _take(self, held: int, record: Mapping[str, Any], resume: bool) -> None:
        lock(held, self.path)
        if not resume:
            self._clear()
            self.keep(record)  # the first to be there: by it a folder is known as a run's
        self.checkpoints.mkdir(exist_ok=True)

    def keep(self, record: Mapping[str, Any]) -> None:
        """Write down what is run; a run that goes on, once its checkpoint was sound."""
        write_json(self.record, {"schema": FORMAT, "schema_version": VERSION, **record})

    def end(self) -> None:
        """Let others write to it."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read_record(self) -> dict[str, Any]:
        """Return what `begin` wrote.

        Raises
        ------
        InputError
            It is damaged.
        """
        found = read_json(self.record)
        if found.get("schema") != FORMAT or found.get("schema_version") != VERSION:
            raise InputError(
                str(self.record),
                f"is of schema {found.get('schema')}, version {found.get('schema_version')}; "
                f"expected {FORMAT}, version {VERSION}",
                hint="go on with the version of damcli that began the run",
            )
        return found

    def _clear(self) -> None:
        for folder in (self.checkpoints, self.tensorboard):
            if folder.exists():
                shutil.rmtree(folder)
        more = (self.centres, self.classes, self.curves)
        for file in (self.log, self.best, self.rejects, self.model, *more):
            file.unlink(missing_ok=True)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file whole or not at all, over what is there."""
    with atomic_output(path, force=True) as draft:
        draft.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    InputError
        It is none.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise InputError(str(path), "is not JSON; expected what damcli train wrote") from error
    if not isinstance(found, dict):
        raise InputError(str(path), "is not a JSON object; expected what damcli train wrote")
    return found
