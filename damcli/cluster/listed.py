"""The scores of a pair list, kept by the workers that computed them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from damcli.cluster.matches import ClusterMatches, Held
from damcli.cluster.packing import Packed, Packer, unpack
from damcli.cluster.tasks import Tasks
from damcli.errors import InputError
from damcli.scoring.groups import Codes, PairGroups
from damcli.scoring.matches import UNKNOWN, MatchChunk, Matches
from damcli.scoring.resolve import RowPairs
from damcli.scoring.score import ListedScores
from damcli.scoring.scorer import Scorer
from damcli.scoring.table import ScoredChunk
from damcli.scoring.used import used_subject_codes
from damcli.storage.embeddings import Names

T = TypeVar("T")
Ints = NDArray[np.int32]


class Partition(NamedTuple):
    """Consecutive pairs, and what evaluation must know of them besides scores."""

    pairs: RowPairs
    groups: Codes
    """(columns, 2, n)."""


class Scored(NamedTuple):
    """A partition with its scores; a tuple of arrays, so that Dask knows its size."""

    partition: Partition
    scores: NDArray[np.float64]
    """(metrics, n)."""


@dataclass(frozen=True)
class _Scoring:
    """What all partitions share.

    Attributes
    ----------
    scorer
        What scores them.
    groups
        The columns of groups, to be written.
    fold_names, fold_numbers
        The folds by the number that the list gives them, and what evaluation calls them.
    left_out
        Columns of the list that are not written.
    subjects
        The numbers of the subjects of each probe and each reference; None where they are not
        known.
    """

    scorer: Scorer
    groups: PairGroups
    fold_names: Names
    fold_numbers: Ints
    left_out: tuple[str, ...]
    subjects: tuple[Ints, Ints] | None

    def chunk(self, scored: Scored) -> ScoredChunk:
        """Lay a partition out as it is written."""
        pairs = scored.partition.pairs
        cells = {name: pairs.groups[name] for name in pairs.groups if name not in self.left_out}
        return ScoredChunk(
            pairs.probe_rows,
            pairs.reference_rows,
            pairs.labels,
            None if pairs.folds is None else self.fold_names[pairs.folds],
            cells | self.groups.cells(pairs.probe_rows, pairs.reference_rows),
            list(scored.scores),
            self.scorer.columns,
        )

    def matches(self, scored: Scored, label: int) -> MatchChunk:
        """Take the pairs of one label, as they are evaluated."""
        pairs, groups = scored.partition
        assert pairs.labels is not None
        mine = np.flatnonzero(pairs.labels == label)
        unknown = np.full(len(mine), UNKNOWN, dtype=np.int32)
        probe, reference = unknown, unknown
        if self.subjects is not None:
            probe = self.subjects[0][pairs.probe_rows[mine]]
            reference = self.subjects[1][pairs.reference_rows[mine]]
        folds = unknown if pairs.folds is None else self.fold_numbers[pairs.folds[mine]]
        return MatchChunk(scored.scores[:, mine], probe, reference, folds, groups[..., mine])


class ClusterScores(ListedScores):
    """Scores of a pair list; each partition is scored by a worker, which keeps the scores.

    Parameters
    ----------
    scores
        The same scores, as this process would compute them.
    tasks, packer
        The cluster.
    """

    def __init__(self, scores: ListedScores, tasks: Tasks, packer: Packer) -> None:
        super().__init__(scores.pairs, scores.scorer, scores.chunk_pairs, scores.groups)
        self._tasks = tasks
        self._packer = packer
        self._scored: list[Any] = []
        self._counts: list[tuple[int, int]] = []
        probes, references = self.scorer.probes, self.scorer.references
        known = probes.subjects is not None and references.subjects is not None
        self._subjects = used_subject_codes(self.pairs, probes, references) if known else None
        self._packed = self._pack()

    def _pack(self) -> Packed:
        names = self.pairs.fold_names
        numbers = {name: number for number, name in enumerate(sorted(names))}
        subjects = None
        if self._subjects is not None:
            subjects = (self._subjects[0].astype(np.int32), self._subjects[1].astype(np.int32))
        return self._packer.pack(
            _Scoring(
                self.scorer,
                self.groups,
                names,
                np.array([numbers[name] for name in names], dtype=np.int32),
                self.replaced,
                subjects,
            )
        )

    def scored_by(self, scorer: Scorer) -> ClusterScores:
        """Score the same pairs by something else."""
        return ClusterScores(super().scored_by(scorer), self._tasks, self._packer)

    def _partitions(self) -> Iterator[Partition]:
        for pairs in self.pairs.chunks(self.chunk_pairs):
            codes = self.groups.codes(pairs.probe_rows, pairs.reference_rows, pairs.groups)
            slim = pairs._replace(
                probe_rows=pairs.probe_rows.astype(np.int32),
                reference_rows=pairs.reference_rows.astype(np.int32),
            )
            yield Partition(slim, codes)

    def _submitted(self) -> Iterator[Any]:
        """Yield the scored partitions, as they are or as they are sent to be scored."""
        if self._scored:
            yield from self._scored
            return
        scored, counts = [], []
        for partition in self._partitions():
            labels = partition.pairs.labels
            genuine = 0 if labels is None else int((labels == 1).sum())
            counts.append((len(partition.pairs.probe_rows) - genuine, genuine))
            scored.append(self._tasks.submit("score", _score, *self._packed, partition))
            yield scored[-1]
        self._scored, self._counts = scored, counts

    def parts(self, form: Callable[[ScoredChunk], T]) -> Iterator[T]:
        """Yield what ``form`` makes of each chunk, in the order of the list."""
        packed = self._packer.pack(form)
        return self._tasks.in_order(
            self._tasks.submit("write", _formed, *self._packed, *packed, scored)
            for scored in self._submitted()
        )

    def chunks(self) -> Iterator[ScoredChunk]:
        """Yield the pairs with their scores, in the order of the list."""
        return self.parts(_as_it_is)

    def matches(
        self,
        form: Callable[[ScoredChunk], T] | None = None,
        on_part: Callable[[T], None] | None = None,
    ) -> Matches:
        """Score all pairs for evaluation; what ``form`` makes of chunks goes to ``on_part``.

        Raises
        ------
        InputError
            The pairs carry no labels.
        """
        if not self.labelled:
            raise InputError(self.origin, "carries no labels, so it cannot be evaluated")
        if form is None or on_part is None:
            form, on_part = _nothing_of, _drop
        for part in self.parts(form):
            on_part(part)
        return ClusterMatches(
            Held(self._scored, self._counts, self._packed, self._tasks, self._packer),
            origin=self.origin,
            metrics=self.metrics,
            subject_count=self._subjects[2] if self._subjects else 0,
            has_folds=self.pairs.has_folds,
            groupings=tuple(numbers.grouping for numbers in self.groups.numbers),
        )


def _score(content: bytes, data: list[Any], partition: Partition) -> Scored:
    """Score a partition; runs on a worker."""
    scoring: _Scoring = unpack(content, data)
    pairs = partition.pairs
    scores = scoring.scorer.pairs(pairs.probe_rows, pairs.reference_rows)
    return Scored(partition, np.array(scores))


def _formed(
    content: bytes,
    data: list[Any],
    form_content: bytes,
    form_data: list[Any],
    scored: Scored,
) -> Any:
    scoring: _Scoring = unpack(content, data)
    return unpack(form_content, form_data)(scoring.chunk(scored))


def _as_it_is(chunk: ScoredChunk) -> ScoredChunk:
    return chunk


def _nothing_of(chunk: ScoredChunk) -> Any:
    return None


def _drop(nothing: Any) -> None:
    pass
