"""All pairs of embeddings with known subjects, scored block by block and never stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError, counted
from damcli.protocols.from_subjects import genuine_pairs
from damcli.scoring.groups import Grouping, PairGroups
from damcli.scoring.matches import UNKNOWN, LocalPasses, MatchChunk
from damcli.scoring.scorer import Scorer
from damcli.scoring.table import ScoredChunk
from damcli.storage.embeddings import Embeddings, Names, Rows, subject_codes

T = TypeVar("T")
_PROBE_ROWS = 512
_REFERENCE_ROWS = 4096


class Block(NamedTuple):
    """Consecutive probes, and consecutive references to pair them with."""

    rows: slice
    columns: slice


class AllPairs:
    """Each pair of one set once, or every probe with every reference of a gallery.

    Labels come from the subjects. A sample is never paired with itself, nor with the
    sample of the same id in the gallery.

    Parameters
    ----------
    probes
        N embeddings with subjects.
    gallery
        M embeddings with subjects; None for the pairs within ``probes``.

    Raises
    ------
    InputError
        The subjects are not known.
    UserError
        No pair can be made.
    """

    def __init__(self, probes: Embeddings, gallery: Embeddings | None = None) -> None:
        self.within = gallery is None
        self.probes = probes
        self.references = probes if gallery is None else gallery
        self.probe_codes, self.reference_codes, self.subject_count = subject_codes(
            _subjects(self.probes), _subjects(self.references)
        )
        if not len(self):
            raise UserError(
                f"{probes.origin} makes no pairs: it holds {counted(len(probes), 'embedding')}"
            )

    def __len__(self) -> int:
        return self._total - self._same_id

    @property
    def _total(self) -> int:
        count = len(self.probes)
        return count * (count - 1) // 2 if self.within else count * len(self.references)

    @cached_property
    def _same_id_rows(self) -> Rows:
        """For each probe the gallery row of the same id, or -1."""
        if self.within:
            return np.full(len(self.probes), UNKNOWN, dtype=np.int64)
        return self.references.rows_of(self.probes.ids)

    @cached_property
    def _same_id(self) -> int:
        return int((self._same_id_rows >= 0).sum())

    @cached_property
    def genuine(self) -> NDArray[np.int64]:
        """The rows of all genuine pairs, (G, 2)."""
        if self.within:
            return genuine_pairs(self.probe_codes)
        both = genuine_pairs(np.concatenate([self.probe_codes, self.reference_codes]))
        across = both[(both[:, 0] < len(self.probes)) & (both[:, 1] >= len(self.probes))]
        across[:, 1] -= len(self.probes)
        return np.asarray(across[self._same_id_rows[across[:, 0]] != across[:, 1]])

    def blocks(self) -> Iterator[Block]:
        """Yield blocks of probes and references, of which some pairs count."""
        references = len(self.references)
        for start in range(0, len(self.probes), _PROBE_ROWS):
            rows = slice(start, min(start + _PROBE_ROWS, len(self.probes)))
            first = start if self.within else 0
            for column in range(first, references, _REFERENCE_ROWS):
                columns = slice(column, min(column + _REFERENCE_ROWS, references))
                yield Block(rows, columns)

    def counted(self, block: Block) -> NDArray[np.bool_]:
        """Tell which pairs of a block count, (probes, references)."""
        rows, columns = block
        probe = np.arange(rows.start, rows.stop)[:, None]
        reference = np.arange(columns.start, columns.stop)[None, :]
        if self.within:
            return np.asarray(reference > probe)
        return np.asarray(reference != self._same_id_rows[rows, None])

    def impostors_among(self, block: Block) -> NDArray[np.bool_]:
        """Tell which pairs of a block are impostor pairs, (probes, references)."""
        codes = self.probe_codes[block.rows, None], self.reference_codes[None, block.columns]
        return np.asarray(self.counted(block) & (codes[0] != codes[1]))


def _subjects(side: Embeddings) -> Names:
    if side.subjects is None:
        raise InputError(
            side.origin,
            "carries no subjects, so its pairs cannot be labelled",
            hint="store a 'subject' for each embedding, or give a list of labelled pairs",
        )
    return side.subjects


class AllPairScores(LocalPasses):
    """The scores of `AllPairs`, computed anew each time they are read.

    It is both what is written out (`chunks`) and what is evaluated (a
    `damcli.scoring.matches.Matches`).
    """

    has_folds = False
    labelled = True
    group_names: tuple[str, ...] = ()

    def __init__(self, pairs: AllPairs, scorer: Scorer, groups: PairGroups) -> None:
        self.pairs = pairs
        self.scorer = scorer
        self.metrics = scorer.metrics
        self.origin = pairs.probes.origin
        self.subject_count = pairs.subject_count
        self.groups = groups

    @property
    def groupings(self) -> tuple[Grouping, ...]:
        """The columns that tell pairs apart."""
        return tuple(numbers.grouping for numbers in self.groups.numbers)

    def __len__(self) -> int:
        return len(self.pairs)

    def scored_by(self, scorer: Scorer) -> AllPairScores:
        """Score the same pairs by something else."""
        return AllPairScores(self.pairs, scorer, self.groups)

    @property
    def genuine_count(self) -> int:
        """How many genuine pairs there are."""
        return len(self.pairs.genuine)

    @property
    def impostor_count(self) -> int:
        """How many impostor pairs there are."""
        return len(self) - self.genuine_count

    def genuine(self) -> Iterator[MatchChunk]:
        """Yield the genuine pairs."""
        probe, reference = self.pairs.genuine.T
        yield self._chunk(np.array(self.scorer.pairs(probe, reference)), probe, reference)

    def impostors(self) -> Iterator[MatchChunk]:
        """Yield the impostor pairs, a block of the score matrix at a time."""
        for block in self.pairs.blocks():
            chunk = self.impostors_of(block)
            if chunk.scores.shape[1]:
                yield chunk

    def impostors_of(self, block: Block) -> MatchChunk:
        """Score the impostor pairs of a block."""
        rows, columns = block
        wanted = self.pairs.impostors_among(block)
        scores, probe, reference = _picked(self.scorer.block(rows, columns), wanted)
        return self._chunk(np.array(scores), probe + rows.start, reference + columns.start)

    def _chunk(self, scores: NDArray[np.float64], probe: Rows, reference: Rows) -> MatchChunk:
        return MatchChunk(
            scores,
            self.pairs.probe_codes[probe].astype(np.int32),
            self.pairs.reference_codes[reference].astype(np.int32),
            np.full(scores.shape[1], UNKNOWN, dtype=np.int32),
            self.groups.codes(probe, reference),
        )

    def matches(self) -> AllPairScores:
        """Return what evaluation reads."""
        return self

    def parts(self, form: Callable[[ScoredChunk], T]) -> Iterator[T]:
        """Yield what ``form`` makes of each chunk of `chunks`, in their order."""
        return map(form, self.chunks())

    def chunks(self) -> Iterator[ScoredChunk]:
        """Yield all pairs with their labels, for writing."""
        for block in self.pairs.blocks():
            chunk = self.chunk_of(block)
            if len(chunk.probe_rows):
                yield chunk

    def chunk_of(self, block: Block) -> ScoredChunk:
        """Score the pairs of a block, for writing."""
        rows, columns = block
        wanted = self.pairs.counted(block)
        scores, probe, reference = _picked(self.scorer.block(rows, columns), wanted)
        probe_rows, reference_rows = probe + rows.start, reference + columns.start
        same = self.pairs.probe_codes[probe_rows] == self.pairs.reference_codes[reference_rows]
        return ScoredChunk(
            probe_rows,
            reference_rows,
            same.astype(np.int8),
            None,
            self.groups.cells(probe_rows, reference_rows),
            scores,
            self.scorer.columns,
        )


def _picked(
    blocks: list[NDArray[np.float64]], wanted: NDArray[np.bool_]
) -> tuple[list[NDArray[np.float64]], Rows, Rows]:
    """Return the wanted scores of each block, and their places there."""
    if not wanted.all():
        probe, reference = np.nonzero(wanted)
        return [block[probe, reference] for block in blocks], probe, reference
    # Most blocks are wanted whole, and need no search.
    probes, references = wanted.shape
    probe = np.repeat(np.arange(probes), references)
    return [block.ravel() for block in blocks], probe, np.tile(np.arange(references), probes)


def all_pairs(embeddings: Embeddings, gallery: Embeddings | None = None) -> AllPairs:
    """Take all pairs, labelled by the subjects; see `AllPairs`."""
    return AllPairs(embeddings, gallery)
