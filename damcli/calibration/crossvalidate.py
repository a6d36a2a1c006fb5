"""What to expect of a calibrated score on people that it was not fitted to.

Subjects are dealt into folds. A pair is scored by a model that was fitted without the folds
of both its subjects, so that every pair is used and nobody is scored by a model that saw
them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.calibration.fit import DAM_ROW, development_terms, fit
from damcli.errors import UserError
from damcli.evaluation.sample import Side
from damcli.metrics.calibrated import Floats, log_likelihood_ratio
from damcli.metrics.dam import Combination
from damcli.storage.calibration import FORMS

Folds = NDArray[np.int64]


class HeldOut(NamedTuple):
    """Development pairs with cosine, log DAM, and the held-out llr of each form."""

    genuine: Side
    impostors: Side

    def row(self, form: str) -> int:
        """Return the row of scores that a form has."""
        return DAM_ROW + 1 + tuple(FORMS).index(form)


def subject_folds(genuine: Side, impostors: Side, folds: int, seed: int) -> Folds:
    """Deal subjects into folds, those with genuine pairs first, so that every fold has some.

    Returns
    -------
    ndarray
        The fold of each subject number, int64.
    """
    rng = np.random.default_rng(seed)
    paired = np.unique(genuine.probe_subjects)
    everyone = np.concatenate([impostors.probe_subjects, impostors.reference_subjects])
    rest = np.setdiff1d(everyone, paired)
    dealt = np.concatenate([rng.permutation(paired), rng.permutation(rest)])
    fold = np.full(int(dealt.max()) + 1, -1, dtype=np.int64)
    fold[dealt] = np.arange(len(dealt)) % folds
    return fold


def pair_folds(side: Side, folds: int, seed: int) -> Folds:
    """Deal pairs into folds, where subjects are not known."""
    return np.random.default_rng(seed).permutation(np.arange(len(side.weights)) % folds)


def folds_of(genuine: Side, impostors: Side, folds: int, seed: int) -> tuple[Folds, Folds]:
    """Return (2, G) and (2, I): the folds of both subjects of each pair."""
    if (genuine.probe_subjects >= 0).all():
        fold = subject_folds(genuine, impostors, folds, seed)
        mine = fold[genuine.probe_subjects]
        theirs = fold[np.stack([impostors.probe_subjects, impostors.reference_subjects])]
        return np.stack([mine, mine]), np.sort(theirs, axis=0)
    dealt = [pair_folds(side, folds, seed) for side in (genuine, impostors)]
    return np.stack([dealt[0]] * 2), np.stack([dealt[1]] * 2)


def hold_out(
    genuine: Side,
    impostors: Side,
    *,
    folds: int,
    seed: int,
    prior: float,
    combine: Combination,
    progress: Callable[[int], None] | None = None,
) -> HeldOut:
    """Score every development pair by models that saw neither of its subjects.

    Parameters
    ----------
    genuine, impostors
        The pairs, as `damcli.calibration.fit.fit` takes them.
    folds, seed
        How many folds, >= 3, and the seed of dealing them.
    prior, combine
        As for `damcli.calibration.fit.fit`.
    progress
        Called with 1 after each model.

    Raises
    ------
    UserError
        There are too few pairs for so many folds.
    """
    sides = (genuine, impostors)
    of_pairs = folds_of(genuine, impostors, folds, seed)
    held = [np.full((len(FORMS), len(side.weights)), np.nan) for side in sides]
    for first in range(folds):
        for second in range(first, folds):
            inside = [np.asarray((f[0] == first) & (f[1] == second)) for f in of_pairs]
            if not any(mask.any() for mask in inside):
                continue
            known = [
                take(side, np.asarray(~np.isin(f, (first, second)).any(axis=0)))
                for side, f in zip(sides, of_pairs, strict=True)
            ]
            _require_pairs(known)
            for row, form in enumerate(FORMS):
                model = fit(form, *known, prior=prior, combine=combine)
                for scores, side, mask in zip(held, sides, inside, strict=True):
                    terms = development_terms(take(side, mask), model.lid_range, combine)
                    scores[row, mask] = log_likelihood_ratio(model.coefficients, terms)
            if progress is not None:
                progress(1)
    return HeldOut(*(_with(side, llr) for side, llr in zip(sides, held, strict=True)))


def _require_pairs(known: list[Side]) -> None:
    for side, what in zip(known, ("genuine", "impostor"), strict=True):
        if not len(side.weights):
            raise UserError(
                f"no {what} pair is left outside two folds, so nothing can be fitted there",
                hint="give more development pairs, for example with --all-pairs, or more --folds",
            )


def take(side: Side, mask: NDArray[np.bool_]) -> Side:
    """Return some of the pairs."""
    return Side(
        side.scores[:, mask],
        side.weights[mask],
        side.probe_subjects[mask],
        side.reference_subjects[mask],
    )


def _with(side: Side, llr: Floats) -> Side:
    return side._replace(scores=np.concatenate([side.scores[: DAM_ROW + 1], llr]))
