"""Calibration in one call: labelled development pairs in, a calibration and what to expect out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from damcli import __version__
from damcli.calibration.choose import Expected, choose, expect, resample
from damcli.calibration.crossvalidate import hold_out
from damcli.calibration.fit import Fitted, development_terms, fit, units_of
from damcli.errors import UserError
from damcli.evaluation import DEFAULT_FARS, check_fars
from damcli.evaluation.counts import count_matches
from damcli.evaluation.sample import Side, sample
from damcli.lid.source import LidSource, lid_source
from damcli.metrics.calibrated import log_likelihood_ratio
from damcli.metrics.dam import Combination
from damcli.protocols.pairs import PairList
from damcli.scoring.all_pairs import AllPairs, AllPairScores
from damcli.scoring.calibrated import CALIBRATED
from damcli.scoring.matches import Matches
from damcli.scoring.score import ListedScores, score
from damcli.scoring.scorer import Metric
from damcli.storage.anchors import Anchors
from damcli.storage.calibration import Calibration
from damcli.storage.embeddings import MODEL_DIGEST, Embeddings
from damcli.storage.lidr import Lidr

LEAST_GENUINE, LEAST_IMPOSTORS = 20, 200
FEW_UNITS, FEW_IMPOSTORS = 100, 10_000
# Carried along as if they were scores, to be sampled with cosine and DAM.
LID_METRICS = (
    Metric("min LID", "min_lid", lambda t: np.minimum(t.probe_log_lid, t.reference_log_lid)),
    Metric("max LID", "max_lid", lambda t: np.maximum(t.probe_log_lid, t.reference_log_lid)),
)
_Progress = Callable[[int], None]


@dataclass(frozen=True)
class Calibrated:
    """What `calibrate` finds.

    Attributes
    ----------
    calibration
        To score with.
    expected
        What cross-validation lets one expect on other people.
    warnings
        What the user should know before trusting it.
    """

    calibration: Calibration
    expected: Expected
    warnings: tuple[str, ...]


def calibrate(
    pairs: PairList | AllPairs,
    embeddings: Embeddings,
    anchors: Anchors | None = None,
    *,
    lidr: Lidr | None = None,
    gallery: Embeddings | None = None,
    k: int | None = None,
    s: float | None = None,
    combine: Combination = "sum",
    prior: float = 0.5,
    folds: int = 5,
    fars: Sequence[float] = DEFAULT_FARS,
    resamples: int = 1000,
    seed: int = 0,
    progress: _Progress | None = None,
    **options: Any,
) -> Calibrated:
    """Fit a log-likelihood ratio of cosine and the LIDs to labelled development pairs.

    Four forms compete: cosine, log DAM, and a linear and a quadratic logistic model of
    cosine and the two LIDs. Subject-disjoint cross-validation chooses.

    Parameters
    ----------
    pairs
        A labelled list from `damcli.read_pairs`, or `damcli.all_pairs`; of people who are
        neither among the anchors nor in any test.
    embeddings, anchors, lidr, gallery, k, s, combine
        As for `damcli.score`; anchors or a lidr must be given.
    prior
        At which the log-likelihood ratios shall be calibrated best, between 0 and 1.
    folds
        Of the cross-validation, >= 3.
    fars
        False accept rates to report.
    resamples
        Bootstrap resamples of the intervals, >= 100: they also guard the choice.
    seed
        Of the folds, the sample and the resamples.
    progress
        Called with 1 after each cross-validated model.
    **options
        ``skip_missing``, ``allow_overlap``, ``allow_mixed_models``, ``reading`` and
        ``searching`` of `damcli.score`.

    Returns
    -------
    Calibrated
        The calibration, what to expect of it, and warnings.

    Raises
    ------
    InputError
        As `damcli.score`.
    UserError
        There are too few pairs or subjects, the pairs carry no labels, an option is out of
        its range, or genuine pairs are not more similar than impostor pairs.
    """
    _check_options(prior, folds, resamples, fars)
    source = lid_source(anchors, lidr, k=k, s=s)
    if source is None:
        raise UserError("no LIDs: expected anchors or a lidr", hint="give --anchors or --lidr")
    scores = score(
        pairs,
        embeddings,
        anchors,
        lidr=lidr,
        gallery=gallery,
        k=k,
        s=s,
        combine=combine,
        more_metrics=LID_METRICS,
        **options,
    )
    matches = _matches(scores)
    genuine, impostors = _sample(matches, fars, seed)
    warnings = _check_counts(matches, genuine, folds) + _told_missing(scores)
    held = hold_out(
        genuine,
        impostors,
        folds=folds,
        seed=seed,
        prior=prior,
        combine=combine,
        progress=progress,
    )
    resampled = resample(held, fars, matches.impostor_count, resamples=resamples, seed=seed)
    form = choose(resampled, units_of(genuine))
    fitted = fit(form, genuine, impostors, prior=prior, combine=combine)
    if _separable(fitted, genuine, impostors, combine):
        warnings.append(
            "every genuine pair outscores every impostor pair: how far the llr reach is set by "
            "the regularisation, not by the data"
        )
    expected = expect(
        form,
        held,
        resampled,
        fars,
        names=(matches.metrics[0], matches.metrics[1], CALIBRATED),
        prior=prior,
        folds=folds,
        seed=seed,
    )
    calibration = Calibration(
        form=form,
        coefficients=fitted.coefficients,
        lid_range=fitted.lid_range,
        prior=prior,
        combine=combine,
        lid=_lid(source, embeddings),
        counts={
            "genuine": matches.genuine_count,
            "impostors": matches.impostor_count,
            "subjects": matches.subject_count,
        },
        about={"damcli_version": __version__, "folds": folds, "seed": seed},
    )
    return Calibrated(calibration, expected, tuple(warnings))


def _check_options(prior: float, folds: int, resamples: int, fars: Sequence[float]) -> None:
    check_fars(fars)
    if not 0 < prior < 1:
        raise UserError(f"prior {prior:g}: expected a fraction between 0 and 1")
    if folds < 3:
        raise UserError(f"{folds} folds; expected 3 or more")
    if resamples < 100:
        raise UserError(f"{resamples} resamples; expected 100 or more")


def _matches(scores: ListedScores | AllPairScores) -> Matches:
    if not scores.labelled:
        raise UserError(
            "the pairs carry no labels, so nothing can be calibrated on them",
            hint="add a column label, 1 for genuine and 0 for impostor",
        )
    return scores.matches()


def _sample(matches: Matches, fars: Sequence[float], seed: int) -> tuple[Side, Side]:
    """Take all pairs, or a weighted sample that keeps the highest impostors of each column."""
    if not (matches.genuine_count and matches.impostor_count):
        raise _too_few(matches)
    counts = count_matches(matches, fars)
    return sample(matches, counts, seed)


def _too_few(matches: Matches) -> UserError:
    return UserError(
        f"{matches.genuine_count:,} genuine and {matches.impostor_count:,} impostor pairs; "
        f"expected at least {LEAST_GENUINE} and {LEAST_IMPOSTORS} to calibrate on",
        hint="give more development pairs, for example with --all-pairs",
    )


def _check_counts(matches: Matches, genuine: Side, folds: int) -> list[str]:
    """Refuse too few pairs; return what to warn of where there are few."""
    if matches.genuine_count < LEAST_GENUINE or matches.impostor_count < LEAST_IMPOSTORS:
        raise _too_few(matches)
    units = units_of(genuine)
    by_subject = matches.subject_count > 1
    if by_subject and units < 2 * folds:
        raise UserError(
            f"genuine pairs of {units} subjects; expected at least {2 * folds}, two for each of "
            f"{folds} folds",
            hint="give development pairs of more people",
        )
    warnings = []
    if not by_subject:
        warnings.append(
            "subjects are not known, so pairs are dealt into folds and resampled: people may "
            "stand on both sides, and what to expect is told too well"
        )
    if units < FEW_UNITS:
        what = "subjects with genuine pairs" if by_subject else "genuine pairs"
        warnings.append(f"few development pairs: {units} {what}; {FEW_UNITS} or more are better")
    if matches.impostor_count < FEW_IMPOSTORS:
        warnings.append(
            f"few development pairs: {matches.impostor_count:,} impostor pairs; below "
            f"{FEW_IMPOSTORS:,} they say nothing about FAR 1e-4"
        )
    return warnings


def _told_missing(scores: ListedScores | AllPairScores) -> list[str]:
    """Say which pairs were left out for want of an embedding."""
    missing = scores.missing if isinstance(scores, ListedScores) else []
    if not missing:
        return []
    named = ", ".join(f"'{pair.missing_id}' (row {pair.row})" for pair in missing[:3])
    more = " …" if len(missing) > 3 else ""
    return [f"{len(missing):,} pairs left out for want of an embedding: {named}{more}"]


def _separable(fitted: Fitted, genuine: Side, impostors: Side, combine: Combination) -> bool:
    llr = [
        log_likelihood_ratio(
            fitted.coefficients, development_terms(side, fitted.lid_range, combine)
        )
        for side in (genuine, impostors)
    ]
    return bool(llr[0].min() > llr[1].max())


def _lid(source: LidSource, embeddings: Embeddings) -> dict[str, Any]:
    """Describe the LIDs; the model is the embeddings' where these know it."""
    described = source.describe()
    model = embeddings.attributes.get(MODEL_DIGEST)
    return {**described, MODEL_DIGEST: model or described.get(MODEL_DIGEST)}
