"""What an evaluation finds. Rates are fractions; reports turn them into percent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from damcli.evaluation.folds import FoldAccuracy
from damcli.evaluation.rates import OperatingPoint


class GroupAccuracy(NamedTuple):
    """The accuracy by folds of a group's pairs alone."""

    group: str
    accuracy: FoldAccuracy


class Interval(NamedTuple):
    """The ends of a 95 % interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Estimate:
    """A number, how sure it is, and how it differs from the baseline metric's.

    Attributes
    ----------
    value
        The number itself, from all pairs.
    interval
        Its 95 % interval; None where nothing was resampled.
    difference, difference_interval
        This metric minus the baseline, on the same resamples; None for the baseline.
    """

    value: float
    interval: Interval | None = None
    difference: float | None = None
    difference_interval: Interval | None = None


@dataclass(frozen=True)
class MetricResult:
    """All numbers of one metric.

    Attributes
    ----------
    name
        Of the metric.
    points
        One for each FAR asked for.
    tars
        The TAR of each point; None where the FAR allows no false accept.
    eer, auc, best_accuracy
        Equal error rate, area under the ROC, accuracy at the best single threshold.
    eer_threshold, best_threshold
        Where they are reached.
    folds
        Accuracy by folds; None where the pairs have none.
    group_folds
        The same for each group that the protocol knows, in its order.
    """

    name: str
    points: tuple[OperatingPoint, ...]
    tars: tuple[Estimate | None, ...]
    eer: Estimate
    eer_threshold: float
    auc: Estimate
    best_accuracy: Estimate
    best_threshold: float
    folds: FoldAccuracy | None
    group_folds: tuple[GroupAccuracy, ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The numbers of one or more metrics on the same pairs, the first being the baseline.

    Attributes
    ----------
    genuine, impostors
        Counts of pairs.
    subjects
        How many subjects there are; 0 where they are not known.
    resampled
        What the intervals resample.
    resamples, seed
        How often, and from which seed; 0 resamples mean no intervals.
    metrics
        One result a metric.
    is_distance
        Thresholds are distances: accept at or below them.
    leading
        What reports show first: TAR@FAR, or the accuracy over folds.
    groups
        What the groups of ``group_folds`` are.
    """

    genuine: int
    impostors: int
    subjects: int
    resampled: Literal["subjects", "pairs"]
    resamples: int
    seed: int
    metrics: tuple[MetricResult, ...]
    is_distance: bool = False
    leading: Literal["tar", "folds"] = "tar"
    groups: str = "groups"
