"""Text tables and Parquet as a stream of Arrow batches of strings."""

from __future__ import annotations

import csv
import io
import os
import shutil
import sys
import tempfile
import weakref
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from damcli.errors import InputError
from damcli.protocols.csv_batches import Batch, CsvRows, coded_text
from damcli.sources.lines import bounded, require_short
from damcli.storage.inputs import require_file
from damcli.storage.signatures import HEAD_BYTES, decoded, require_text, require_utf8
from damcli.storage.spool import room_for_temporary_files
from damcli.storage.tables import reading

STDIN = "-"
_PARQUET = (".parquet", ".pq")
_PEEK_BYTES = 1 << 20
_PARQUET_ROWS = 1 << 19
_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"BZh": "bz2"}
_CUT_SHORT = "was it cut short? make the file anew"


class TextTable:
    """A CSV, tab- or space-separated list, plain or compressed, or a Parquet table.

    Parameters
    ----------
    path
        The file, or ``-`` for stdin, which is copied to a temporary file first, so that
        it can be read twice.
    expected
        What its rows should be, for messages.

    Attributes
    ----------
    first
        The cells of the first row; the column names of a Parquet file.
    schema
        That of a Parquet file, else None.
    """

    def __init__(self, path: str, expected: str = "probe_id,reference_id[,label]") -> None:
        self.origin = "stdin" if path == STDIN else path
        self.schema: Any = None
        self._expected = expected
        self._copy = _copy_of_stdin() if path == STDIN else None
        self._path = Path(path)
        self.is_parquet = self._path.suffix.lower() in _PARQUET
        if self._copy is not None:
            weakref.finalize(self, self._copy.close)
        else:
            _require_file(self._path, expected)
        self.first = self._parquet_names() if self.is_parquet else self._first_line()

    def batches(
        self, names: tuple[str, ...], *, skip_first: bool, coded: Collection[str] = ()
    ) -> Iterator[Batch]:
        """Yield the rows with their columns as strings, named as given; some may come coded."""
        with self._readable():
            if self.is_parquet:
                yield from self._parquet_batches(coded)
            elif self._separator == " ":
                yield from self._spaced_batches(names, skip_first)
            else:
                rows = CsvRows(
                    self._open,
                    names,
                    origin=self.origin,
                    separator=self._separator,
                    lead=self._lead,
                    skip_first=skip_first,
                    coded=coded,
                )
                yield from rows.batches()

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Say what is wrong with a file that cannot be read as text."""
        import pyarrow as pa

        try:
            yield
        except PermissionError as error:
            raise InputError(self.origin, "may not be read", hint="check its rights") from error
        except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError) as error:
            if not self.is_parquet:
                self._require_utf8()
            hint = _CUT_SHORT if self._compression() else "make the file anew"
            raise InputError(self.origin, f"cannot be read ({error})", hint=hint) from error

    def _require_utf8(self) -> None:
        import pyarrow as pa

        with suppress(pa.ArrowException, OSError, EOFError), self._open() as stream:
            text = io.TextIOWrapper(stream, "utf-8-sig", "surrogateescape")
            for _ in decoded(text, self.origin):
                pass

    def _compression(self) -> str | None:
        """Tell the compression from the first bytes, whatever the name says."""
        if self._copy is not None:
            self._copy.seek(0)
            head = self._copy.read(4)
        else:
            with self._path.open("rb") as file:
                head = file.read(4)
        return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import pyarrow as pa

        compression = self._compression()
        if self._copy is None:
            with pa.input_stream(str(self._path), compression=compression) as stream:
                yield stream
            return
        # Arrow closes what it was given; the copy is read again.
        with os.fdopen(os.dup(self._copy.fileno()), "rb") as again:
            again.seek(0)
            plain = pa.PythonFile(again, mode="r")
            yield pa.CompressedInputStream(plain, compression) if compression else plain

    def _first_line(self) -> list[str]:
        with self._readable(), self._open() as stream:
            start: bytes = stream.read(_PEEK_BYTES)
        require_text(start[:HEAD_BYTES], self.origin, f"rows {self._expected}")
        text = start.decode("utf-8-sig", errors="surrogateescape")
        lines = io.StringIO(text, newline=None)
        found = next(((n, line) for n, line in enumerate(lines) if line.strip()), None)
        if found is None:
            raise InputError(self.origin, f"is empty; expected rows {self._expected}")
        self._lead, line = found
        require_short(line, self.origin, self._lead + 1)
        require_utf8(line, self.origin, self._lead + 1)
        line = line.rstrip("\n")
        self._separator: str = next((mark for mark in (",", "\t") if mark in line), " ")
        if self._separator == " ":
            return line.split()
        cells: list[str] = next(csv.reader(io.StringIO(line), delimiter=self._separator))
        return cells

    def _spaced_batches(self, names: tuple[str, ...], skip_first: bool) -> Iterator[Batch]:
        """Read trials, whose columns any number of spaces may separate."""
        first = self._lead + 1
        with self._open() as stream:
            rows: list[list[str]] = []
            numbers: list[int] = []
            text = io.TextIOWrapper(stream, encoding="utf-8-sig")
            for number, line in enumerate(bounded(text, self.origin), start=1):
                cells = line.split()
                if not cells or (skip_first and number == first):
                    continue
                if len(cells) != len(names):
                    raise InputError(
                        self.origin,
                        f"{len(cells)} columns; expected {len(names)}, as in row {first}",
                        row=number,
                        hint="separate ids that hold spaces by commas or tabs",
                    )
                rows.append(cells)
                numbers.append(number)
                if len(rows) == 1 << 16:
                    yield Batch(_string_batch(rows, names), numbers)
                    rows, numbers = [], []
            if rows:
                yield Batch(_string_batch(rows, names), numbers)

    def _parquet_names(self) -> list[str]:
        import pyarrow.parquet as pq

        with reading(self.origin, "not a readable Parquet file", hint="make the file anew"):
            self.schema = pq.read_schema(self._path)
            return [str(name) for name in self.schema.names]

    def _parquet_batches(self, coded: Collection[str]) -> Iterator[Batch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        row = 1
        # What is buffered in advance stays in memory until the whole file has been read.
        with pq.ParquetFile(self._path, read_dictionary=list(coded), pre_buffer=False) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                texts = [
                    _coded(column) if name in coded else column.cast(pa.string())
                    for name, column in zip(self.first, batch.columns, strict=True)
                ]
                columns = pa.RecordBatch.from_arrays(texts, names=self.first)
                yield Batch(columns, range(row, row + len(batch)))
                row += len(batch)


def _coded(column: Any) -> Any:
    """Encode a column of any type; few distinct values then become text, not every cell."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    return column.cast(coded_text())


def _string_batch(rows: list[list[str]], names: tuple[str, ...]) -> Any:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(
        [pa.array(column, pa.string()) for column in zip(*rows, strict=True)], names=list(names)
    )


def _require_file(path: Path, expected: str) -> None:
    require_file(path, f"a file of rows {expected}")
    if not path.is_file():
        raise InputError(
            str(path),
            f"is not a plain file; expected rows {expected}",
            hint="for what another command writes: COMMAND | damcli … -",
        )


def _copy_of_stdin() -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    with room_for_temporary_files():
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
    return copy
