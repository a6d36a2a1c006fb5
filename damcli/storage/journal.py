"""An append-only log that survives any end of the process: each record is whole, or ignored.

A record is its length, the CRC-32 of its bytes, and the bytes. The first one is a JSON
header that says what the others are. Reading stops at the first record that is not whole;
appending cuts it off and goes on there. HDF5 cannot do this: a file that was open when the
process died may be lost as a whole.
"""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from damcli.errors import InputError, OutputError, UserError
from damcli.storage.atomic import PRIVATE, is_disk_full
from damcli.storage.locks import hold, holder

_PREFIX = struct.Struct("<II")
_SYNC_SECONDS = 1.0


class Record(NamedTuple):
    """One whole record, and where its bytes begin in the file."""

    offset: int
    payload: bytes


def read_records(path: Path) -> tuple[dict[str, Any] | None, Iterator[Record]]:
    """Read a journal, one record at a time.

    Returns
    -------
    header : dict or None
        None where not even the header is whole.
    records : iterator of Record
        The whole records after it.

    Raises
    ------
    InputError
        The file cannot be opened, or is not a journal.
    """
    records = _scan(path)
    first = next(records, None)
    return (None if first is None else _header(path, first.payload)), records


def _scan(path: Path) -> Iterator[Record]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(str(path), f"cannot be opened ({error.strerror})") from error
    with file:
        yield from _whole_records(file)


def _whole_records(file: IO[bytes]) -> Iterator[Record]:
    offset = 0
    left = os.fstat(file.fileno()).st_size
    while (prefix := file.read(_PREFIX.size)) and len(prefix) == _PREFIX.size:
        length, checksum = _PREFIX.unpack(prefix)
        offset += _PREFIX.size
        left -= _PREFIX.size
        # A crash of the machine can leave zeros, which would pass for endless empty records.
        if not 0 < length <= left:
            return
        payload = file.read(length)
        if len(payload) < length or zlib.crc32(payload) != checksum:
            return
        yield Record(offset, payload)
        offset += length
        left -= length


def _header(path: Path, payload: bytes) -> dict[str, Any]:
    try:
        header = json.loads(payload)
    except ValueError:
        header = None
    if not isinstance(header, dict):
        raise InputError(
            str(path),
            "is not a journal of damcli; expected what an interrupted run leaves",
            hint="move that file away",
        )
    return header


class Journal:
    """A journal open for appending, by one process at a time.

    Parameters
    ----------
    path
        The file; begun with the header where it is new, else continued after its last
        whole record.
    header
        What the records are, JSON-safe.

    Raises
    ------
    UserError
        Another process appends to it.
    OutputError
        It cannot be written.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        try:
            self._file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE), "r+b", 0)
        except OSError as error:
            raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
        self._synced = time.monotonic()
        try:
            lock(self._file, path)
            self._check_place()
            self._end = max((r.offset + len(r.payload) for r in _scan(path)), default=0)
            self._cut()
            if self._end == 0:
                self.append(json.dumps(header).encode())
        except BaseException:
            self._file.close()
            raise

    def append(self, payload: bytes) -> None:
        """Write a record, of at least one byte; it outlives this process from here on.

        Raises
        ------
        OutputError
            The disk is full or fails; the records before are kept.
        """
        record = memoryview(_PREFIX.pack(len(payload), zlib.crc32(payload)) + payload)
        try:
            done = 0
            while done < len(record):
                done += self._file.write(record[done:]) or 0
            self._sync()
        except OSError as error:
            self._cut()
            said = "the disk is full" if is_disk_full(error) else error.strerror or error
            raise OutputError(
                f"{self.path}: cannot be written ({said})",
                hint="mend that, then go on where it stopped: --resume",
            ) from error
        self._end += len(record)

    def close(self) -> None:
        """Bring everything to the disk."""
        if not self._file.closed:
            with suppress(OSError):
                os.fsync(self._file.fileno())
            self._file.close()

    def _sync(self) -> None:
        """Outlive the machine too, at a price that is paid once a second."""
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _check_place(self) -> None:
        """Refuse a file that another run has finished with, and removed, before it was held."""
        held = os.fstat(self._file.fileno())
        if not (self.path.exists() and os.path.samestat(held, self.path.stat())):
            raise OutputError(
                f"{self.path}: another run has just finished this output",
                hint="look at what it made; add to it with --resume, or replace it with --force",
            )

    def _cut(self) -> None:
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def lock(file: IO[bytes] | int, path: Path) -> None:
    """Hold a file or folder until it is closed.

    Raises
    ------
    UserError
        Another process holds it.
    """
    try:
        hold(file)
    except BlockingIOError:
        known = holder(file)
        which = "" if known is None else f" (number {known})"
        raise UserError(
            f"{path}: another process is writing it{which}; expected no other run of this output",
            hint="wait for that run, or stop it",
        ) from None


def discard(path: Path) -> None:
    """Remove a journal, unless another process appends to it.

    Raises
    ------
    UserError
        One does.
    """
    with path.open("rb") as file:
        lock(file, path)
        path.unlink()
