"""CMC and TPIR at FPIR from searches, and how much they would vary with other probes.

A non-mated probe is a false positive where its highest score reaches the threshold; FPIR is
their share among the non-mated probes. TPIR is the share of mated probes whose mate stands
within a rank and reaches the threshold, 1 - FNIR of ISO/IEC 19795-1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from damcli.evaluation.counts import Floats, MatchCounts
from damcli.evaluation.evaluate import around, wilson
from damcli.evaluation.rates import OperatingPoint, operating_point
from damcli.evaluation.results import Estimate
from damcli.identification.forms import Rows
from damcli.identification.search import Searches

# Resamples worked on at a time.
_BLOCK = 32
Progress = Callable[[int], None]


def point_at(found: Searches, metric: int, fpir: float, within: int) -> OperatingPoint:
    """Find the smallest threshold with at most floor(FPIR × non-mated) false positives.

    Returns
    -------
    OperatingPoint
        ``far`` stands for FPIR and ``tar`` for TPIR.
    """
    hit = found.ranks[metric, found.mated] <= within
    others = found.other_scores[metric, ~found.mated]
    nothing = np.empty(0, dtype=np.int64)
    counts = MatchCounts(
        genuine=np.sort(np.where(hit, found.mate_scores[metric, found.mated], -np.inf)),
        accepted_at=nothing,
        accepted_above=nothing,
        top=np.sort(others)[::-1],
        impostors=len(others),
    )
    return operating_point(counts, fpir)


class Rates:
    """The rates of searches for any weights of the probes.

    Parameters
    ----------
    found
        The searches of the same probes in one or more galleries.
    ranks, fpirs, within
        As `damcli.identification.results.Identification` has them.
    """

    def __init__(
        self, found: Sequence[Searches], ranks: Sequence[int], fpirs: Sequence[float], within: int
    ) -> None:
        self._found, self._ranks, self._fpirs, self._within = found, ranks, fpirs, within

    def of(self, weights: Floats) -> Floats:
        """Take the means over the galleries: (B, P) in, (B, F, ranks + FPIRs) out.

        NaN where a weighting leaves a gallery no mated or no non-mated probe.
        """
        return np.asarray(np.mean([self._of_one(one, weights) for one in self._found], axis=0))

    def _of_one(self, found: Searches, weights: Floats) -> Floats:
        mated, others = weights[:, found.mated], weights[:, ~found.mated]
        total = mated.sum(axis=1)
        columns = []
        for ranks, mates, highest in zip(
            found.ranks[:, found.mated],
            found.mate_scores[:, found.mated],
            found.other_scores[:, ~found.mated],
            strict=True,
        ):
            hits = [mated @ (ranks <= rank) for rank in self._ranks]
            close = np.where(ranks <= self._within, mates, -np.inf)
            hits += [self._accepted(mated, close, others, highest, fpir) for fpir in self._fpirs]
            columns.append(np.stack(hits, axis=1))
        with np.errstate(invalid="ignore"):
            return np.asarray(np.stack(columns, axis=1) / total[:, None, None])

    def _accepted(
        self, mated: Floats, mates: Floats, others: Floats, highest: Floats, fpir: float
    ) -> Floats:
        """Weigh the mates above the first non-mated probe that the budget has no room for."""
        accepted = np.full(len(mated), np.nan)
        order = np.argsort(-highest, kind="stable")
        for row, spent in enumerate(np.cumsum(others[:, order], axis=1)):
            if len(spent) and spent[-1] > 0:
                budget = fpir * spent[-1] * (1 + 1e-12)
                refused = min(int(np.searchsorted(spent, budget, "right")), len(spent) - 1)
                accepted[row] = mated[row] @ (mates > highest[order[refused]])
        return accepted


def resampled(
    rates: Rates,
    subjects: Rows,
    *,
    resamples: int,
    seed: int,
    progress: Progress | None = None,
) -> Floats:
    """Take the rates with the probes of resampled subjects; the galleries stay as they are.

    Parameters
    ----------
    rates
        What to take.
    subjects
        (P,) numbers from 0 on of the subjects that the probes show.
    resamples, seed
        How many, and from which seed.
    progress
        Called with the resamples done since the last call.

    Returns
    -------
    ndarray
        (resamples, F, ranks + FPIRs) float64.
    """
    count = int(subjects.max()) + 1
    rng = np.random.default_rng(seed)
    done = []
    for start in range(0, resamples, _BLOCK):
        size = min(_BLOCK, resamples - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=size)
        done.append(rates.of(drawn[:, subjects].astype(np.float64)))
        if progress is not None:
            progress(size)
    return np.concatenate(done)


def estimates(values: Floats, resamples: Floats | None, units: int) -> list[list[Estimate | None]]:
    """Put intervals around rates, and around their differences to the first score's.

    Parameters
    ----------
    values
        (F, Q) rates; NaN where there is none.
    resamples
        (R, F, Q) the same on each resample.
    units
        How many subjects the mated probes show: where no resample moves a rate, its interval
        is Wilson's for so many trials.
    """
    return [
        [
            None if np.isnan(value) else _estimate(values, resamples, units, metric, place)
            for place, value in enumerate(row)
        ]
        for metric, row in enumerate(values)
    ]


def _estimate(
    values: Floats, resamples: Floats | None, units: int, metric: int, place: int
) -> Estimate:
    value = float(values[metric, place])
    difference = value - float(values[0, place]) if metric else None
    if resamples is None:
        return Estimate(value, difference=difference)
    moved = resamples[:, :, place] - values[:, place]
    interval = around(value, moved[:, metric], 0, 1)
    if interval.low == interval.high:
        interval = wilson(value, units)
    if difference is None:
        return Estimate(value, interval)
    paired = around(difference, moved[:, metric] - moved[:, 0], -1, 1)
    return Estimate(value, interval, difference, paired)
