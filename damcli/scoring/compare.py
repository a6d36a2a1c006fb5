"""Cosine, DAM and the norms of other fields, side by side on the same pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, cast

from damcli.errors import UserError
from damcli.lid.source import LidSource, lid_source
from damcli.metrics.dam import Combination
from damcli.protocols.pairs import PairList
from damcli.scoring.all_pairs import AllPairs, AllPairScores
from damcli.scoring.calibrated import check_calibration
from damcli.scoring.compatibility import check_same_space
from damcli.scoring.rivals import RivalTaker, column_of
from damcli.scoring.score import CHUNK_PAIRS, ListedScores, Progress, scored
from damcli.scoring.scorer import Rival, Scorer
from damcli.scoring.sides import Sides
from damcli.scoring.workers import HERE, Workers
from damcli.storage.anchors import Anchors
from damcli.storage.calibration import Calibration
from damcli.storage.embeddings import Embeddings
from damcli.storage.lidr import Lidr

COHORT_SIZE = 300
# As in arXiv 2112.04323.
BETA = 0.35
NES_STEPS = 3


def compare(
    pairs: PairList | AllPairs,
    embeddings: Embeddings,
    anchors: Sequence[Anchors] = (),
    *,
    lidr: Lidr | None = None,
    gallery: Embeddings | None = None,
    k: int | None = None,
    s: float | None = None,
    cohort_size: int = COHORT_SIZE,
    beta: float = BETA,
    nes_steps: int = NES_STEPS,
    calibration: Calibration | None = None,
    skip_missing: bool = False,
    allow_overlap: bool = False,
    allow_mixed_models: bool = False,
    chunk_pairs: int = CHUNK_PAIRS,
    reading: Progress | None = None,
    searching: Progress | None = None,
    workers: Workers = HERE,
) -> ListedScores | AllPairScores:
    """Score pairs by cosine, by DAM, and by what else takes neighbours into account.

    With each anchor set: DAM-R in both forms, CSLS, Z-norm (statistics of the probe),
    T-norm (of the reference), S-norm, AS-norm, and cosine after negative embedding
    subtraction (NES). With a lidr: DAM-L in both forms.

    Parameters
    ----------
    pairs
        A list from `damcli.read_pairs`, or `damcli.all_pairs` of the same embeddings.
    embeddings
        Where the probes stand, and the references too without a gallery.
    anchors
        Sets of anchors; with several, `set_names` tells their scores apart.
    lidr
        Predicts LIDs, for DAM-L.
    gallery
        Where the references stand.
    k
        Nearest anchors in the LID, CSLS and negative embedding subtraction, >= 1; 10, or
        the lidr's.
    s
        Scale of the LID, > 0; 1, or the lidr's.
    cohort_size
        How many of each side's nearest anchors AS-norm takes, >= 2.
    beta
        How much negative embedding subtraction takes away, > 0.
    nes_steps
        How often it does, >= 1.
    calibration
        Adds the log-likelihood ratio that was fitted with one of the sets, or with the lidr.
    skip_missing, allow_overlap, allow_mixed_models, chunk_pairs, reading, searching, workers
        As for `damcli.score`.

    Returns
    -------
    ListedScores or AllPairScores
        ``chunks()`` gives the scores, ``matches()`` what `damcli.evaluate` takes.

    Raises
    ------
    InputError
        As for `damcli.score`; or an embedding's similarities to a set of anchors do not vary.
    UserError
        Neither anchors nor a lidr are given, or the lidr was fitted with another k or s.
    ValueError
        A number is out of its range.
    """
    if cohort_size < 2 or nes_steps < 1 or not 0 < beta < float("inf"):
        raise ValueError(
            f"cohort_size = {cohort_size}, nes_steps = {nes_steps}, beta = {beta}; "
            "expected at least 2, at least 1, and above 0"
        )
    sources = _sources(anchors, lidr, k, s)
    if not sources:
        raise UserError("neither anchors nor a lidr were given; expected something to compare")
    for other in (gallery, *(one.source for one in sources)):
        if other is not None:
            check_same_space(embeddings, other, allow_mixed_models=allow_mixed_models)
    chosen = None
    if calibration is not None:
        chosen = _source_of(calibration, sources)
        check_calibration(
            calibration,
            chosen,
            cast(Combination, calibration.combine),
            embeddings,
            allow_mixed_models=allow_mixed_models,
        )

    def scorer(sides: Sides) -> Scorer:
        rivals: list[Rival] = []
        taker = RivalTaker(sides, cohort_size, beta, nes_steps, allow_overlap, searching)
        for source, name in sources:
            rivals += taker.rivals(source, name, calibration if source is chosen else None)
        return Scorer(sides.probes, sides.references, rivals=tuple(rivals))

    return scored(
        pairs,
        workers.sides(embeddings, embeddings if gallery is None else gallery),
        scorer,
        skip_missing=skip_missing,
        chunk_pairs=chunk_pairs,
        reading=reading,
        workers=workers,
    )


def set_names(anchors: Sequence[Anchors]) -> tuple[str, ...]:
    """Name sets of anchors so that they can be told apart.

    Returns
    -------
    tuple of str
        An empty name for a single set; else the kinds if they differ, else the names of the
        files without suffix if these do, else numbers.
    """
    if len(anchors) < 2:
        return ("",) * len(anchors)
    for names in (
        tuple(one.kind for one in anchors),
        tuple(Path(one.origin).stem for one in anchors),
    ):
        if len({column_of(name) for name in names}) == len(anchors):
            return names
    return tuple(str(number) for number in range(1, len(anchors) + 1))


class _Named(NamedTuple):
    source: LidSource
    name: str


def _sources(
    anchors: Sequence[Anchors], lidr: Lidr | None, k: int | None, s: float | None
) -> list[_Named]:
    if lidr is not None:  # the anchors' LIDs are taken as the regressor learnt them
        k, s = lidr.k if k is None else k, lidr.s if s is None else s
    found = [
        (lid_source(one, None, k=k, s=s), name)
        for one, name in zip(anchors, set_names(anchors), strict=True)
    ]
    found.append((lid_source(None, lidr, k=k, s=s), ""))
    return [_Named(source, name) for source, name in found if source is not None]


def _source_of(calibration: Calibration, sources: Sequence[_Named]) -> LidSource:
    """Find what a calibration was made with, or the nearest to it."""

    def agreement(one: _Named) -> int:
        mine = one.source.describe()
        return sum(mine[key] == calibration.lid.get(key) for key in ("source", "sha256"))

    return max(sources, key=agreement).source
