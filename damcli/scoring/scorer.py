"""Scores of pairs, from the embeddings of both sides and their LIDs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import UserError
from damcli.metrics import all_similarities, log_dam, pair_similarities
from damcli.metrics.dam import Combination
from damcli.storage.embeddings import Embeddings, Rows

COSINE = "cosine"
SCORE_COLUMN = "score"
Floats = NDArray[np.float64]


class PairTerms(NamedTuple):
    """What the scores of pairs are made of: float64 arrays that broadcast to one shape."""

    cosine: Floats
    log_dam: Floats
    probe_log_lid: Floats
    reference_log_lid: Floats


@dataclass(frozen=True)
class Metric:
    """A score that is made of `PairTerms`.

    Attributes
    ----------
    name
        What tables call it.
    column
        What files of scores call it.
    of
        Makes the scores, of the terms' broadcast shape; higher = more similar.
    """

    name: str
    column: str
    of: Callable[[PairTerms], Floats]


@dataclass(frozen=True)
class DamForm:
    """How DAM is taken: scale, form of Eq. 3, and whether its logarithm is given."""

    s: float = 1.0
    combine: Combination = "sum"
    linear: bool = False

    def metric(self, name: str) -> Metric:
        """Return DAM of this form as a metric."""
        return Metric(name, SCORE_COLUMN, self._of_terms)

    def _of_terms(self, terms: PairTerms) -> Floats:
        if not self.linear:
            return terms.log_dam
        with np.errstate(over="ignore"):
            scores: Floats = np.exp(terms.log_dam)
        if not (np.isfinite(scores) & (scores > 0)).all():
            raise UserError(
                f"Eq. 3 itself is beyond float64 at s = {self.s:g}; expected a smaller s",
                hint="leave out --linear: the logarithm orders pairs the same way",
            )
        return scores


@dataclass(frozen=True)
class Scorer:
    """Scores pairs of probes and references by cosine, and by metrics that need the LIDs.

    Attributes
    ----------
    probes, references
        The embeddings of the two sides; the same object where there is one set only.
    probe_log_lid, reference_log_lid
        (N,), (M,) float64; None for cosine alone.
    form
        The form of Eq. 3 that ``log_dam`` has.
    lid_metrics
        The scores that come after cosine; none where there are no LIDs.
    """

    probes: Embeddings
    references: Embeddings
    probe_log_lid: Floats | None = None
    reference_log_lid: Floats | None = None
    form: DamForm = DamForm()
    lid_metrics: tuple[Metric, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the scores, cosine first."""
        return (COSINE, *(metric.name for metric in self.lid_metrics))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the scores in files, cosine first."""
        return (COSINE, *(metric.column for metric in self.lid_metrics))

    def pairs(self, probe_rows: Rows, reference_rows: Rows) -> list[Floats]:
        """Score P listed pairs: one (P,) float64 array for each metric."""
        cosine = pair_similarities(
            self.probes.vectors, self.references.vectors, probe_rows, reference_rows
        )
        if self.probe_log_lid is None or self.reference_log_lid is None:
            return [cosine]
        return self._scores(
            cosine, self.probe_log_lid[probe_rows], self.reference_log_lid[reference_rows]
        )

    def block(self, probe_rows: slice, reference_rows: slice) -> list[Floats]:
        """Score every probe of a block with every reference of another: (n, m) arrays."""
        cosine = all_similarities(
            self.probes.vectors[probe_rows], self.references.vectors[reference_rows]
        )
        if self.probe_log_lid is None or self.reference_log_lid is None:
            return [cosine]
        return self._scores(
            cosine,
            self.probe_log_lid[probe_rows, None],
            self.reference_log_lid[None, reference_rows],
        )

    def _scores(self, cosine: Floats, probe: Floats, reference: Floats) -> list[Floats]:
        dam = log_dam(cosine, probe, reference, s=self.form.s, combine=self.form.combine)
        terms = PairTerms(cosine, dam, probe, reference)
        return [cosine, *(metric.of(terms) for metric in self.lid_metrics)]
