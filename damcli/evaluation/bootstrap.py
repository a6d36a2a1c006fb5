"""Resampling: how much each rate, and each difference between two metrics, would vary.

Pairs of one subject are not independent, so subjects are resampled where they are known: a
subject drawn w times weighs its genuine pairs by w, and an impostor pair by the product of
its two subjects' weights. Otherwise pairs are resampled. All metrics share the resamples.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from damcli.evaluation.counts import Floats
from damcli.evaluation.sample import Side

# Resamples worked on at a time: a block of weights for 200,000 pairs takes 13 MB.
_BLOCK = 8
Take = Callable[[Floats, Floats], Floats]
Progress = Callable[[int], None]
Weigh = Callable[[np.random.Generator, int], tuple[Floats, Floats]]


def bootstrap(
    genuine: Side,
    impostors: Side,
    fars: Sequence[float],
    *,
    resamples: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[Floats, Floats]:
    """Take every rate of every metric on each resample.

    Parameters
    ----------
    genuine, impostors
        The pairs, or a weighted sample of them.
    fars
        False accept rates.
    resamples
        How many, >= 1.
    seed
        Of the resamples; they do not depend on the number of threads.
    progress
        Called with the number of resamples done since the last call.

    Returns
    -------
    plain : ndarray
        (metrics, Q) float64, the rates of the sample itself: a TAR for each FAR, then EER,
        AUC and best accuracy.
    resampled : ndarray
        (resamples, metrics, Q) float64; NaN where a resample has no genuine or no
        impostor pair.
    """
    ranked = [_Ranked(metric, genuine, impostors, fars) for metric in range(len(genuine.scores))]

    def rates(*weights: Floats) -> Floats:
        return np.stack([one.rates(*weights) for one in ranked], axis=1)

    return rates(genuine.weights[None], impostors.weights[None])[0], resample(
        genuine, impostors, rates, resamples=resamples, seed=seed, progress=progress
    )


def resample(
    genuine: Side,
    impostors: Side,
    take: Take,
    *,
    resamples: int,
    seed: int,
    progress: Progress | None = None,
) -> Floats:
    """Take anything on each resample.

    Parameters
    ----------
    genuine, impostors
        The pairs, or a weighted sample of them.
    take
        Given B weightings of G genuine and I impostor pairs, (B, G) and (B, I) float64,
        returns (B, ...).
    resamples
        How many, >= 1.
    seed
        Of the resamples; they do not depend on the number of threads.
    progress
        Called with the number of resamples done since the last call.

    Returns
    -------
    ndarray
        (resamples, ...) float64, what ``take`` returned.
    """
    weigh = (
        _by_subject(genuine, impostors) if _has_subjects(genuine) else _by_pair(genuine, impostors)
    )
    sizes = [min(_BLOCK, resamples - start) for start in range(0, resamples, _BLOCK)]
    seeds = np.random.SeedSequence(seed).spawn(len(sizes))

    def run(block: int) -> Floats:
        return take(*weigh(np.random.default_rng(seeds[block]), sizes[block]))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = []
        for found in pool.map(run, range(len(sizes))):
            done.append(found)
            if progress is not None:
                progress(len(found))
    return np.concatenate(done)


def _has_subjects(side: Side) -> bool:
    return bool((side.probe_subjects >= 0).all())


def _by_subject(genuine: Side, impostors: Side) -> Weigh:
    present, codes = np.unique(
        np.concatenate(
            [
                genuine.probe_subjects,
                impostors.probe_subjects,
                impostors.reference_subjects,
            ]
        ),
        return_inverse=True,
    )
    split = np.cumsum([len(genuine.weights), len(impostors.weights)])
    own, probe, reference = np.split(codes, split)

    def weigh(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
        drawn = rng.multinomial(len(present), np.full(len(present), 1 / len(present)), size=count)
        drawn = drawn.astype(np.float64)
        return (
            drawn[:, own] * genuine.weights,
            drawn[:, probe] * drawn[:, reference] * impostors.weights,
        )

    return weigh


def _by_pair(genuine: Side, impostors: Side) -> Weigh:
    def weigh(rng: np.random.Generator, count: int) -> tuple[Floats, Floats]:
        drawn = [
            rng.poisson(side.weights, size=(count, len(side.weights))).astype(np.float64)
            for side in (genuine, impostors)
        ]
        return drawn[0], drawn[1]

    return weigh


class _Ranked:
    """The pairs in the order of one metric, with every place that a threshold can have.

    The best accuracy of a resample would be higher than that of all pairs by what luck adds
    to a maximum, so accuracy is taken at the threshold that is the best for all pairs.
    """

    def __init__(self, metric: int, genuine_side: Side, impostor_side: Side, fars: Sequence[float]):
        genuine, impostors = genuine_side.scores[metric], impostor_side.scores[metric]
        self._fars = fars
        self._orders = np.argsort(-genuine, kind="stable"), np.argsort(-impostors, kind="stable")
        falling = -genuine[self._orders[0]]
        self._impostors = -impostors[self._orders[1]]
        self._genuine = falling
        thresholds = np.unique(falling)
        self._genuine_at = np.searchsorted(falling, thresholds, "right")
        self._impostors_at = np.searchsorted(self._impostors, thresholds, "right")
        self._impostors_above = np.searchsorted(self._impostors, thresholds, "left")
        plain = genuine_side.weights[None], impostor_side.weights[None]
        self._best = int(self._accuracies(*map(_running, plain, self._orders))[0].argmax())

    def _accuracies(self, genuine: Floats, impostors: Floats) -> Floats:
        """Take the accuracy at each threshold, and last where all are refused: (B, T + 1)."""
        total = genuine[:, -1:] + impostors[:, -1:]
        right = genuine[:, self._genuine_at] + impostors[:, -1:] - impostors[:, self._impostors_at]
        return np.concatenate([right, impostors[:, -1:]], axis=1) / total

    def rates(self, genuine_weights: Floats, impostor_weights: Floats) -> Floats:
        """Take the rates of B weightings: (B, G) and (B, I) in, (B, Q) out."""
        genuine = _running(genuine_weights, self._orders[0])
        impostors = _running(impostor_weights, self._orders[1])
        empty = (genuine[:, -1] == 0) | (impostors[:, -1] == 0)
        with np.errstate(invalid="ignore", divide="ignore"):
            tar = genuine[:, self._genuine_at] / genuine[:, -1:]
            at = impostors[:, self._impostors_at] / impostors[:, -1:]
            above = impostors[:, self._impostors_above] / impostors[:, -1:]
            columns = [self._tar_at(far, genuine, impostors) for far in self._fars]
            columns.append(_equal_error(tar, at, above))
            columns.append(1 - (np.diff(tar, prepend=0) * (at + above) / 2).sum(axis=1))
            columns.append(self._accuracies(genuine, impostors)[:, self._best])
        rates = np.stack(columns, axis=1)
        rates[empty] = np.nan
        return rates

    def _tar_at(self, far: float, genuine: Floats, impostors: Floats) -> Floats:
        """Accept what scores above the first impostor that the budget has no room for."""
        tars = np.empty(len(genuine))
        for row, (accepted, spent) in enumerate(zip(genuine, impostors, strict=True)):
            budget = far * spent[-1] * (1 + 1e-12)
            refused = min(int(np.searchsorted(spent[1:], budget, "right")), len(spent) - 2)
            place = np.searchsorted(self._genuine, self._impostors[refused], "left")
            tars[row] = accepted[place] / accepted[-1]
        return tars


def _running(weights: Floats, order: NDArray[np.int64]) -> Floats:
    """Sum the weights from the highest score down, beginning with 0."""
    sums = np.zeros((len(weights), len(order) + 1))
    np.cumsum(weights[:, order], axis=1, out=sums[:, 1:])
    return sums


def _equal_error(tar: Floats, at: Floats, above: Floats) -> Floats:
    """Cross the ROC's polyline with FAR = 1 - TAR.

    Corners lie before and after each genuine score; between them, the line may rise with
    ties, and before the next one it runs level.
    """
    rows = np.arange(len(tar))
    before = np.concatenate([np.zeros((len(tar), 1)), tar[:, :-1]], axis=1)
    far = np.stack([above, at], axis=2).reshape(len(tar), -1)
    frr = 1 - np.stack([before, tar], axis=2).reshape(len(tar), -1)
    far = np.concatenate([np.zeros((len(tar), 1)), far, np.ones((len(tar), 1))], axis=1)
    frr = np.concatenate([np.ones((len(tar), 1)), frr, np.zeros((len(tar), 1))], axis=1)
    crossed = np.maximum(np.argmax(far >= frr, axis=1), 1)
    gap = frr - far
    left, right = gap[rows, crossed - 1], gap[rows, crossed]
    start, end = far[rows, crossed - 1], far[rows, crossed]
    return np.asarray(start + left / (left - right) * (end - start))
