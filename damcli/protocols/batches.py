"""Text tables and Parquet as a stream of Arrow batches of strings."""

from __future__ import annotations

import csv
import io
import shutil
import sys
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from damcli.errors import InputError

STDIN = "-"
_PARQUET = (".parquet", ".pq")
_PEEK_BYTES = 1 << 20
_BLOCK_BYTES = 16 << 20
_DAMAGED = "if it is compressed, was it cut short? make the file anew"


class TextTable:
    """A CSV, tab- or space-separated list, plain or compressed, or a Parquet table.

    Parameters
    ----------
    path
        The file, or ``-`` for stdin, which is copied to a temporary file first, so that
        it can be read twice.

    Attributes
    ----------
    first
        The cells of the first row; the column names of a Parquet file.
    """

    def __init__(self, path: str) -> None:
        self.origin = "stdin" if path == STDIN else path
        self._copy = _copy_of_stdin() if path == STDIN else None
        self._path = Path(path)
        self.is_parquet = self._path.suffix.lower() in _PARQUET
        if self._copy is not None:
            weakref.finalize(self, self._copy.close)
        else:
            _require_file(self._path)
        self.first = self._parquet_names() if self.is_parquet else self._first_line()

    def batches(self, names: tuple[str, ...], *, skip_first: bool) -> Iterator[Any]:
        """Yield `pyarrow.RecordBatch` es with the columns as strings, named as given."""
        import pyarrow as pa

        try:
            if self.is_parquet:
                yield from self._parquet_batches()
            elif self._separator == " ":
                yield from self._spaced_batches(names, skip_first)
            else:
                yield from self._csv_batches(names, skip_first)
        except (pa.ArrowException, OSError, UnicodeDecodeError, EOFError) as error:
            raise InputError(self.origin, f"cannot be read ({error})", hint=_DAMAGED) from error

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import pyarrow as pa

        if self._copy is not None:
            self._copy.seek(0)
            yield pa.PythonFile(self._copy, mode="r")
            return
        with pa.input_stream(str(self._path), compression="detect") as stream:
            yield stream

    def _first_line(self) -> list[str]:
        import pyarrow as pa

        try:
            with self._open() as stream:
                text: str = stream.read(_PEEK_BYTES).decode("utf-8-sig", errors="replace")
        except (pa.ArrowException, OSError) as error:
            raise InputError(self.origin, f"cannot be read ({error})", hint=_DAMAGED) from error
        line = next((line for line in text.splitlines() if line.strip()), None)
        if line is None:
            raise InputError(self.origin, "is empty; expected rows probe_id,reference_id[,label]")
        self._separator: str = next((mark for mark in (",", "\t") if mark in line), " ")
        if self._separator == " ":
            return line.split()
        cells: list[str] = next(csv.reader(io.StringIO(line), delimiter=self._separator))
        return cells

    def _csv_batches(self, names: tuple[str, ...], skip_first: bool) -> Iterator[Any]:
        import pyarrow as pa
        from pyarrow import csv as arrow_csv

        def refuse(row: Any) -> str:
            wrong.append(row)
            return "error"

        wrong: list[Any] = []
        try:
            with self._open() as stream:
                yield from arrow_csv.open_csv(
                    stream,
                    arrow_csv.ReadOptions(
                        column_names=names,
                        skip_rows=int(skip_first),
                        block_size=_BLOCK_BYTES,
                        use_threads=False,  # only then does Arrow know the number of a bad row
                    ),
                    arrow_csv.ParseOptions(delimiter=self._separator, invalid_row_handler=refuse),
                    arrow_csv.ConvertOptions(
                        column_types={name: pa.string() for name in names},
                        strings_can_be_null=False,
                    ),
                )
        except pa.ArrowInvalid as error:
            if wrong:
                raise _uneven(self.origin, wrong[0], len(names)) from error
            if "Empty CSV" not in str(error):
                raise

    def _spaced_batches(self, names: tuple[str, ...], skip_first: bool) -> Iterator[Any]:
        """Read trials, whose columns any number of spaces may separate."""
        with self._open() as stream:
            rows: list[list[str]] = []
            for number, line in enumerate(io.TextIOWrapper(stream, encoding="utf-8"), start=1):
                cells = line.split()
                if not cells or (skip_first and number == 1):
                    continue
                if len(cells) != len(names):
                    raise InputError(
                        self.origin,
                        f"{len(cells)} columns; expected {len(names)}, as in row 1",
                        row=number,
                        hint="separate ids that hold spaces by commas or tabs",
                    )
                rows.append(cells)
                if len(rows) == 1 << 16:
                    yield _string_batch(rows, names)
                    rows = []
            if rows:
                yield _string_batch(rows, names)

    def _parquet_names(self) -> list[str]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            return [str(name) for name in pq.read_schema(self._path).names]
        except (pa.ArrowException, OSError) as error:
            raise InputError(self.origin, f"not a readable Parquet file ({error})") from error

    def _parquet_batches(self) -> Iterator[Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        schema = pa.schema([(name, pa.string()) for name in self.first])
        with pq.ParquetFile(self._path) as file:
            for batch in file.iter_batches(batch_size=1 << 18):
                yield batch.cast(schema)


def _string_batch(rows: list[list[str]], names: tuple[str, ...]) -> Any:
    import pyarrow as pa

    return pa.RecordBatch.from_arrays(
        [pa.array(column, pa.string()) for column in zip(*rows, strict=True)], names=list(names)
    )


def _uneven(origin: str, row: Any, width: int) -> InputError:
    return InputError(
        origin,
        f"{row.actual_columns} columns ('{row.text[:60]}'); expected {width}, as in row 1",
        row=row.number,
        hint="quote ids that hold commas",
    )


def _require_file(path: Path) -> None:
    if not path.exists():
        raise InputError(str(path), "no such file", hint="check the name")
    if path.is_dir():
        raise InputError(str(path), "is a folder; expected a list of pairs")


def _copy_of_stdin() -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(sys.stdin.buffer, copy)
    return copy
