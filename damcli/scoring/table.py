"""Scored pairs as a table: CSV or Parquet, by suffix, at full precision."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import OutputError
from damcli.storage.ahead import Behind
from damcli.storage.atomic import atomic_output
from damcli.storage.embeddings import Embeddings, Rows

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_PARQUET = (".parquet", ".pq")
Columns = Mapping[str, Any]


class ScoredChunk(NamedTuple):
    """Consecutive pairs with their scores, one (n,) float64 array for each metric."""

    probe_rows: Rows
    reference_rows: Rows
    labels: NDArray[np.int8] | None
    folds: NDArray[np.object_] | None
    groups: Mapping[str, NDArray[np.object_]]
    scores: list[NDArray[np.float64]]
    score_columns: tuple[str, ...]


class Accept(NamedTuple):
    """Accept the pairs whose score in one column, counted from 0, is >= the threshold."""

    column: int
    threshold: float

    def of(self, chunk: ScoredChunk) -> NDArray[np.int8]:
        """Decide on a chunk's pairs: (n,), 1 accepted, 0 refused."""
        return (chunk.scores[self.column] >= self.threshold).astype(np.int8)


# What a scores file says itself, and a pair list that once was one must not say instead.
_OWN_COLUMNS = (
    *("probe_id", "reference_id", "label", "fold"),
    *("cosine", "score", "llr", "probability", "accept"),
)
_SUBJECT_COLUMNS = ("probe_subject", "reference_subject")


def replaced_columns(
    names: Sequence[str],
    probes: Embeddings,
    references: Embeddings,
    score_columns: Sequence[str] = (),
) -> tuple[str, ...]:
    """Return which of a pair list's further columns the scores file has of its own."""
    own = {*_OWN_COLUMNS, *score_columns}
    if probes.subjects is not None and references.subjects is not None:
        own |= set(_SUBJECT_COLUMNS)
    return tuple(name for name in names if name in own)


def columns_of(
    chunk: ScoredChunk, probes: Embeddings, references: Embeddings, accept: Accept | None = None
) -> dict[str, Any]:
    """Lay a chunk out as the columns of the scores file: Arrow texts and numpy numbers."""
    mine, theirs = chunk.probe_rows, chunk.reference_rows
    columns: dict[str, Any] = {
        "probe_id": probes.id_texts.take(mine),
        "reference_id": references.id_texts.take(theirs),
    }
    if probes.subjects is not None and references.subjects is not None:
        columns["probe_subject"] = probes.subject_texts.take(mine)
        columns["reference_subject"] = references.subject_texts.take(theirs)
    if chunk.labels is not None:
        columns["label"] = chunk.labels
    if chunk.folds is not None:
        columns["fold"] = chunk.folds
    columns.update(chunk.groups)
    columns.update(zip(chunk.score_columns, chunk.scores, strict=True))
    if accept is not None:
        columns["accept"] = accept.of(chunk)
    return columns


@contextmanager
def table_file(
    target: Path | BinaryIO, *, force: bool = False, about: Mapping[str, str] | None = None
) -> Iterator[Callable[[Columns], None]]:
    """Open a table and give the function that appends columns to it; see `score_file`."""
    with score_file(target, force=force, about=about) as append:
        yield lambda columns: append(as_table(columns))


@contextmanager
def score_file(
    target: Path | BinaryIO, *, force: bool = False, about: Mapping[str, str] | None = None
) -> Iterator[Callable[[Any], None]]:
    """Open a table and give the function that appends a `pyarrow.Table`, or `CsvRows`, to it.

    Parameters
    ----------
    target
        ``.csv`` (also ``.csv.gz``, ``.zst``, ``.bz2``) or ``.parquet``, which appears whole
        or not at all; or a binary stream for CSV.
    force
        Replace an existing file.
    about
        What to record with the table; only Parquet has room for it.

    Raises
    ------
    OutputError
        The suffix is not known, or the file cannot be written.
    """
    if isinstance(target, Path):
        check_suffix(target)
    opened: AbstractContextManager[Any] = (
        atomic_output(target, force=force) if isinstance(target, Path) else nullcontext(target)
    )
    with opened as sink:
        writer, behind = _Writer(sink, about or {}), Behind()
        try:
            yield partial(behind.do, writer.append)
            behind.finish()
        finally:
            behind.stop()
            writer.close()


class CsvRows(NamedTuple):
    """Rows of a table as CSV, without its header."""

    schema: Any
    rows: bytes


def as_table(columns: Columns) -> Any:
    """Return columns as a `pyarrow.Table`."""
    import pyarrow as pa

    return pa.table(
        {
            name: column if isinstance(column, pa.Array) else pa.array(column)
            for name, column in columns.items()
        }
    )


def as_csv(table: Any) -> CsvRows:
    """Turn a table into the rows that a CSV file of it has."""
    import pyarrow as pa
    import pyarrow.csv as arrow_csv

    rows = pa.BufferOutputStream()
    arrow_csv.write_csv(table, rows, _csv_options())
    return CsvRows(table.schema, rows.getvalue().to_pybytes())


def _csv_options() -> Any:
    import pyarrow.csv as arrow_csv

    return arrow_csv.WriteOptions(include_header=False, quoting_style="needed")


def is_parquet(target: Path) -> bool:
    """Tell by the suffix whether a table is written as Parquet."""
    return target.suffix.lower() in _PARQUET


def check_suffix(target: Path) -> None:
    """Refuse a name from which the kind of table does not follow."""
    suffixes = [suffix.lower() for suffix in target.suffixes[-2:]]
    known = (*_PARQUET, ".csv", ".tsv", ".txt")
    if suffixes and suffixes[-1] in _COMPRESSIONS:
        suffixes.pop()
    if not suffixes or suffixes[-1] not in known:
        raise OutputError(
            f"{target}: unknown kind of table; expected .csv, .csv.gz, .csv.zst or .parquet",
            hint="name the output with one of these endings",
        )


class _Writer:
    def __init__(self, sink: Any, about: Mapping[str, str]) -> None:
        self._sink = sink
        self._about = about
        self._writer: Any = None
        self._stream: Any = None

    def append(self, table: Any) -> None:
        """Add a `pyarrow.Table`, or rows that `as_csv` made of one."""
        if self._writer is None:
            self._open(table.schema)
        if isinstance(table, CsvRows):
            self._stream.write(table.rows)
        else:
            self._writer.write_table(table)

    def _open(self, schema: Any) -> None:
        import pyarrow as pa
        import pyarrow.csv as arrow_csv
        import pyarrow.parquet as pq

        if isinstance(self._sink, Path) and is_parquet(self._sink):
            # Scores hardly repeat: to look for what they share only takes time.
            scores = {field.name for field in schema if pa.types.is_floating(field.type)}
            self._writer = pq.ParquetWriter(
                self._sink,
                schema.with_metadata(dict(self._about)),
                use_dictionary=[name for name in schema.names if name not in scores],
                compression={n: "none" if n in scores else "snappy" for n in schema.names},
            )
            return
        if isinstance(self._sink, Path):
            compression = _COMPRESSIONS.get(self._sink.suffix.lower())
            self._stream = pa.output_stream(str(self._sink), compression=compression)
        else:
            self._stream = pa.PythonFile(self._sink, mode="w")
        self._stream.write(_header(schema.names))
        self._writer = arrow_csv.CSVWriter(self._stream, schema, write_options=_csv_options())

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._stream is not None and isinstance(self._sink, Path):
            self._stream.close()


def _header(names: list[str]) -> bytes:
    """Write the header by hand: Arrow would quote every name."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()
