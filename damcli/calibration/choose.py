"""Which form to use, and what to expect of it, from the held-out scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from damcli.calibration.crossvalidate import HeldOut
from damcli.evaluation.bootstrap import bootstrap
from damcli.evaluation.counts import Floats, allowed_false_accepts
from damcli.evaluation.llr import LlrQuality, quality_of_arrays
from damcli.evaluation.results import Interval
from damcli.storage.calibration import FORMS

_CHOICE_FARS = (1e-4, 1e-3, 1e-2)
# With fewer false accepts than this, TAR hangs on a handful of pairs.
_ENOUGH = 5
_ENDS = (0.025, 0.975)
EER = "EER"
TAR = "TAR@FAR"


class Resampled(NamedTuple):
    """TAR at every FAR and EER of each form, and how they vary over people."""

    fars: tuple[float, ...]
    allowed: tuple[int, ...]
    """False accepts that each FAR allows."""
    rates: Floats
    """(forms, fars + 1)."""
    resamples: Floats
    """(resamples, forms, fars + 1)."""

    def difference(self, form: int, other: int, column: int) -> tuple[float, Interval]:
        """Return a form minus another, and its paired interval."""
        ends = np.nanquantile(
            self.resamples[:, form, column] - self.resamples[:, other, column], _ENDS
        )
        value = float(self.rates[form, column] - self.rates[other, column])
        return value, Interval(float(ends[0]), float(ends[1]))


class Difference(NamedTuple):
    """The calibrated score minus another, with a paired 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class ExpectedRow:
    """One quantity of the three scores; rates are fractions.

    Attributes
    ----------
    quantity, far
        ``TAR@FAR`` at a FAR, or ``EER``.
    values
        Of cosine, DAM and the calibrated score; None where the FAR allows no false accept.
    to_cosine, to_dam
        The differences of the calibrated score.
    """

    quantity: str
    far: float | None
    values: tuple[float, float, float] | None = None
    to_cosine: Difference | None = None
    to_dam: Difference | None = None


@dataclass(frozen=True)
class Expected:
    """What cross-validation lets one expect of the calibrated score on other people.

    Attributes
    ----------
    form
        The form that was chosen.
    names
        Of cosine, DAM and the calibrated score.
    rows
        TAR at each FAR, then EER.
    quality
        Of the held-out log-likelihood ratios.
    folds, resamples, seed
        Of the cross-validation and its intervals.
    resampled
        ``subjects`` or ``pairs``.
    """

    form: str
    names: tuple[str, str, str]
    rows: tuple[ExpectedRow, ...]
    quality: LlrQuality
    folds: int
    resamples: int
    seed: int
    resampled: str


def resample(
    held: HeldOut, fars: Sequence[float], impostors: int, *, resamples: int, seed: int
) -> Resampled:
    """Take the rates of all forms on the held-out pairs and on resamples of their people.

    Cosine and DAM stand for the forms that order pairs as they do.
    """
    rows = [0, 1, *(held.row(form) for form in FORMS if form not in ("cosine", "dam"))]
    sides = [side._replace(scores=side.scores[rows]) for side in (held.genuine, held.impostors)]
    every = tuple(sorted({*fars, *_CHOICE_FARS}))
    plain, found = bootstrap(sides[0], sides[1], every, resamples=resamples, seed=seed)
    wanted = slice(0, len(every) + 1)
    allowed = tuple(allowed_false_accepts(far, impostors) for far in every)
    return Resampled(every, allowed, plain[:, wanted], found[:, :, wanted])


def choose(resampled: Resampled, units: int) -> str:
    """Choose the form that misses least, and that is not surely worse than cosine or DAM.

    A form is out if it is significantly worse than cosine or DAM at FAR 1e-4, 1e-3, 1e-2 or
    EER. Of the others, the one with the lowest mean logarithm of the miss rates there wins.

    Parameters
    ----------
    resampled
        Held-out rates.
    units
        How many independent units the genuine pairs make.
    """
    eer = len(resampled.fars)
    points = [
        place
        for place, far in enumerate(resampled.fars)
        if far in _CHOICE_FARS and resampled.allowed[place] >= _ENOUGH
    ]
    misses = np.concatenate([1 - resampled.rates[:, points], resampled.rates[:, eer:]], axis=1)
    cost = np.log(misses + 0.5 / units).mean(axis=1)
    sound = [
        form for form in range(len(FORMS)) if not _is_worse(resampled, form, points, eer)
    ] or list(range(len(FORMS)))
    return tuple(FORMS)[min(sound, key=lambda form: cost[form])]


def _is_worse(resampled: Resampled, form: int, points: Sequence[int], eer: int) -> bool:
    """Whether a rich form is significantly worse than cosine or DAM at any point."""
    if form < 2:
        return False
    return any(
        resampled.difference(form, simple, point)[1].high < 0
        for simple in (0, 1)
        for point in points
    ) or any(resampled.difference(form, simple, eer)[1].low > 0 for simple in (0, 1))


def expect(
    form: str,
    held: HeldOut,
    resampled: Resampled,
    fars: Sequence[float],
    *,
    names: tuple[str, str, str],
    prior: float,
    folds: int,
    seed: int,
) -> Expected:
    """Lay out what the held-out pairs say about the chosen form."""
    mine = tuple(FORMS).index(form)
    columns = [resampled.fars.index(far) for far in fars]
    rows = [_row(TAR, resampled.fars[c], resampled, mine, c) for c in columns]
    rows.append(_row(EER, None, resampled, mine, len(resampled.fars)))
    sides = [(side.scores[held.row(form)], side.weights) for side in (held.genuine, held.impostors)]
    return Expected(
        form=form,
        names=names,
        rows=tuple(rows),
        quality=quality_of_arrays(sides[0], sides[1], prior),
        folds=folds,
        resamples=len(resampled.resamples),
        seed=seed,
        resampled="subjects" if (held.genuine.probe_subjects >= 0).all() else "pairs",
    )


def _row(
    quantity: str, far: float | None, resampled: Resampled, mine: int, column: int
) -> ExpectedRow:
    if far is not None and resampled.allowed[column] == 0:
        return ExpectedRow(quantity, far)
    differences = []
    for other in (0, 1):
        value, (low, high) = resampled.difference(mine, other, column)
        differences.append(Difference(value, low, high))
    cosine, dam, calibrated = (float(resampled.rates[form, column]) for form in (0, 1, mine))
    return ExpectedRow(quantity, far, (cosine, dam, calibrated), *differences)
