"""DAM at every k with every s, and with fewer anchors: what moves TAR, and which way."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from damcli.errors import InputError
from damcli.evaluation import DEFAULT_FARS, Evaluation, check_fars
from damcli.evaluation.rates import impostors_needed
from damcli.evaluation.results import MetricResult
from damcli.metrics.dam import Combination
from damcli.protocols.pairs import PairSource
from damcli.scoring.all_pairs import AllPairs
from damcli.scoring.score import CHUNK_PAIRS
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.sweeping.measure import Faces, Progress, SettingScores, open_settings
from damcli.sweeping.settings import DEFAULT_S, Plan, Setting


@dataclass(frozen=True, eq=False)
class Sweep:
    """What a sweep found.

    Attributes
    ----------
    plan
        The settings that were measured.
    anchors
        How many anchors there are.
    evaluation
        Cosine, then each setting by its name. Those of `Plan.curves` have intervals, as far
        as there are resamples.
    measured
        The pairs and their LIDs.
    """

    plan: Plan
    anchors: int
    evaluation: Evaluation
    measured: SettingScores

    @property
    def cosine(self) -> MetricResult:
        """What all settings are compared with."""
        return self.evaluation.metrics[0]

    @cached_property
    def _by_name(self) -> dict[str, MetricResult]:
        return {metric.name: metric for metric in self.evaluation.metrics}

    def of(self, setting: Setting) -> MetricResult:
        """Return the numbers of a setting."""
        return self._by_name[setting.name]

    def best(self, far: float) -> Setting:
        """Choose the k and s of the highest TAR at a FAR.

        Of equals, the one with the smaller k, then the one whose s is nearer the default.
        The pairs that it is chosen on cannot tell how good it is.

        Parameters
        ----------
        far
            One of those that were evaluated.

        Raises
        ------
        InputError
            The FAR allows no false accept of so few impostor pairs.
        """
        place = [point.far for point in self.cosine.points].index(far)
        if self.cosine.points[place].allowed == 0:
            raise InputError(
                self.measured.scores.origin,
                f"holds {self.evaluation.impostors:,} impostor pairs; expected at least "
                f"{impostors_needed(far):,}, to choose at FAR {far:g}",
                hint="choose at a higher FAR, or give more pairs",
            )

        def worse(one: Setting) -> tuple[float, ...]:
            accepted = self.of(one).points[place].true_accepts or 0
            return -accepted, one.k, abs(math.log(one.s / DEFAULT_S)), one.s

        return min(self.plan.grid, key=worse)


def sweep(
    pairs: PairSource | AllPairs,
    embeddings: Embeddings,
    anchors: Anchors,
    *,
    plan: Plan | None = None,
    gallery: Embeddings | None = None,
    combine: Combination = "sum",
    fars: Sequence[float] = DEFAULT_FARS,
    resamples: int = 1000,
    seed: int = 0,
    skip_missing: bool = False,
    allow_overlap: bool = False,
    allow_mixed_models: bool = False,
    chunk_pairs: int = CHUNK_PAIRS,
    reading: Progress | None = None,
    searching: Progress | None = None,
    evaluating: Progress | None = None,
) -> Sweep:
    """Evaluate DAM at every setting of a plan, each against cosine.

    Neighbours are searched once, at the largest k. Nothing is chosen: see `Sweep.best`.

    Parameters
    ----------
    pairs
        A labelled list from `damcli.read_pairs`, or `damcli.all_pairs` of the embeddings.
    embeddings
        Where the probes stand, and the references too without a gallery.
    anchors
        What the LIDs are taken from.
    plan
        Which k, s, sizes and seeds; by default those of `Plan` that the anchors allow.
    gallery
        Where the references stand.
    combine
        ``sum`` (Eq. 3) or ``product`` (Sec. 4.6).
    fars
        False accept rates, each between 0 and 1.
    resamples, seed
        Of the 95 % intervals, which the settings along the curves have.
    skip_missing, allow_overlap, allow_mixed_models, chunk_pairs, reading, searching
        As for `damcli.score`.
    evaluating
        Called with the number of settings evaluated since the last call.

    Returns
    -------
    Sweep
        Its numbers are those of `damcli.evaluate`.

    Raises
    ------
    InputError
        As for `damcli.score`; the pairs carry no labels, or there are fewer anchors than
        the largest k or size.
    UserError
        A FAR is out of its range.
    """
    check_fars(fars)
    chosen = default_plan(anchors) if plan is None else plan
    chosen.check(anchors)
    faces = Faces(embeddings, anchors, gallery, allow_overlap, allow_mixed_models)
    measured = open_settings(
        pairs,
        faces,
        (*chosen.grid, *chosen.drawn),
        combine=combine,
        skip_missing=skip_missing,
        chunk_pairs=chunk_pairs,
        reading=reading,
        searching=searching,
    )
    curves = chosen.curves
    found = measured.evaluate(curves, fars, resamples=resamples, seed=seed, progress=evaluating)
    others = [one for one in (*chosen.grid, *chosen.drawn) if one not in curves]
    if others:
        more = measured.evaluate(others, fars, progress=evaluating)
        found = replace(found, metrics=(*found.metrics, *more.metrics[1:]))
    return Sweep(chosen, len(anchors), found, measured)


def default_plan(anchors: Anchors) -> Plan:
    """Take the default lists, without more neighbours than there are anchors."""
    plan = Plan()
    return replace(plan, ks=tuple(k for k in plan.ks if k <= len(anchors)))
