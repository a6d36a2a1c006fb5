"""Lines of a text file, plain or compressed, with one message for whatever is wrong with it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from damcli.errors import InputError
from damcli.storage.inputs import require_file
from damcli.storage.signatures import HEAD_BYTES, decoded, require_text
from damcli.storage.tables import reading

LONGEST_LINE = 1_000_000
_COMPRESSED = (".gz", ".zst", ".bz2")
_DAMAGED = "expected UTF-8 text, plain or compressed as its name says (.gz, .zst, .bz2)"


def text_suffix(name: str) -> str:
    """Return the suffix in lower case, without that of a compression."""
    path = Path(name.lower())
    return path.with_suffix("").suffix if path.suffix in _COMPRESSED else path.suffix


def lines_of(path: Path, what: str) -> Iterator[str]:
    """Yield the lines of a file as they are read, with their ends.

    Parameters
    ----------
    path
        The file; ``.gz``, ``.zst`` and ``.bz2`` are decompressed.
    what
        What was expected, for messages.

    Raises
    ------
    InputError
        There is no such file, it is damaged, or not UTF-8.
    """
    import pyarrow as pa

    origin = str(path)
    require_file(path, what)
    if not path.is_file():
        raise InputError(origin, f"is not a file; expected {what}")
    with reading(origin, hint=_DAMAGED):
        with pa.input_stream(origin, compression="detect") as stream:
            require_text(stream.read(HEAD_BYTES), origin, what)
        with (
            pa.input_stream(origin, compression="detect") as stream,
            io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape", newline="") as text,
        ):
            yield from decoded(bounded(text, origin), origin)


def bounded(text: TextIO, origin: str) -> Iterator[str]:
    """Yield the lines of a text, and refuse one that does not end: it would fill the memory.

    Raises
    ------
    InputError
        A line has more than a million characters.
    """
    for row in itertools.count(1):
        line = text.readline(LONGEST_LINE + 1)
        require_short(line, origin, row)
        if not line:
            return
        yield line


def require_short(line: str, origin: str, row: int) -> None:
    """Refuse a line of more than a million characters."""
    if len(line) > LONGEST_LINE:
        raise InputError(
            origin,
            f"a line of more than {LONGEST_LINE:,} characters; expected short ones",
            row=row,
            hint="is it a text at all?",
        )
