"""Telling what a file is that should be text: by its first bytes, and by the first wrong one."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from pathlib import Path

from damcli.errors import InputError

HEAD_BYTES = 4096
_SIGNATURES = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file",
    b"PAR1": "a Parquet table",
    b"\x93NUMPY": "an array of numpy",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "compressed by gzip",
    b"\x28\xb5\x2f\xfd": "compressed by zstd",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"%PDF-": "a PDF document",
    b"\x7fELF": "a program",
}
_OTHER_TEXT = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_RECODE = "save it as UTF-8, for example: iconv -f {} -t utf-8 IN > OUT"


def require_text(head: bytes, origin: str, expected: str) -> None:
    """Refuse what is no text, or text of another encoding that says so.

    Parameters
    ----------
    head
        The first bytes of the file, decompressed; about `HEAD_BYTES`.
    origin
        The file.
    expected
        What it should hold, for the message.

    Raises
    ------
    InputError
        They begin as a file of another kind does, or hold a NUL byte.
    """
    for mark, encoding in _OTHER_TEXT.items():
        if head.startswith(mark):
            raise InputError(
                origin,
                f"is text in {encoding.upper()}; expected UTF-8: {expected}",
                hint=_RECODE.format(encoding),
            )
    known = next((what for mark, what in _SIGNATURES.items() if head.startswith(mark)), None)
    if known is None and b"\0" in head:
        known = "binary data"
    if known is not None:
        raise InputError(origin, f"is {known}; expected {expected}", hint="check the name")


def require_text_file(path: Path, expected: str) -> None:
    """Refuse a plain file that is no text or may not be read; see `require_text`."""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(
            str(path),
            f"cannot be read ({error.strerror}); expected {expected}",
            hint="check its rights",
        ) from error
    require_text(head, str(path), expected)


def require_utf8_file(path: Path) -> None:
    """Refuse a plain file with a line that is not UTF-8; see `decoded`."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as file:
        for _ in decoded(file, str(path)):
            pass


def decoded(lines: Iterable[str], origin: str) -> Iterator[str]:
    """Yield lines that were decoded as UTF-8 with ``surrogateescape``; refuse the first wrong one.

    Raises
    ------
    InputError
        A line holds bytes that are not UTF-8.
    """
    for row, line in enumerate(lines, start=1):
        require_utf8(line, origin, row)
        yield line


def require_utf8(line: str, origin: str, row: int) -> None:
    """Refuse a line that was decoded with ``surrogateescape`` and was not UTF-8."""
    if line.isascii():
        return
    try:
        line.encode()
    except UnicodeEncodeError as error:
        byte = ord(line[error.start]) & 0xFF
        raise InputError(
            origin,
            f"is not UTF-8: byte 0x{byte:02x} after '{line[: error.start][-20:]}'; expected text",
            row=row,
            hint=_RECODE.format("latin1"),
        ) from error
