"""Accuracy by folds: the threshold is chosen on all other folds (LFW's protocol)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from damcli.errors import InputError
from damcli.evaluation.counts import Floats
from damcli.evaluation.rates import best_threshold
from damcli.scoring.matches import Matches


class FoldAccuracy(NamedTuple):
    """Mean accuracy over folds, its standard error, and the number of folds."""

    mean: float
    standard_error: float
    folds: int


def fold_accuracies(matches: Matches) -> list[FoldAccuracy]:
    """Take the accuracy of each fold at the best threshold of the others, for each metric.

    Folds are those of the pair list, never shuffled.
    """
    genuine = [(chunk.scores, chunk.folds) for chunk in matches.genuine()]
    impostors = [(chunk.scores, chunk.folds) for chunk in matches.impostors()]
    sides = [
        (np.concatenate([s for s, _ in side], axis=1), np.concatenate([f for _, f in side]))
        for side in (genuine, impostors)
    ]
    return [
        _accuracy(
            matches.origin, sides[0][0][metric], sides[0][1], sides[1][0][metric], sides[1][1]
        )
        for metric in range(len(matches.metrics))
    ]


def _accuracy(
    origin: str,
    genuine: Floats,
    genuine_folds: Floats,
    impostors: Floats,
    impostor_folds: Floats,
) -> FoldAccuracy:
    shares = []
    for fold in np.unique(np.concatenate([genuine_folds, impostor_folds])):
        mine, theirs = genuine_folds == fold, impostor_folds == fold
        if mine.all() or theirs.all():
            raise InputError(
                origin,
                "one fold holds all genuine or all impostor pairs, so no threshold can be chosen "
                "on the others",
                hint="spread both over at least two folds, or drop the fold column",
            )
        threshold = _midway(np.sort(genuine[~mine]), np.sort(impostors[~theirs]))
        right = (genuine[mine] >= threshold).sum() + (impostors[theirs] < threshold).sum()
        shares.append(right / (mine.sum() + theirs.sum()))
    return FoldAccuracy(
        float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(len(shares))), len(shares)
    )


def _midway(genuine: Floats, impostors: Floats) -> float:
    """Put the best threshold midway between the lowest score it accepts and the next below."""
    accepted_at = len(impostors) - np.searchsorted(impostors, genuine, "left")
    lowest = best_threshold(genuine, accepted_at, len(impostors)).threshold
    below = np.concatenate([genuine[genuine < lowest][-1:], impostors[impostors < lowest][-1:]])
    return lowest if not len(below) else (lowest + float(below.max())) / 2
