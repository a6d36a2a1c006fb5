"""1:N search by cosine and DAM: closed-set ranks, and open-set TPIR at FPIR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np

from damcli.errors import InputError, UserError, counted
from damcli.identification.forms import Floats, Rows, forms_of
from damcli.identification.rates import Rates, estimates, point_at, resampled
from damcli.identification.results import GalleryCounts, Identification, MetricIdentification
from damcli.identification.search import Candidates, Searches, search
from damcli.lid.neighbours import Progress
from damcli.lid.pooled import LidOf, lid_of
from damcli.lid.source import AnchorLid, LidSource
from damcli.metrics.dam import Combination
from damcli.scoring.compatibility import check_disjoint, check_same_space
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.lidr import Lidr

RANKS = (1, 5, 10)
FPIRS = (1e-2, 1e-1)
OnCandidates = Callable[[int, Candidates], None]


def identify(
    probes: Embeddings,
    galleries: Embeddings | Sequence[Embeddings],
    anchors: Anchors | None = None,
    *,
    lidr: Lidr | None = None,
    lid: LidOf = "own",
    k: int | None = None,
    s: float | None = None,
    combine: Combination = "sum",
    ranks: Sequence[int] = RANKS,
    fpirs: Sequence[float] = FPIRS,
    within: int = 1,
    resamples: int = 1000,
    seed: int = 0,
    allow_overlap: bool = False,
    allow_mixed_models: bool = False,
    candidates: OnCandidates | None = None,
    taking_lids: Progress | None = None,
    searching: Progress | None = None,
    resampling: Progress | None = None,
) -> Identification:
    """Search galleries for the people that probes show, by cosine and by DAM.

    A gallery may hold a subject several times: its score is that of its best entry. Probes
    whose subject it does not hold are the non-mated ones. A probe never meets an entry of its
    own id, so that the same embeddings on both sides mean leave-one-out.

    Parameters
    ----------
    probes
        P embeddings with subjects.
    galleries
        Embeddings with subjects. Several galleries are searched each by itself, with thresholds
        of its own, and their rates are averaged, as IJB-B and IJB-C do.
    anchors
        What the LIDs are taken from (DAM-R).
    lidr
        What predicts the LIDs instead of anchors (DAM-L). With neither: cosine alone.
    lid, k, s
        As for `damcli.score`.
    combine
        The form of DAM that candidates are ranked by: ``sum`` (Eq. 3) or ``product``.
    ranks
        Ranks of the closed-set rates, >= 1.
    fpirs
        False positive identification rates, between 0 and 1.
    within
        TPIR counts a mate up to this rank, >= 1.
    resamples, seed
        Bootstrap resamples of the probes' subjects behind the 95 % intervals; 0 for none.
    allow_overlap
        Let anchors show people that are searched; each face then skips its own anchors.
    allow_mixed_models
        Let the files come from different models.
    candidates
        Called with the number of the gallery and the people that score highest for a block of
        probes, as many as the largest rank.
    taking_lids, searching, resampling
        Called with the embeddings, searches and resamples done since the last call.

    Returns
    -------
    Identification
        Rates are fractions. TPIR is conservative: the smallest threshold that at most
        floor(FPIR × non-mated) non-mated probes reach, ties included.

    Raises
    ------
    InputError
        A file carries no subjects, the files do not belong together, anchors show somebody who
        is searched, or a gallery holds nobody that a probe shows.
    UserError
        An option is out of its range, anchors and a lidr are given, or the lidr was fitted with
        another k or s.
    """
    sides = [galleries] if isinstance(galleries, Embeddings) else list(galleries)
    _check(sides, combine, ranks, fpirs, within, resamples)
    source = lid_of(lid, probes, anchors, lidr, k=k, s=s)
    for other in (*sides, source):
        if other is not None and other is not probes:
            check_same_space(probes, other, allow_mixed_models=allow_mixed_models)
    lids = _Lids(source, allow_overlap, taking_lids)
    mine = lids.of(probes)
    forms = forms_of(None if source is None else source.metric)
    order_by = [form.combine for form in forms].index(None if source is None else combine)
    found = [
        search(
            probes,
            side,
            (mine, mine if side is probes else lids.of(side)),
            forms,
            1.0 if source is None else source.s,
            max(*ranks, within),
            order_by=order_by,
            candidates=None if candidates is None else _numbered(candidates, number),
            progress=searching,
        )
        for number, side in enumerate(sides)
    ]
    for one in found:
        _require_mated(one, probes)
    return _evaluate(
        found,
        tuple(form.name for form in forms),
        np.unique(np.asarray(probes.subjects).astype(str), return_inverse=True)[1].astype(np.int64),
        tuple(ranks),
        tuple(fpirs),
        within,
        resamples=resamples,
        seed=seed,
        progress=resampling,
    )


def _check(
    galleries: Sequence[Embeddings],
    combine: str,
    ranks: Sequence[int],
    fpirs: Sequence[float],
    within: int,
    resamples: int,
) -> None:
    if not galleries:
        raise UserError("no gallery was given; expected at least one")
    if combine not in get_args(Combination):
        raise UserError(f"combine = {combine!r}; expected sum or product")
    check_ranks([*ranks])
    check_ranks([within])
    check_fpirs(fpirs)
    if resamples < 0:
        raise UserError(f"{resamples} resamples; expected 0 or more")


def check_ranks(ranks: Sequence[int]) -> None:
    """Refuse ranks that are none, or that stand twice.

    Raises
    ------
    UserError
        There is none, one is below 1, or was given twice.
    """
    if not ranks:
        raise UserError("no ranks; expected whole numbers from 1 on")
    for rank in ranks:
        if rank < 1:
            raise UserError(f"rank {rank}: expected a whole number from 1 on")
    if len(set(ranks)) < len(ranks):
        raise UserError("a rank was given twice")


def check_fpirs(fpirs: Sequence[float]) -> None:
    """Refuse false positive identification rates that are none, or that stand twice.

    Raises
    ------
    UserError
        A rate is not between 0 and 1, or was given twice.
    """
    for fpir in fpirs:
        if not 0 < fpir < 1:
            raise UserError(f"FPIR {fpir:g}: expected a fraction between 0 and 1")
    if len(set(fpirs)) < len(fpirs):
        raise UserError("an FPIR was given twice")


def _numbered(candidates: OnCandidates, number: int) -> Callable[[Candidates], None]:
    return lambda some: candidates(number, some)


@dataclass(frozen=True)
class _Lids:
    """Takes the LIDs of a side; None for cosine alone."""

    source: LidSource | None
    allow_overlap: bool
    progress: Progress | None

    def of(self, side: Embeddings) -> Floats | None:
        if self.source is None:
            return None
        if isinstance(self.source, AnchorLid) and not self.allow_overlap:
            check_disjoint(side, self.source.anchors)
        return self.source.log_lid(side, progress=self.progress)


def _require_mated(found: Searches, probes: Embeddings) -> None:
    if not found.mated.any():
        raise InputError(
            found.origin,
            f"holds none of the people that the {counted(len(probes), 'probe')} of "
            f"{probes.origin} show; expected some, to be found again",
            hint="are the subjects named alike in both files? damcli info FILE tells",
        )


def _evaluate(
    found: Sequence[Searches],
    names: tuple[str, ...],
    subjects: Rows,
    ranks: tuple[int, ...],
    fpirs: tuple[float, ...],
    within: int,
    *,
    resamples: int,
    seed: int,
    progress: Progress | None,
) -> Identification:
    rates = Rates(found, ranks, fpirs, within)
    values = rates.of(np.ones((1, len(subjects))))[0]
    points = [
        tuple(tuple(point_at(one, metric, fpir, within) for one in found) for fpir in fpirs)
        for metric in range(len(names))
    ]
    for metric, at_fpirs in enumerate(points):
        for place, at in enumerate(at_fpirs):
            if any(point.tar is None for point in at):
                values[metric, len(ranks) + place] = np.nan
    moved = None
    if resamples:
        moved = resampled(rates, subjects, resamples=resamples, seed=seed, progress=progress)
    mated = np.any([one.mated for one in found], axis=0)
    told = estimates(values, moved, len(np.unique(subjects[mated])))
    return Identification(
        galleries=tuple(_counts(one) for one in found),
        ranks=ranks,
        fpirs=fpirs,
        within=within,
        subjects=len(np.unique(subjects)),
        resamples=resamples,
        seed=seed,
        metrics=tuple(
            MetricIdentification(
                name,
                tuple(one for one in row[: len(ranks)] if one is not None),
                tuple(row[len(ranks) :]),
                at,
            )
            for name, row, at in zip(names, told, points, strict=True)
        ),
    )


def _counts(found: Searches) -> GalleryCounts:
    mated = int(found.mated.sum())
    return GalleryCounts(
        found.origin,
        found.subjects,
        found.entries,
        mated,
        len(found.mated) - mated,
        found.same_id,
        found.compared_with_all,
    )
