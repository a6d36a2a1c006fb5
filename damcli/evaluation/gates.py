"""Gates: whether an evaluation meets what was required of it, and why not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from damcli.errors import UserError
from damcli.evaluation.rates import impostors_needed
from damcli.evaluation.requirements import ACCURACY, AUC, EER, FAR, TAR, Requirement
from damcli.evaluation.results import Estimate, Evaluation, Interval, MetricResult
from damcli.evaluation.thresholds import Decisions, main_score

NOT_WORSE = "not worse"


@dataclass(frozen=True)
class Verdict:
    """The outcome of one requirement.

    Attributes
    ----------
    requirement
        As it was written, or ``not worse``.
    score
        The score that was judged.
    quantity, far
        What was judged: for ``not worse`` the first quantity that is worse, if any.
    value, interval
        What was found: a rate, or for ``not worse`` a difference; None where it could not be
        measured. The interval is of 95 %.
    passed
        Whether the requirement is met. What cannot be measured is not.
    impostors_needed
        How many impostor pairs the measurement would take; None where it was made.
    """

    requirement: str
    score: str
    quantity: str | None
    far: float | None
    value: float | None
    interval: Interval | None
    passed: bool
    impostors_needed: int | None = None


def judge(
    evaluation: Evaluation,
    requirement: Requirement,
    *,
    at_threshold: tuple[str, Decisions] | None = None,
) -> Verdict:
    """Hold one requirement against an evaluation.

    Parameters
    ----------
    evaluation
        It must have been made with the requirement's FAR among its FARs.
    requirement
        The bound.
    at_threshold
        A score and what a given threshold accepts by it; for TAR and FAR without a rate.

    Raises
    ------
    UserError
        There is no such score, or no threshold was given.
    """
    names = [metric.name for metric in evaluation.metrics]
    check_requirement(requirement, names, None if at_threshold is None else at_threshold[0])
    if requirement.at_threshold:
        assert at_threshold is not None
        return _judge_decisions(requirement, *at_threshold)
    metric = _metric(
        evaluation, main_score(names) if requirement.score is None else requirement.score
    )
    quantity, estimate = _quantity(metric, requirement)
    if estimate is None:
        assert requirement.far is not None
        return Verdict(
            *(requirement.text, metric.name, quantity, requirement.far, None, None, False),
            impostors_needed=impostors_needed(requirement.far),
        )
    return Verdict(
        requirement.text,
        metric.name,
        quantity,
        requirement.far,
        estimate.value,
        estimate.interval,
        requirement.holds(estimate.value),
    )


def judge_not_worse(evaluation: Evaluation, score: str) -> list[Verdict]:
    """Compare a score with the evaluation's baseline.

    Parameters
    ----------
    evaluation
        Its first metric is the baseline.
    score
        The metric to judge.

    Returns
    -------
    list of Verdict
        One that failed for each FAR at which the paired interval of the TAR's difference lies
        below 0, and for the EER where its interval lies above 0; one that passed where there
        are none.
    """
    metric = _metric(evaluation, score)
    judged: list[tuple[str, float | None, Estimate, float]] = [
        (TAR, point.far, estimate, 1.0)
        for point, estimate in zip(metric.points, metric.tars, strict=True)
        if estimate is not None
    ]
    judged.append((EER, None, metric.eer, -1.0))
    worse = [
        Verdict(
            NOT_WORSE, score, name, far, estimate.difference, estimate.difference_interval, False
        )
        for name, far, estimate, better in judged
        if _is_worse(estimate.difference_interval, better)
    ]
    return worse or [Verdict(NOT_WORSE, score, None, None, None, None, True)]


def _is_worse(interval: Interval | None, better: float) -> bool:
    if interval is None:
        raise UserError("nothing was resampled; expected intervals of the differences")
    return max(better * interval.low, better * interval.high) < 0


def _metric(evaluation: Evaluation, score: str) -> MetricResult:
    return next(metric for metric in evaluation.metrics if metric.name == score)


def _quantity(metric: MetricResult, requirement: Requirement) -> tuple[str, Estimate | None]:
    if requirement.quantity == TAR:
        places = [point.far for point in metric.points]
        assert requirement.far is not None
        return TAR, metric.tars[places.index(requirement.far)]
    if requirement.quantity == ACCURACY and metric.folds is not None:
        return "accuracy over folds", Estimate(metric.folds.mean)
    return {
        EER: (EER, metric.eer),
        AUC: (AUC, metric.auc),
        ACCURACY: ("best accuracy", metric.best_accuracy),
    }[requirement.quantity]


def _judge_decisions(requirement: Requirement, score: str, decisions: Decisions) -> Verdict:
    estimate = decisions.far if requirement.quantity == FAR else decisions.tar
    return Verdict(
        requirement.text,
        score,
        requirement.quantity,
        None,
        estimate.value,
        estimate.interval,
        requirement.holds(estimate.value),
    )


def check_requirement(
    requirement: Requirement, metrics: Sequence[str], threshold_score: str | None
) -> None:
    """Refuse a requirement that could not be judged, before any work is done.

    Parameters
    ----------
    requirement
        The requirement.
    metrics
        The scores that are evaluated.
    threshold_score
        The score that a threshold is given for; None without one.

    Raises
    ------
    UserError
        It names a score that is not evaluated, or needs a threshold.
    """
    text = f"requirement '{requirement.text}'"
    if requirement.at_threshold and threshold_score is None:
        raise UserError(
            f"{text}: {requirement.quantity} without a rate is that at a given threshold",
            hint="add --threshold threshold.json, or require TAR@1e-4",
        )
    known = [str(threshold_score)] if requirement.at_threshold else list(metrics)
    if requirement.score is not None and requirement.score not in known:
        raise UserError(
            f"{text} is on '{requirement.score}'; expected {' or '.join(known)}",
            hint="name a column that is evaluated: --score NAME",
        )


def fars_of(requirements: Sequence[Requirement]) -> list[float]:
    """List the FARs that an evaluation must have for requirements to be judged."""
    return sorted({one.far for one in requirements if one.far is not None})
