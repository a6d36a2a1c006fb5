"""Labelled scores that lie with workers, evaluated where they lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeVar

from damcli.cluster.packing import Packed, Packer, unpack
from damcli.cluster.tasks import Tasks
from damcli.scoring.groups import Grouping
from damcli.scoring.matches import MatchChunk

T = TypeVar("T")


@dataclass(frozen=True)
class Held:
    """Scored pairs on the workers.

    Attributes
    ----------
    parts
        Futures, in the order of the pairs.
    counts
        How many impostor and genuine pairs each part has.
    reader
        Packed: what makes a `MatchChunk` of a part and a label.
    tasks, packer
        The cluster.
    """

    parts: Sequence[Any]
    counts: Sequence[tuple[int, int]]
    reader: Packed
    tasks: Tasks
    packer: Packer


class ClusterMatches:
    """Matches (a `damcli.scoring.matches.Matches`) whose passes run on the workers.

    Parameters
    ----------
    held
        The scores.
    origin, metrics, subject_count, has_folds, groupings
        As of any matches.
    """

    def __init__(
        self,
        held: Held,
        *,
        origin: str,
        metrics: Sequence[str],
        subject_count: int,
        has_folds: bool,
        groupings: tuple[Grouping, ...],
    ) -> None:
        self._held = held
        self.origin = origin
        self.metrics = metrics
        self.subject_count = subject_count
        self.has_folds = has_folds
        self.groupings = groupings

    def __len__(self) -> int:
        return self.genuine_count + self.impostor_count

    @property
    def genuine_count(self) -> int:
        """How many genuine pairs there are."""
        return sum(counts[1] for counts in self._held.counts)

    @property
    def impostor_count(self) -> int:
        """How many impostor pairs there are."""
        return sum(counts[0] for counts in self._held.counts)

    def genuine(self) -> Iterator[MatchChunk]:
        """Yield the genuine pairs in the order of the list."""
        return self._over(1, _chunk_itself, "fetch")

    def impostors(self) -> Iterator[MatchChunk]:
        """Yield the impostor pairs in the order of the list."""
        return self._over(0, _chunk_itself, "fetch")

    def over_genuine(self, take: Callable[[MatchChunk, int], T]) -> Iterator[T]:
        """Yield what ``take`` makes of each chunk of genuine pairs, in their order.

        Parameters
        ----------
        take
            Given a chunk and how many genuine pairs come before it; it runs on the workers.
        """
        return self._over(1, take, "count")

    def over_impostors(self, take: Callable[[MatchChunk, int], T]) -> Iterator[T]:
        """Yield what ``take`` makes of each chunk of impostor pairs, in their order."""
        return self._over(0, take, "count")

    def _over(self, label: int, take: Callable[[MatchChunk, int], T], stage: str) -> Iterator[T]:
        held = self._held
        packed = held.packer.pack(take)
        counts = [mine[label] for mine in held.counts]
        starts = accumulate(counts, initial=0)
        return held.tasks.in_order(
            held.tasks.submit(stage, _taken, *held.reader, *packed, part, label, start)
            for part, count, start in zip(held.parts, counts, starts, strict=False)
            if count
        )


def _taken(
    reader_content: bytes,
    reader_data: list[Any],
    take_content: bytes,
    take_data: list[Any],
    part: Any,
    label: int,
    start: int,
) -> Any:
    """Take something of the pairs of one label; runs on a worker."""
    reader = unpack(reader_content, reader_data)
    take = unpack(take_content, take_data)
    return take(reader.matches(part, label), start)


def _chunk_itself(chunk: MatchChunk, start: int) -> MatchChunk:
    return chunk
