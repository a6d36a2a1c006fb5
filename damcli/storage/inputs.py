"""Whether an input is there at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from damcli.errors import InputError


def require_file(path: Path, what: str, *, if_folder: str | None = None) -> int:
    """Raise unless a file, or something that reads like one, stands there.

    Parameters
    ----------
    path
        The input.
    what
        What was expected there, as in ``a file of embeddings``.
    if_folder
        What to do where it is a folder.

    Returns
    -------
    int
        Its size in bytes.

    Raises
    ------
    InputError
        It is missing, is a folder, or cannot be reached: a folder on the way to it may not
        be entered, or its name is longer than the file system allows.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise InputError(
            str(path), f"no such file; expected {what}", hint="check the name"
        ) from error
    except OSError as error:
        raise InputError(
            str(path),
            f"cannot be reached ({error.strerror}); expected {what}",
            hint="check the name, and that you may enter its folder",
        ) from error
    if stat.S_ISDIR(found.st_mode):
        raise InputError(str(path), f"is a folder; expected {what}", hint=if_folder)
    return found.st_size


def real_path(path: Path) -> Path:
    """Follow links; unlike `Path.resolve`, of links in a circle as far as that goes."""
    return Path(os.path.realpath(path))


def is_there(beside: Path) -> bool:
    """Whether an optional companion of a file exists; one whose name is too long does not."""
    try:
        return beside.exists()
    except OSError:
        return False
