"""Score lists that somebody made: labels, one or more score columns, perhaps subjects."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.protocols.batches import TextTable
from damcli.protocols.columns import (
    FOLD_NAMES,
    LABEL_NAMES,
    PROBE_NAMES,
    REFERENCE_NAMES,
    check_distinct,
)
from damcli.protocols.csv_batches import Batch
from damcli.protocols.groups import listed_columns, no_such_column
from damcli.protocols.pairs import Coded, coded, labels_of

DEFAULT_SCORES = ("cosine", "score")
SUBJECT_COLUMNS = ("probe_subject", "reference_subject")
_HINT = "name the columns in the first row, for example probe_id,reference_id,label,score"


class ScoreChunk:
    """Consecutive rows of a score list."""

    def __init__(self, batch: Batch, scores: ScoreList) -> None:
        self._batch = batch
        self._list = scores

    def __len__(self) -> int:
        return len(self._batch)

    @property
    def labels(self) -> NDArray[np.int8]:
        """1 genuine, 0 impostor."""
        return labels_of(self._batch, self._list.label, self._list.origin)

    def column(self, place: int) -> Coded:
        """Return a column of names."""
        return coded(self._batch.column(place))

    def scores(self, name: str) -> NDArray[np.float64]:
        """Return a column of finite numbers."""
        import pandas as pd

        cells = self._batch.column(self._list.places[name]).to_numpy(zero_copy_only=False)
        numbers = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
        wrong = np.flatnonzero(~np.isfinite(numbers))
        if len(wrong):
            at = int(wrong[0])
            raise InputError(
                self._list.origin,
                f"{name} is '{cells[at]}'; expected a finite number",
                row=self._batch.lines[at],
                hint="leave out pairs that have no score",
            )
        return numbers


class ScoreList:
    """A table with a header, a label column and score columns, read as a stream.

    Parameters
    ----------
    path
        CSV, tab-separated or Parquet, plain or compressed; ``-`` for stdin.
    scores
        The score columns, baseline first; by default ``cosine`` and ``score`` as far as
        they are there.
    label
        The label column; by default found by its name.
    groups
        Columns that tell pairs apart: NAME, or ``probe_NAME`` and ``reference_NAME``.

    Raises
    ------
    InputError
        The file cannot be read or lacks a column.
    """

    def __init__(
        self,
        path: Path | str,
        scores: Sequence[str] = (),
        label: str | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        self._table = TextTable(str(path))
        self.origin = self._table.origin
        self._names = tuple(cell.strip() for cell in self._table.first)
        check_distinct(self._names, self.origin)
        self.places = {name: place for place, name in enumerate(self._names)}
        lowered = {name.lower(): place for place, name in enumerate(self._names)}
        self._lowered = lowered
        self.metrics = tuple(scores) or self._default_scores()
        for name in self.metrics:
            self._require(name)
        if label is None:
            label = next((n for n in self._names if n.lower() in LABEL_NAMES), None)
        if label is None:
            raise self._lacks("a label column", "name it label, or say which: --label NAME")
        self._require(label)
        self.label = self.places[label]
        self.fold = next((lowered[name] for name in FOLD_NAMES if name in lowered), None)
        self.subjects = (
            tuple(self.places[name] for name in SUBJECT_COLUMNS)
            if all(name in self.places for name in SUBJECT_COLUMNS)
            else None
        )
        self.groups = {name: self._group_places(name) for name in groups}

    def _group_places(self, name: str) -> tuple[int, int]:
        further = [other for other in self._names if not self._is_taken(other)]
        columns = listed_columns(name, further)
        if columns is None:
            raise no_such_column(name, further, (), self.origin)
        return self.places[columns[0]], self.places[columns[1]]

    def _is_taken(self, name: str) -> bool:
        """Whether a column says something else than to which group a pair belongs."""
        known = (*PROBE_NAMES, *REFERENCE_NAMES, *SUBJECT_COLUMNS)
        return (
            name in (*self.metrics, *DEFAULT_SCORES)
            or self.places[name] == self.label
            or name.lower() in known
        )

    def _default_scores(self) -> tuple[str, ...]:
        found = tuple(name for name in DEFAULT_SCORES if name in self.places)
        if not found:
            raise self._lacks("a column 'cosine' or 'score'", "say which: --score NAME")
        return found

    def _require(self, name: str) -> None:
        if name not in self.places:
            raise self._lacks(f"a column '{name}'", _HINT)

    def _lacks(self, what: str, hint: str) -> InputError:
        return InputError(
            self.origin, f"columns {', '.join(self._names)}; expected {what}", row=1, hint=hint
        )

    def id_places(self) -> tuple[int, int]:
        """Return which columns hold the ids of probes and references.

        Raises
        ------
        InputError
            There are none.
        """
        probe, reference = (
            next((self._lowered[name] for name in known if name in self._lowered), None)
            for known in (PROBE_NAMES, REFERENCE_NAMES)
        )
        if probe is None or reference is None:
            raise self._lacks("columns probe_id and reference_id", _HINT)
        return probe, reference

    def read(self, take: Callable[[ScoreChunk], None]) -> None:
        """Hand over all rows, chunk by chunk."""
        empty = True
        for batch in self._table.batches(self._names, skip_first=True):
            if len(batch):
                empty = False
                take(ScoreChunk(batch, self))
        if empty:
            raise InputError(self.origin, "holds a header but no scores; expected some below it")
