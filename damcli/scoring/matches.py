"""Scored pairs with known labels, as a stream that evaluation reads more than once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.scoring.groups import NO_GROUP, Grouping, GroupNumbers
from damcli.storage.spool import Spool
from damcli.threads import in_order

T = TypeVar("T")
CHUNK_MATCHES = 1 << 20
UNKNOWN = -1


class MatchChunk(NamedTuple):
    """Consecutive scored pairs that are all genuine or all impostor."""

    scores: NDArray[np.float64]
    """(metrics, n), higher = more similar."""
    probe_subjects: NDArray[np.int32]
    """(n,) subject numbers, `UNKNOWN` where they are not known."""
    reference_subjects: NDArray[np.int32]
    folds: NDArray[np.int32]
    """(n,) fold numbers, `UNKNOWN` where there are none."""
    groups: NDArray[np.int16]
    """(columns, 2, n) group numbers of probe and reference, `NO_GROUP` where not known."""


Take = Callable[[MatchChunk, int], T]


def require_both_classes(genuine: int, impostors: int, origin: str) -> None:
    """Refuse pairs that are all genuine or all impostor.

    Raises
    ------
    InputError
        One of the counts is 0.
    """
    if not (genuine and impostors):
        raise InputError(
            origin,
            f"labels of one class only: {genuine:,} genuine and {impostors:,} impostor pairs; "
            "expected both",
            hint="rates need genuine (label 1) and impostor (label 0) pairs; a list that is only "
            "to be scored needs no column of labels",
        )


class Matches(Protocol):
    """Labelled scores by one or more metrics, the first of which is the baseline."""

    @property
    def origin(self) -> str:
        """Where the pairs come from, for messages."""
        ...

    @property
    def metrics(self) -> Sequence[str]: ...  # noqa: D102
    @property
    def genuine_count(self) -> int: ...  # noqa: D102
    @property
    def impostor_count(self) -> int: ...  # noqa: D102
    @property
    def subject_count(self) -> int:
        """How many subjects there are; 0 where they are not known."""
        ...

    @property
    def has_folds(self) -> bool: ...  # noqa: D102
    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """The columns that tell pairs apart."""
        ...

    def genuine(self) -> Iterator[MatchChunk]: ...  # noqa: D102
    def impostors(self) -> Iterator[MatchChunk]: ...  # noqa: D102
    def over_genuine(self, take: Take[T]) -> Iterator[T]:
        """Yield what ``take`` makes of each chunk of genuine pairs, in order.

        It is given how many genuine pairs come before the chunk, and runs where the chunk
        lies: in a thread, or on another machine. So it changes nothing, can be pickled, and
        returns little.
        """
        ...

    def over_impostors(self, take: Take[T]) -> Iterator[T]:
        """Do so for the impostor pairs."""
        ...


class LocalPasses:
    """The passes of matches that lie in this process."""

    def over_genuine(self: Matches, take: Take[T]) -> Iterator[T]:
        """Yield what ``take`` makes of each chunk of genuine pairs, in order."""
        return _passed(self.genuine(), take)

    def over_impostors(self: Matches, take: Take[T]) -> Iterator[T]:
        """Yield what ``take`` makes of each chunk of impostor pairs, in order."""
        return _passed(self.impostors(), take)


def _passed(chunks: Iterator[MatchChunk], take: Take[T]) -> Iterator[T]:
    def placed() -> Iterator[tuple[MatchChunk, int]]:
        start = 0
        for chunk in chunks:
            yield chunk, start
            start += chunk.scores.shape[1]

    return in_order(lambda one: take(*one), placed())


class MatchSpool(LocalPasses):
    """Matches that were handed over chunk by chunk, kept column by column.

    Parameters
    ----------
    metrics
        The names of the scores, baseline first.
    subject_count
        How many subjects the numbers go up to; 0 where subjects are not known.
    has_folds
        Whether the pairs come in folds.
    origin
        Where the pairs come from, for messages.
    groups
        The numbers of the groups, for each column that tells pairs apart.
    """

    def __init__(
        self,
        metrics: Sequence[str],
        *,
        subject_count: int = 0,
        has_folds: bool = False,
        origin: str = "pairs",
        groups: Sequence[GroupNumbers] = (),
    ) -> None:
        self.metrics = tuple(metrics)
        self.origin = origin
        self.subject_count = subject_count
        self.has_folds = has_folds
        self._groups = tuple(groups)
        self._sides = tuple(
            _Side(len(self.metrics), bool(subject_count), has_folds, len(self._groups))
            for _ in range(2)
        )

    def __len__(self) -> int:
        return self.genuine_count + self.impostor_count

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """The columns that tell pairs apart."""
        return tuple(numbers.grouping for numbers in self._groups)

    @property
    def genuine_count(self) -> int:
        """How many genuine pairs there are."""
        return len(self._sides[1])

    @property
    def impostor_count(self) -> int:
        """How many impostor pairs there are."""
        return len(self._sides[0])

    def append(
        self,
        labels: NDArray[np.int8],
        scores: Sequence[NDArray[np.float64]],
        probe_subjects: NDArray[np.integer] | None = None,
        reference_subjects: NDArray[np.integer] | None = None,
        folds: NDArray[np.integer] | None = None,
        groups: NDArray[np.int16] | None = None,
    ) -> None:
        """Add n pairs: labels 1 or 0, one array of scores a metric, and what else is known."""
        subjects = (
            ()
            if probe_subjects is None or reference_subjects is None
            else (probe_subjects, reference_subjects)
        )
        for label, side in enumerate(self._sides):
            chosen = np.flatnonzero(labels == label)
            side.append(
                len(chosen),
                [column[chosen] for column in scores],
                [column[chosen] for column in subjects],
                None if folds is None else folds[chosen],
                None if groups is None else groups[..., chosen],
            )

    def genuine(self) -> Iterator[MatchChunk]:
        """Yield the genuine pairs in the order they came."""
        return self._sides[1].chunks()

    def impostors(self) -> Iterator[MatchChunk]:
        """Yield the impostor pairs in the order they came."""
        return self._sides[0].chunks()


class _Side:
    """The pairs of one label: what is known of them, a spool for each column."""

    def __init__(self, metrics: int, has_subjects: bool, has_folds: bool, groups: int) -> None:
        self._count = 0
        self._scores = [Spool(np.float64) for _ in range(metrics)]
        self._subjects = [Spool(np.int32) for _ in range(2 * has_subjects)]
        self._folds = [Spool(np.int32) for _ in range(has_folds)]
        self._groups = [Spool(np.int16) for _ in range(2 * groups)]

    def __len__(self) -> int:
        return self._count

    def append(
        self,
        count: int,
        scores: Sequence[NDArray[np.float64]],
        subjects: Sequence[NDArray[np.integer]],
        folds: NDArray[np.integer] | None,
        groups: NDArray[np.int16] | None,
    ) -> None:
        self._count += count
        unknown = np.full(count, UNKNOWN, dtype=np.int32)
        for spool, column in zip(self._scores, scores, strict=True):
            spool.append(column)
        for spool, numbers in zip(self._subjects, subjects or [unknown] * 2, strict=False):
            spool.append(numbers)
        for spool in self._folds:
            spool.append(unknown if folds is None else folds)
        nowhere = np.full((len(self._groups), count), NO_GROUP, dtype=np.int16)
        flat = nowhere if groups is None else groups.reshape(len(self._groups), count)
        for spool, numbers in zip(self._groups, flat, strict=True):
            spool.append(numbers)

    def chunks(self) -> Iterator[MatchChunk]:
        for start in range(0, self._count, CHUNK_MATCHES):
            count = min(CHUNK_MATCHES, self._count - start)
            unknown = np.full(count, UNKNOWN, dtype=np.int32)
            subjects = [spool.read(start, count) for spool in self._subjects] or [unknown] * 2
            groups = np.empty((len(self._groups), count), dtype=np.int16)
            for place, spool in enumerate(self._groups):
                groups[place] = spool.read(start, count)
            yield MatchChunk(
                np.stack([spool.read(start, count) for spool in self._scores]),
                subjects[0],
                subjects[1],
                self._folds[0].read(start, count) if self._folds else unknown,
                groups.reshape(-1, 2, count),
            )
