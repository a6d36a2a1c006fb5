"""Rows of CSV as a stream of Arrow batches, read in threads, with the line of each row."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any, NamedTuple

import numpy as np

from damcli.errors import InputError
from damcli.protocols.arrow_csv import batches_of


class Batch(NamedTuple):
    """Consecutive rows of a table, blank lines left out."""

    columns: Any
    """A `pyarrow.RecordBatch` of strings, dictionary-encoded or not."""
    lines: Sequence[int]
    """The line that each row stands on, counted from 1; of Parquet, its row."""

    def __len__(self) -> int:
        return len(self.lines)

    def column(self, place: int) -> Any:
        """Return a column as an Arrow array."""
        return self.columns.column(place)


class CsvRows:
    """Rows of a CSV or tab-separated list.

    Parameters
    ----------
    open_stream
        Opens the list anew, as an Arrow stream of its plain bytes.
    names
        What to call its columns.
    origin
        What to call it in messages.
    separator
        What stands between its columns.
    lead, skip_first
        The blank lines before its first row, and whether that is a header.
    coded
        The columns, by name, that may come dictionary-encoded.
    """

    def __init__(
        self,
        open_stream: Callable[[], AbstractContextManager[Any]],
        names: tuple[str, ...],
        *,
        origin: str,
        separator: str,
        lead: int,
        skip_first: bool,
        coded: Collection[str] = (),
    ) -> None:
        self._open = open_stream
        self._names = names
        self._origin = origin
        self._separator = separator
        self._lead = lead
        self._first = lead + skip_first + 1
        self._coded = coded

    def batches(self) -> Iterator[Batch]:
        """Read in threads up to a row that is odd, and from there in one, which knows its line."""
        import pyarrow as pa

        done = 0
        with suppress(pa.ArrowInvalid):
            for columns in self._arrow_batches(None, threads=True):
                lines = range(self._first + done, self._first + done + len(columns))
                done += len(columns)
                yield _without_empty_rows(columns, lines)
            return
        yield from self._numbered_batches(done)

    def _numbered_batches(self, done: int) -> Iterator[Batch]:
        """Read all rows but those that are done, with their lines."""
        import pyarrow as pa

        def refuse(row: Any) -> str:
            if not row.text.strip():
                blank.append(row.number)
                return "skip"
            wrong.append(row)
            return "error"

        wrong: list[Any] = []
        blank: list[int] = []
        row = 0
        try:
            for columns in self._arrow_batches(refuse, threads=False):
                start, row = max(row, done), row + len(columns)
                if start < row:
                    lines = _lines(start, row - start, self._first, blank)
                    yield _without_empty_rows(columns.slice(len(columns) - len(lines)), lines)
        except pa.ArrowInvalid as error:
            if wrong:
                raise _uneven(self._origin, wrong[0], len(self._names), self._lead + 1) from error
            if "Empty CSV" not in str(error):
                raise

    def _arrow_batches(
        self, refuse: Callable[[Any], str] | None, *, threads: bool
    ) -> Iterator[Any]:
        import pyarrow as pa

        kinds = {
            name: coded_text() if threads and name in self._coded else pa.string()
            for name in self._names
        }
        with self._open() as stream:
            yield from batches_of(
                stream,
                kinds,
                delimiter=self._separator,
                refuse=refuse,
                skip_rows=self._first - 1,
                threads=threads,
            )


def coded_text() -> Any:
    """Return the type of coded columns: each distinct text once, and its number in each row."""
    import pyarrow as pa

    return pa.dictionary(pa.int32(), pa.string())


def _lines(row: int, count: int, start: int, blank: Sequence[int]) -> Sequence[int]:
    """Give the rows from ``row`` on their lines; row 0 would be line ``start`` without blanks."""
    if not blank:
        return range(start + row, start + row + count)
    # The n-th blank line has blank[n] - start - n rows before it.
    rows_before = np.array(blank) - start - np.arange(len(blank))
    rows = np.arange(row, row + count)
    return list(map(int, start + rows + np.searchsorted(rows_before, rows, "right")))


def _without_empty_rows(columns: Any, lines: Sequence[int]) -> Batch:
    """Leave out what Arrow makes of an empty line: a row of empty cells."""
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = pc.not_equal(columns.column(0), "")
    for column in columns.columns[1:]:
        filled = pc.or_(filled, pc.not_equal(column, ""))
    if pc.all(filled).as_py():
        return Batch(columns, lines)
    # As plain text, for the empty cells would remain among the distinct texts of a coded column.
    plain = columns.cast(pa.schema([(name, pa.string()) for name in columns.schema.names]))
    return Batch(plain.filter(filled), [lines[at] for at in np.flatnonzero(filled).tolist()])


def _uneven(origin: str, row: Any, width: int, first: int) -> InputError:
    return InputError(
        origin,
        f"{row.actual_columns} columns ('{row.text[:60]}'); expected {width}, as in row {first}",
        row=row.number,
        hint="quote ids that hold commas",
    )
