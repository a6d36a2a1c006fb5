"""What can go wrong by the user's input, as one small tree.

The command line turns each of these into ``error: …`` and ``hint: …`` on stderr
and exits with code 1. Nothing else in damcli prints or exits.

- UserError
  - InputError      a file or a row in it is not what it should be
  - OutputError     a file cannot be written
  - MissingExtra    an optional dependency is not installed
  - Interrupted     the user stopped it, and what was done is kept (exit code 130)
"""

from __future__ import annotations

from typing import Any


class UserError(Exception):
    """A fault that the user can mend.

    Parameters
    ----------
    found
        What was found, and what was expected instead.
    hint
        What to do about it.
    """

    def __init__(self, found: str, *, hint: str | None = None) -> None:
        super().__init__(found)
        self.found = found
        self.hint = hint

    def __str__(self) -> str:
        return self.found

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it as it is, so that it comes whole from another process."""
        return _revived, (type(self), self.args, self.__dict__)


def _revived(kind: type[UserError], args: tuple[Any, ...], state: dict[str, Any]) -> UserError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


def counted(count: int, noun: str) -> str:
    """Write a number of things for a message: ``1 image``, ``1,200 images``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


class InputError(UserError):
    """An input file, or a row of it, is not what it should be.

    Parameters
    ----------
    origin
        The file, as the user named it.
    found
        What was found, and what was expected instead.
    row
        The row it was found in, counted from 1.
    hint
        What to do about it.
    """

    def __init__(
        self, origin: str, found: str, *, row: int | None = None, hint: str | None = None
    ) -> None:
        super().__init__(found, hint=hint)
        self.origin = origin
        self.row = row

    def __str__(self) -> str:
        place = self.origin if self.row is None else f"{self.origin}, row {self.row}"
        return f"{place}: {self.found}"


class OutputError(UserError):
    """An output file cannot be written; what stood there before still does."""


class MissingExtra(UserError):  # noqa: N818 - reads as what it is
    """An optional dependency is not installed.

    Parameters
    ----------
    purpose
        What needed it, as the start of a sentence.
    extra
        The extra of damcli that brings it.
    """

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the extra [{extra}]", hint=f"pip install 'damcli[{extra}]'"
        )


class Interrupted(UserError):  # noqa: N818 - reads as what it is
    """The user stopped a run whose work so far is kept."""
