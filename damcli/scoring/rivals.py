"""The scores that `damcli.compare` sets beside cosine."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np

from damcli.errors import InputError
from damcli.lid.cohort import CohortStatistics, cohort_statistics, mean_nearest
from damcli.lid.neighbours import Progress
from damcli.lid.source import AnchorLid, LidSource
from damcli.metrics.cohort import csls, s_norm, standardized, subtract_negatives
from damcli.metrics.dam import COMBINATIONS, Combination, log_dam
from damcli.scoring.calibrated import llr_metric
from damcli.scoring.compatibility import check_disjoint
from damcli.scoring.scorer import Floats, PairTerms, Rival
from damcli.scoring.sides import Sides
from damcli.storage.calibration import Calibration
from damcli.storage.embeddings import Embeddings, Vectors
from damcli.storage.unit import on_grid


def _rival(metric: str, name: str, of: Callable[..., Floats], *more: Any) -> Rival:
    full = f"{metric} ({name})" if name else metric
    return Rival(full, column_of(full), of, *more)


def column_of(name: str) -> str:
    """Make the name of a column: lower case, and underscores for all but letters and digits."""
    return re.sub(r"\W+", "_", name.lower()).strip("_")


def _dam(source: LidSource, lids: tuple[Floats, Floats], name: str) -> Iterator[Rival]:
    for combine in cast(tuple[Combination, ...], COMBINATIONS):
        metric = source.metric if combine == "sum" else f"{source.metric} {combine}"
        take = partial(log_dam, s=source.s, combine=combine)
        yield _rival(metric, name, _unpacked(take), (lids[0],), (lids[1],))


def _unpacked(take: Callable[..., Floats]) -> Callable[..., Floats]:
    """Hand over the statistics of both sides one after the other."""
    return lambda cosine, probe, reference: take(cosine, *probe, *reference)


def _calibrated(
    calibration: Calibration, source: LidSource, lids: tuple[Floats, Floats], name: str
) -> Rival:
    metric = llr_metric(calibration)
    combine = cast(Combination, calibration.combine)

    def of(cosine: Floats, probe: Floats, reference: Floats) -> Floats:
        dam = log_dam(cosine, probe, reference, s=source.s, combine=combine)
        return metric.of(PairTerms(cosine, dam, probe, reference))

    rival = _rival(metric.name, name, _unpacked(of), (lids[0],), (lids[1],))
    return replace(rival, column=metric.column)


@dataclass(frozen=True)
class RivalTaker:
    """Takes what the scores need of those embeddings that are scored.

    Attributes
    ----------
    sides
        The embeddings.
    cohort_size, beta, nes_steps, allow_overlap
        As for `damcli.compare`.
    progress
        Called with the embeddings done since the last call, once for each pass over them.
    """

    sides: Sides
    cohort_size: int
    beta: float
    nes_steps: int
    allow_overlap: bool
    progress: Progress | None

    def rivals(
        self, source: LidSource, name: str, calibration: Calibration | None = None
    ) -> Iterator[Rival]:
        """Yield the scores that a source of LIDs makes possible; its name is put after theirs."""
        if isinstance(source, AnchorLid) and not self.allow_overlap:
            self.sides.check(partial(check_disjoint, anchors=source.anchors))
        lids = self.sides.each(source.log_lid, self.progress, source)
        yield from _dam(source, lids, name)
        if calibration is not None:
            yield _calibrated(calibration, source, lids, name)
        if isinstance(source, AnchorLid):
            yield from self._cohort(source, name)

    def _cohort(self, source: AnchorLid, name: str) -> Iterator[Rival]:
        statistics = partial(_statistics, source, self.cohort_size)
        both_sides = self.sides.each(statistics, self.progress, source)
        probe, reference = (CohortStatistics(*side.T) for side in both_sides)
        yield _rival(
            "CSLS", name, _unpacked(csls), (probe.nearest_mean,), (reference.nearest_mean,)
        )
        both = (probe.mean, probe.deviation), (reference.mean, reference.deviation)
        yield _rival("Z-norm", name, _unpacked(standardized), both[0], ())
        yield _rival("T-norm", name, _unpacked(standardized), (), both[1])
        yield _rival("S-norm", name, _unpacked(s_norm), *both)
        yield _rival(
            "AS-norm",
            name,
            _unpacked(s_norm),
            (probe.top_mean, probe.top_deviation),
            (reference.top_mean, reference.top_deviation),
        )
        subtracted = partial(_subtracted, source, self.beta, self.nes_steps)
        vectors = self.sides.each(subtracted, self.progress, source)
        yield _rival("NES", name, _unpacked(lambda cosine: cosine), (), (), vectors)


def _statistics(
    source: AnchorLid, top: int, used: Embeddings, *, progress: Progress | None = None
) -> Floats:
    found = cohort_statistics(used, source.anchors, k=source.k, top=top, progress=progress)
    return np.stack(found, axis=1)


def _subtracted(
    source: AnchorLid,
    beta: float,
    steps: int,
    used: Embeddings,
    *,
    progress: Progress | None = None,
) -> Vectors:
    """Take the nearest anchors away from each embedding, again and again."""
    for _ in range(steps):
        negatives = mean_nearest(used, source.anchors, source.k, progress=progress)
        vectors = subtract_negatives(used.vectors, negatives, beta)
        gone = np.flatnonzero(np.isnan(vectors[:, 0]))
        if len(gone):
            raise InputError(
                used.origin,
                f"negative embedding subtraction leaves nothing of '{used.ids[gone[0]]}' at "
                f"beta = {beta:g}; expected a vector that differs from its nearest anchors",
                hint="choose a smaller beta",
            )
        used = replace(used, vectors=on_grid(vectors))
    return used.vectors
