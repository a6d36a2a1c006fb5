"""Output files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from damcli.errors import OutputError
from damcli.storage.inputs import real_path
from damcli.storage.locks import hold

PRIVATE = 0o600
"""Read and written by their owner alone: files that hold embeddings."""
# The end of a name keeps the suffixes, and keeps a long name of a draft within 255 bytes.
_KEPT_LETTERS = 40
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@contextmanager
def atomic_output(target: Path, *, force: bool = False, private: bool = False) -> Iterator[Path]:
    """Give a path to write to, and rename it to the target when the block ends well.

    Parameters
    ----------
    target
        Where the file shall appear.
    force
        Replace a file that stands there already; the new one keeps its mode.
    private
        A new file is for its owner alone (mode 0600), from its first byte on, and whatever
        the umask.

    Yields
    ------
    Path
        A new path beside the target, with the same suffixes.

    Raises
    ------
    OutputError
        The target exists, or appears meanwhile, its folder cannot be written, or the disk is
        full. The target is then as it was, and nothing is left beside it.
    """
    check_writable(target, force=force)
    target = real_path(target)  # a link stays, and what it leads to is replaced
    try:
        _sweep(target)
        mode = stat.S_IMODE(target.stat().st_mode) & 0o777 if target.exists() else None
        with _held_draft(target, PRIVATE if private else 0o666) as draft:
            yield draft
            if mode is not None:
                draft.chmod(mode)
            with draft.open("rb") as written:
                os.fsync(written.fileno())
            _appear(draft, target, force)
    except OSError as error:
        raise _explain(target, error) from error


@contextmanager
def _held_draft(target: Path, mode: int) -> Iterator[Path]:
    """Make a draft, held as long as this process works on it, and removed at the end."""
    draft, held = _new_draft(target, mode)
    try:
        while not _is_mine(draft, held):
            lost = held
            draft, held = _new_draft(target, mode)
            os.close(lost)
        yield draft
    finally:
        try:
            draft.unlink(missing_ok=True)
        finally:  # an interrupt here must leave a draft that the next run may sweep up
            os.close(held)


def _new_draft(target: Path, mode: int) -> tuple[Path, int]:
    draft = target.with_name(f".{os.urandom(4).hex()}.{target.name[-_KEPT_LETTERS:]}")
    return draft, os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)


def _is_mine(draft: Path, held: int) -> bool:
    """Hold a new draft; False where another process took it for a dead one's before that."""
    with suppress(BlockingIOError):
        hold(held)
        return draft.exists()
    return False


def drafts_of(target: Path) -> Iterator[Path]:
    """Find the drafts of an output, of processes that run or were killed."""
    drafts = re.compile(r"\.[0-9a-f]{8}\." + re.escape(target.name[-_KEPT_LETTERS:]))
    for path in target.parent.iterdir():
        if drafts.fullmatch(path.name) and path.is_file() and not path.is_symlink():
            yield path


def _sweep(target: Path) -> None:
    """Remove the drafts that a killed process left of the same output: nobody holds them."""
    for left in drafts_of(target):
        with suppress(OSError):
            held = os.open(left, os.O_RDONLY)
            try:
                if hold(held):
                    left.unlink()
            finally:
                os.close(held)


def _appear(draft: Path, target: Path, force: bool) -> None:
    """Give the draft its name; without force only where nothing has it by now."""
    if force:
        draft.replace(target)
        return
    try:
        os.link(draft, target)
    except FileExistsError:
        raise OutputError(
            f"{target}: made by another process in the meantime; it stays as it is",
            hint="choose another name, or replace it with --force",
        ) from None
    except OSError:  # a file system without hard links
        _check(target, force)
        draft.replace(target)


def check_writable(target: Path, *, force: bool) -> None:
    """Refuse a target that could not be written, before any work is done for it."""
    try:
        _check(target, force)
    except OSError as error:
        raise _explain(target, error) from error


def _check(target: Path, force: bool) -> None:
    if target.is_dir():
        raise OutputError(f"{target}: is a folder; expected the name of a file to write")
    if target.exists() and not target.is_file():
        # A rename would put a plain file in the place of, say, /dev/null.
        raise OutputError(f"{target}: is not a plain file; expected the name of a file to write")
    if target.exists() and not force:
        raise OutputError(
            f"{target}: exists already", hint="choose another name, or replace it with --force"
        )
    if not target.parent.is_dir():
        raise OutputError(
            f"{target}: its folder {target.parent} does not exist", hint=f"mkdir -p {target.parent}"
        )
    if not os.access(target.parent, os.W_OK):
        raise OutputError(
            f"{target}: the folder {target.parent} cannot be written",
            hint="choose a folder you may write to",
        )


def is_disk_full(error: OSError) -> bool:
    """Whether the write failed for want of room."""
    if error.errno is not None:
        return error.errno in _NO_ROOM
    # HDF5 and Arrow give the number in the text only; numpy says how much it got rid of.
    said = re.search(r"errno =? ?(\d+)", str(error))
    return "requested and" in str(error) if said is None else int(said.group(1)) in _NO_ROOM


def _explain(target: Path, error: OSError) -> OutputError:
    if is_disk_full(error):
        return OutputError(
            f"{target}: not written, the disk is full",
            hint="free some space or choose another disk; the file is as it was before",
        )
    if isinstance(error, PermissionError):
        return OutputError(
            f"{target}: cannot be written ({error.strerror})",
            hint="choose a folder you may write to",
        )
    return OutputError(
        f"{target}: not written ({error.strerror or error})",
        hint="check the name and the disk; the file is as it was before",
    )
