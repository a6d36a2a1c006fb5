"""Scoring in one call: pairs, embeddings and anchors in; scored pairs out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.lid.pooled import LidOf, lid_of
from damcli.metrics.dam import Combination
from damcli.protocols.pairs import PairSource
from damcli.scoring.all_pairs import AllPairs, AllPairScores
from damcli.scoring.calibrated import check_calibration, llr_metric
from damcli.scoring.compatibility import check_same_space
from damcli.scoring.groups import PairGroups
from damcli.scoring.lids import LidTaker
from damcli.scoring.matches import Matches, MatchSpool, require_both_classes
from damcli.scoring.resolve import Missing, ResolvedPairs, RowPairs, resolve
from damcli.scoring.scorer import DamForm, Metric, Scorer
from damcli.scoring.sides import Sides
from damcli.scoring.table import ScoredChunk, replaced_columns
from damcli.scoring.used import used_rows, used_subject_codes
from damcli.scoring.workers import HERE, Workers
from damcli.storage.anchors import Anchors
from damcli.storage.calibration import Calibration
from damcli.storage.embeddings import Embeddings
from damcli.storage.lidr import Lidr
from damcli.threads import in_order

CHUNK_PAIRS = 1 << 19
Progress = Callable[[int], None]
Floats = NDArray[np.float64]
T = TypeVar("T")


class ListedScores:
    """The scores of a pair list, computed chunk by chunk when they are read."""

    def __init__(
        self, pairs: ResolvedPairs, scorer: Scorer, chunk_pairs: int, groups: PairGroups
    ) -> None:
        self.pairs = pairs
        self.groups = groups
        self.chunk_pairs = chunk_pairs
        self.scorer = scorer
        self.metrics = scorer.metrics
        self.labelled = pairs.labelled
        self.origin = pairs.origin
        self.replaced = replaced_columns(
            pairs.group_names,
            scorer.probes,
            scorer.references,
            (*scorer.columns, *groups.written),
        )

    def __len__(self) -> int:
        return len(self.pairs)

    @property
    def genuine_count(self) -> int:
        """How many pairs are labelled genuine."""
        return self.pairs.genuine_count

    @property
    def missing(self) -> list[Missing]:
        """The pairs left out because an id has no embedding."""
        return self.pairs.missing

    def scored_by(self, scorer: Scorer) -> ListedScores:
        """Score the same pairs by something else."""
        return ListedScores(self.pairs, scorer, self.chunk_pairs, self.groups)

    def parts(self, form: Callable[[ScoredChunk], T]) -> Iterator[T]:
        """Yield what ``form`` makes of each chunk, in the order of the list."""

        def formed(rows: RowPairs) -> T:
            return form(self._score(rows))

        return in_order(formed, self.pairs.chunks(self.chunk_pairs))

    def chunks(self) -> Iterator[ScoredChunk]:
        """Yield the pairs with their scores, in the order of the list."""
        return in_order(self._score, self.pairs.chunks(self.chunk_pairs))

    def _score(self, rows: RowPairs) -> ScoredChunk:
        folds = None if rows.folds is None else self.pairs.fold_names[rows.folds]
        groups = {name: rows.groups[name] for name in rows.groups if name not in self.replaced}
        return ScoredChunk(
            rows.probe_rows,
            rows.reference_rows,
            rows.labels,
            folds,
            groups | self.groups.cells(rows.probe_rows, rows.reference_rows),
            self.scorer.pairs(rows.probe_rows, rows.reference_rows),
            self.scorer.columns,
        )

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
            raise InputError(self.pairs.origin, "carries no labels, so it cannot be evaluated")
        probes, references = self.scorer.probes, self.scorer.references
        known = probes.subjects is not None and references.subjects is not None
        codes = used_subject_codes(self.pairs, probes, references) if known else None
        folds = {name: number for number, name in enumerate(sorted(self.pairs.fold_names))}
        spool = MatchSpool(
            self.metrics,
            subject_count=codes[2] if codes else 0,
            has_folds=self.pairs.has_folds,
            origin=self.pairs.origin,
            groups=self.groups.numbers,
        )

        def formed(chunk: ScoredChunk) -> tuple[ScoredChunk, T | None]:
            return chunk, None if form is None else form(chunk)

        for chunk, part in self.parts(formed):
            assert chunk.labels is not None
            spool.append(
                chunk.labels,
                chunk.scores,
                codes[0][chunk.probe_rows] if codes else None,
                codes[1][chunk.reference_rows] if codes else None,
                None if chunk.folds is None else np.array([folds[name] for name in chunk.folds]),
                self.groups.codes(chunk.probe_rows, chunk.reference_rows, chunk.groups),
            )
            if part is not None and on_part is not None:
                on_part(part)
        return spool


def score(
    pairs: PairSource | AllPairs,
    embeddings: Embeddings,
    anchors: Anchors | None = None,
    *,
    lidr: Lidr | None = None,
    gallery: Embeddings | None = None,
    lid: LidOf = "own",
    k: int | None = None,
    s: float | None = None,
    combine: Combination = "sum",
    linear: bool = False,
    calibration: Calibration | None = None,
    more_metrics: Sequence[Metric] = (),
    groups: Sequence[str] = (),
    skip_missing: bool = False,
    allow_overlap: bool = False,
    allow_mixed_models: bool = False,
    chunk_pairs: int = CHUNK_PAIRS,
    reading: Progress | None = None,
    searching: Progress | None = None,
    workers: Workers = HERE,
) -> ListedScores | AllPairScores:
    """Score pairs by cosine and, with anchors or a lidr, by DAM (Eq. 3).

    Parameters
    ----------
    pairs
        A list from `damcli.read_pairs`, or `damcli.all_pairs` of the same embeddings.
    embeddings
        Where the probes stand, and the references too without a gallery.
    anchors
        What the LIDs are taken from (DAM-R).
    lidr
        What predicts the LIDs instead of anchors (DAM-L). With neither: cosine alone.
    gallery
        Where the references stand.
    lid
        ``own`` LIDs, of the very embeddings; or ``pooled`` ones, which `damcli.pool` stored with
        templates: anchors, lidr, k and s may then be left out, and are checked where given.
    k, s
        Neighbours (>= 1) and scale (> 0) of the LID; 10 and 1 unless the lidr has others.
    combine
        ``sum`` (Eq. 3) or ``product`` (Sec. 4.6).
    linear
        Give Eq. 3 itself; by default its logarithm, which orders pairs the same way.
    calibration
        From `damcli.calibrate` or `damcli.read_calibration`: adds the log-likelihood ratio.
    more_metrics
        Further scores that come after DAM.
    groups
        Columns of the list, or of both sides' embeddings, that tell people or pairs apart.
    skip_missing
        Leave out pairs with an unknown id and list them in ``missing``.
    allow_overlap
        Let anchors show people that are scored; each face then skips its own anchors.
    allow_mixed_models
        Let the files come from different models.
    chunk_pairs
        How many pairs are held in memory at a time.
    reading, searching
        Called with the pairs read and the embeddings searched since the last call.
    workers
        Who takes the LIDs and scores the pairs: this process, or those of a
        `damcli.cluster.open_cluster`.

    Returns
    -------
    ListedScores or AllPairScores
        ``chunks()`` gives the scores, ``matches()`` what `damcli.evaluate` takes. Nothing is
        computed but the LIDs until they are read.

    Raises
    ------
    InputError
        An id is unknown, labels are all of one class, the files do not belong together, a
        column of groups is nowhere, the calibration was made with others, or anchors show a
        test subject.
    UserError
        Anchors and a lidr are given, the lidr was fitted with another k or s, ``combine`` is
        neither of its two, or ``pairs`` are all pairs of other embeddings.
    """
    references = embeddings if gallery is None else gallery
    if combine not in get_args(Combination):
        raise UserError(f"combine = {combine!r}; expected sum or product")
    if isinstance(pairs, AllPairs) and (
        pairs.probes is not embeddings or pairs.references is not references
    ):
        raise UserError("all pairs of other embeddings; expected those that are to be scored")
    source = lid_of(lid, embeddings, anchors, lidr, k=k, s=s)
    for other in (gallery, source):
        if other is not None:
            check_same_space(embeddings, other, allow_mixed_models=allow_mixed_models)
    form = DamForm(1.0 if source is None else source.s, combine, linear)
    metrics = tuple(more_metrics)
    if calibration is not None:
        check_calibration(
            calibration, source, combine, embeddings, allow_mixed_models=allow_mixed_models
        )
        metrics = (llr_metric(calibration), *metrics)
    lids = LidTaker(source, form, metrics, allow_overlap, searching)
    return scored(
        pairs,
        workers.sides(embeddings, references),
        lids.scorer,
        groups=groups,
        skip_missing=skip_missing,
        chunk_pairs=chunk_pairs,
        reading=reading,
        workers=workers,
    )


def scored(
    pairs: PairSource | AllPairs,
    sides: Sides,
    scorer: Callable[[Sides], Scorer],
    *,
    groups: Sequence[str] = (),
    skip_missing: bool = False,
    chunk_pairs: int = CHUNK_PAIRS,
    reading: Progress | None = None,
    workers: Workers = HERE,
) -> ListedScores | AllPairScores:
    """Find the pairs' rows and score them by what ``scorer`` makes of those rows.

    Raises
    ------
    InputError
        An id is unknown, labels are all of one class, or a column of groups is nowhere.
    """
    probes, references = sides.probes, sides.references
    listed = () if isinstance(pairs, AllPairs) else pairs.group_names
    replaced = replaced_columns(listed, probes, references)
    told_apart = PairGroups(
        groups,
        [name for name in listed if name not in replaced],
        probes=probes,
        references=references,
        origin=probes.origin if isinstance(pairs, AllPairs) else pairs.origin,
    )
    if isinstance(pairs, AllPairs):
        genuine = len(pairs.genuine)
        require_both_classes(genuine, len(pairs) - genuine, probes.origin)
        return workers.all_pairs(AllPairScores(pairs, scorer(sides), told_apart))
    resolved = resolve(pairs, probes, references, skip_missing=skip_missing, progress=reading)
    if resolved.labelled:
        genuine = resolved.genuine_count
        require_both_classes(genuine, len(resolved) - genuine, resolved.origin)
    used = used_rows(resolved, probes, references)
    made = scorer(replace(sides, probe_rows=used[0], reference_rows=used[1]))
    return workers.listed(ListedScores(resolved, made, chunk_pairs, told_apart))
