"""All pairs of embeddings, scored by workers a block at a time and never stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from itertools import accumulate
from typing import Any, TypeVar

from damcli.cluster.packing import Packed, Packer, unpack
from damcli.cluster.tasks import Tasks
from damcli.scoring.all_pairs import AllPairScores, Block
from damcli.scoring.matches import MatchChunk
from damcli.scoring.scorer import Scorer
from damcli.scoring.table import ScoredChunk

T = TypeVar("T")


class ClusterAllPairs(AllPairScores):
    """The scores of all pairs, computed anew by the workers each time they are read.

    Parameters
    ----------
    scores
        The same scores, as this process would compute them.
    tasks, packer
        The cluster.
    """

    def __init__(self, scores: AllPairScores, tasks: Tasks, packer: Packer) -> None:
        super().__init__(scores.pairs, scores.scorer, scores.groups)
        self._tasks = tasks
        self._packer = packer
        self._packed: Packed = packer.pack(scores)

    def scored_by(self, scorer: Scorer) -> ClusterAllPairs:
        """Score the same pairs by something else."""
        return ClusterAllPairs(super().scored_by(scorer), self._tasks, self._packer)

    @cached_property
    def _impostors_in(self) -> list[tuple[Block, int]]:
        """The blocks that hold impostor pairs, and how many."""
        blocks = list(self.pairs.blocks())
        counts = self._tasks.in_order(
            self._tasks.submit("pairs", _count_impostors, *self._packed, block) for block in blocks
        )
        found = zip(blocks, counts, strict=True)
        return [(block, count) for block, count in found if count]

    def impostors(self) -> Iterator[MatchChunk]:
        """Yield the impostor pairs, a block of the score matrix at a time."""
        return self._over(_chunk_itself, "fetch")

    def over_impostors(self, take: Callable[[MatchChunk, int], T]) -> Iterator[T]:
        """Yield what ``take`` makes of each chunk of impostor pairs, in their order.

        Parameters
        ----------
        take
            Given a chunk and how many impostor pairs come before it; it runs on the workers.
        """
        return self._over(take, "count")

    def _over(self, take: Callable[[MatchChunk, int], T], stage: str) -> Iterator[T]:
        packed = self._packer.pack(take)
        starts = accumulate((count for _, count in self._impostors_in), initial=0)
        return self._tasks.in_order(
            self._tasks.submit(stage, _taken, *self._packed, *packed, block, start)
            for (block, _), start in zip(self._impostors_in, starts, strict=False)
        )

    def parts(self, form: Callable[[ScoredChunk], T]) -> Iterator[T]:
        """Yield what ``form`` makes of each chunk of `chunks`, in their order."""
        packed = self._packer.pack(form)
        found = self._tasks.in_order(
            self._tasks.submit("write", _formed, *self._packed, *packed, block)
            for block in self.pairs.blocks()
        )
        return (part for part in found if part is not None)

    def chunks(self) -> Iterator[ScoredChunk]:
        """Yield all pairs with their labels, for writing."""
        return self.parts(_as_it_is)


def _count_impostors(content: bytes, data: list[Any], block: Block) -> int:
    scores: AllPairScores = unpack(content, data)
    return int(scores.pairs.impostors_among(block).sum())


def _taken(
    content: bytes,
    data: list[Any],
    take_content: bytes,
    take_data: list[Any],
    block: Block,
    start: int,
) -> Any:
    """Take something of the impostor pairs of a block; runs on a worker."""
    scores: AllPairScores = unpack(content, data)
    return unpack(take_content, take_data)(scores.impostors_of(block), start)


def _formed(
    content: bytes,
    data: list[Any],
    form_content: bytes,
    form_data: list[Any],
    block: Block,
) -> Any:
    """Lay out the pairs of a block; None where it has none. Runs on a worker."""
    scores: AllPairScores = unpack(content, data)
    chunk = scores.chunk_of(block)
    return unpack(form_content, form_data)(chunk) if len(chunk.probe_rows) else None


def _chunk_itself(chunk: MatchChunk, start: int) -> MatchChunk:
    return chunk


def _as_it_is(chunk: ScoredChunk) -> ScoredChunk:
    return chunk
