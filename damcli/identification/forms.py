"""The scores that a search ranks by, and linear functions that none of them exceeds.

A search for the largest inner product finds the largest ``c + t·e``, where c is the cosine
and e a number of each gallery entry: it compares ``(f1, t)`` with ``(f2, e)``. Cosine is such
a function, and so is the product form of DAM. The sum form lies below one for each probe.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.metrics.dam import Combination, log_dam
from damcli.scoring.scorer import COSINE

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


class Form(NamedTuple):
    """A score: cosine where ``combine`` is None, else log DAM of that form."""

    name: str
    combine: Combination | None


class Lines(NamedTuple):
    """Of n probes: a score is at most ``scale · (c + slope · e) + constant``."""

    slope: Floats
    """(n,), in [0, 1]."""
    scale: float
    constant: Floats
    """(n,)."""


def forms_of(metric: str | None) -> tuple[Form, ...]:
    """List cosine, and both forms of DAM if a metric has LIDs: cosine, sum, product."""
    if metric is None:
        return (Form(COSINE, None),)
    return (Form(COSINE, None), Form(metric, "sum"), Form(f"{metric} product", "product"))


@dataclass(frozen=True, eq=False)
class GalleryTerms:
    """What the scores of M gallery entries are made of beside the cosine.

    Attributes
    ----------
    log_lid
        (M,) float64 log G of each entry; None for cosine alone.
    s
        Scale of Eq. 3, > 0.
    """

    log_lid: Floats | None
    s: float

    @property
    def _ends(self) -> tuple[float, float]:
        """The smallest and the largest -log G."""
        if self.log_lid is None:
            return 0.0, 0.0
        return float(-self.log_lid.max()), float(-self.log_lid.min())

    @property
    def centre(self) -> float:
        """The -log G at which e is 0."""
        low, high = self._ends
        return (low + high) / 2

    def extension(self, rows: slice) -> Floats:
        """Return e of some entries: -log G from the centre, on the scale of the cosine."""
        if self.log_lid is None:
            return np.zeros(rows.stop - rows.start)
        return (-self.log_lid[rows] - self.centre) / self.s

    @property
    def largest_extension(self) -> float:
        """The largest absolute value of e."""
        low, high = self._ends
        return (high - low) / (2 * self.s)

    def lines(self, form: Form, count: int, log_lid: Floats | None) -> Lines:
        """Bound a score of so many probes, whose log G is given.

        The sum form is ``s·c + log(1/G1 + 1/G2)``, convex in -log G2, so that the chord
        over the gallery's range of it lies above.
        """
        if form.combine is None or log_lid is None:
            return Lines(np.zeros(count), 1.0, np.zeros(count))
        if form.combine == "product":
            return Lines(np.ones(count), self.s, self.centre - log_lid)
        low, high = self._ends
        at_low, at_high = (np.logaddexp(-log_lid, end) for end in (low, high))
        slope = np.clip((at_high - at_low) / (high - low), 0, 1) if high > low else 0 * at_low
        middle = np.maximum(
            at_low + slope * (self.centre - low), at_high - slope * (high - self.centre)
        )
        return Lines(slope, self.s, middle)

    def scores(self, form: Form, cosine: Floats, probe_log_lid: Floats, rows: Rows) -> Floats:
        """Score pairs of probes and entries by their cosines."""
        if form.combine is None or self.log_lid is None:
            return cosine
        return log_dam(cosine, probe_log_lid, self.log_lid[rows], s=self.s, combine=form.combine)
