"""Rates of one metric from its match counts: TAR@FAR, EER, AUC, best accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from damcli.evaluation.counts import Counts, Floats, MatchCounts, allowed_false_accepts


@dataclass(frozen=True)
class OperatingPoint:
    """The smallest threshold that keeps to a FAR, and what it accepts.

    Attributes
    ----------
    far
        The false accept rate asked for.
    allowed
        floor(FAR × impostors), how many false accepts that allows.
    threshold
        Accept when score >= threshold; None where ``allowed`` is 0, like all below.
    false_accepts, true_accepts
        Counts at the threshold.
    achieved_far, tar
        The same as fractions of impostors and of genuine pairs.
    """

    far: float
    allowed: int
    threshold: float | None = None
    false_accepts: int | None = None
    true_accepts: int | None = None
    achieved_far: float | None = None
    tar: float | None = None


@dataclass(frozen=True)
class ThresholdedRate:
    """A rate and the threshold it is reached at."""

    rate: float
    threshold: float


def operating_point(counts: MatchCounts, far: float) -> OperatingPoint:
    """Find the conservative threshold: at most floor(FAR × impostors) accepted, ties included."""
    allowed = allowed_false_accepts(far, counts.impostors)
    if allowed == 0:
        return OperatingPoint(far, 0)
    first_refused = counts.top[allowed]
    false_accepts = int(np.searchsorted(-counts.top, -first_refused, "left"))
    true_accepts = len(counts.genuine) - int(
        np.searchsorted(counts.genuine, first_refused, "right")
    )
    return OperatingPoint(
        far=far,
        allowed=allowed,
        threshold=float(np.nextafter(first_refused, np.inf)),
        false_accepts=false_accepts,
        true_accepts=true_accepts,
        achieved_far=false_accepts / counts.impostors,
        tar=true_accepts / len(counts.genuine),
    )


def impostors_needed(far: float) -> int:
    """Return how many impostor pairs it takes for a FAR to allow one false accept."""
    return math.ceil(1 / Fraction(str(far)))


def equal_error_rate(counts: MatchCounts) -> ThresholdedRate:
    """Find where the ROC's polyline crosses FAR = 1 - TAR."""
    false_accepts, misses = _polyline(counts)
    far = false_accepts / counts.impostors
    frr = misses / len(counts.genuine)
    crossed = int(np.flatnonzero(far >= frr)[0])
    gap = frr - far
    share = gap[crossed - 1] / (gap[crossed - 1] - gap[crossed])
    rate = far[crossed - 1] + share * (far[crossed] - far[crossed - 1])
    # Two corners of the polyline belong to each genuine score, after the one for "accept none".
    score = counts.genuine[::-1][(crossed - 1) // 2] if crossed <= 2 * len(counts.genuine) else None
    threshold = -np.inf if score is None else score
    return ThresholdedRate(float(rate), float(threshold))


def _polyline(counts: MatchCounts) -> tuple[Counts, Counts]:
    """Walk the ROC's corners from "accept none" to "accept all": false accepts and misses."""
    total = len(counts.genuine)
    at = total - np.searchsorted(counts.genuine, counts.genuine, "left")
    above = total - np.searchsorted(counts.genuine, counts.genuine, "right")
    accepted = np.stack([above[::-1], at[::-1]], axis=1).ravel()
    false_accepts = np.stack(
        [counts.accepted_above[::-1], counts.accepted_at[::-1]], axis=1
    ).ravel()
    return (
        np.concatenate([[0], false_accepts, [counts.impostors]]),
        total - np.concatenate([[0], accepted, [total]]),
    )


def area_under_roc(counts: MatchCounts) -> float:
    """Return the chance that a genuine pair outscores an impostor pair, ties counting half."""
    accepted = counts.accepted_at.sum(dtype=np.float64) + counts.accepted_above.sum(
        dtype=np.float64
    )
    return float(1 - accepted / (2.0 * counts.impostors * len(counts.genuine)))


def best_accuracy(counts: MatchCounts) -> ThresholdedRate:
    """Return the highest share of right decisions that any one threshold reaches."""
    return best_threshold(counts.genuine, counts.accepted_at, counts.impostors)


def best_threshold(genuine: Floats, accepted_at: Counts, impostors: int) -> ThresholdedRate:
    """Find the most accurate threshold; it is always a genuine score, or above them all."""
    total = len(genuine) + impostors
    true_accepts = len(genuine) - np.searchsorted(genuine, genuine, "left")
    right = true_accepts + (impostors - accepted_at)
    best = int(np.argmax(right))
    if right[best] < impostors:
        return ThresholdedRate(impostors / total, np.inf)
    return ThresholdedRate(float(right[best] / total), float(genuine[best]))
