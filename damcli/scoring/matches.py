"""Scored pairs with known labels, as a stream that evaluation reads more than once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.scoring.groups import NO_GROUP, Grouping, GroupNumbers
from damcli.storage.spool import Spool

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


class MatchSpool:
    """Matches that were handed over chunk by chunk.

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
        record = [
            ("scores", np.float64, (len(self.metrics),)),
            ("probe", np.int32),
            ("reference", np.int32),
            ("fold", np.int32),
            ("groups", np.int16, (len(self._groups), 2)),
        ]
        self._by_label = (Spool(record), Spool(record))

    def __len__(self) -> int:
        return self.genuine_count + self.impostor_count

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """The columns that tell pairs apart."""
        return tuple(numbers.grouping for numbers in self._groups)

    @property
    def genuine_count(self) -> int:
        """How many genuine pairs there are."""
        return len(self._by_label[1])

    @property
    def impostor_count(self) -> int:
        """How many impostor pairs there are."""
        return len(self._by_label[0])

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
        records = np.empty(len(labels), dtype=self._by_label[0].dtype)
        for metric, column in enumerate(scores):
            records["scores"][:, metric] = column
        records["probe"] = UNKNOWN if probe_subjects is None else probe_subjects
        records["reference"] = UNKNOWN if reference_subjects is None else reference_subjects
        records["fold"] = UNKNOWN if folds is None else folds
        records["groups"] = NO_GROUP if groups is None else np.moveaxis(groups, 2, 0)
        for label, spool in enumerate(self._by_label):
            spool.append(records[labels == label])

    def genuine(self) -> Iterator[MatchChunk]:
        """Yield the genuine pairs in the order they came."""
        return self._chunks(1)

    def impostors(self) -> Iterator[MatchChunk]:
        """Yield the impostor pairs in the order they came."""
        return self._chunks(0)

    def _chunks(self, label: int) -> Iterator[MatchChunk]:
        for records in self._by_label[label].chunks(CHUNK_MATCHES):
            yield MatchChunk(
                np.ascontiguousarray(records["scores"].T),
                records["probe"],
                records["reference"],
                records["fold"],
                np.moveaxis(records["groups"], 0, 2),
            )
