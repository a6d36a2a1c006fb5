"""Arrow's batches of a text table, without what Arrow says on stderr of rows it cannot decode."""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

_BLOCK_BYTES = 16 << 20
# Arrow was seen to need less than a millisecond.
_MOST_SECONDS = 10


def batches_of(
    source: Any,
    kinds: Mapping[str, Any],
    *,
    delimiter: str,
    refuse: Callable[[Any], str] | None = None,
    skip_rows: int = 0,
    threads: bool = False,
) -> Iterator[Any]:
    """Yield the rows of a table as Arrow's batches, about 16 MB of text each.

    Parameters
    ----------
    source
        A path, or a file of Arrow.
    kinds
        The Arrow type of each column, by name.
    delimiter
        Between cells.
    refuse
        Called with each row of another width, blank ones included; returns ``skip`` or
        ``error``. It never sees rows that are not UTF-8, which end in an `ArrowInvalid` too.
        None refuses them all, without a thread of Arrow calling Python.
    skip_rows
        Lines to leave out at the start.
    threads
        Read several batches at a time; Arrow then does not know the number of a bad row.

    Raises
    ------
    pyarrow.ArrowInvalid
        A row is refused, or a cell is not of its type.
    """
    from pyarrow import csv

    reader, let_go = None, threading.Event()
    watched = None if refuse is None else partial(refuse)
    if watched is not None:
        weakref.finalize(watched, let_go.set)
    try:
        with _undecodable_rows_unmentioned():
            reader = csv.open_csv(
                source,
                csv.ReadOptions(
                    column_names=list(kinds),
                    skip_rows=skip_rows,
                    block_size=_BLOCK_BYTES,
                    use_threads=threads,
                ),
                csv.ParseOptions(
                    delimiter=delimiter,
                    ignore_empty_lines=False,  # a line that is not counted shifts all below
                    invalid_row_handler=watched,
                ),
                csv.ConvertOptions(
                    column_types=dict(kinds), strings_can_be_null=False, null_values=[]
                ),
            )
        while True:
            with _undecodable_rows_unmentioned():
                batch = next(reader, None)
            if batch is None:
                return
            yield batch
    finally:
        # A thread of Arrow that still holds the function while Python ends would abort it. What
        # is being raised keeps these two, as long as they stand here.
        del reader, watched
        if refuse is not None:
            let_go.wait(_MOST_SECONDS)


@contextmanager
def _undecodable_rows_unmentioned() -> Iterator[None]:
    """Keep Python from reporting an exception that it ignores, before Arrow raises one."""
    usual = sys.unraisablehook

    def hook(ignored: Any) -> None:
        if not isinstance(ignored.exc_value, UnicodeDecodeError):
            usual(ignored)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
