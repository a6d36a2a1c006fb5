"""Scores of pairs, from the embeddings of both sides and their LIDs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import UserError
from damcli.metrics import all_similarities, log_dam, pair_similarities
from damcli.metrics.dam import Combination
from damcli.storage.embeddings import Embeddings, Rows, Vectors

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


@dataclass(frozen=True, eq=False)
class Rival:
    """A score that brings statistics of its own for each embedding.

    Attributes
    ----------
    name
        What tables call it.
    column
        What files of scores call it.
    of
        Makes the scores from the cosine and the statistics of probes and references, all
        float64 that broadcast to one shape; higher = more similar.
    probe, reference
        The statistics: arrays of (N,) and of (M,) float64.
    vectors
        (N, D) and (M, D) float32 unit rows to take the cosine from; None for the embeddings.
    """

    name: str
    column: str
    of: Callable[[Floats, Sequence[Floats], Sequence[Floats]], Floats]
    probe: tuple[Floats, ...] = ()
    reference: tuple[Floats, ...] = ()
    vectors: tuple[Vectors, Vectors] | None = None


@dataclass(frozen=True)
class Scorer:
    """Scores pairs of probes and references by cosine, and by metrics that need more.

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
    rivals
        The scores that come after these.
    """

    probes: Embeddings
    references: Embeddings
    probe_log_lid: Floats | None = None
    reference_log_lid: Floats | None = None
    form: DamForm = DamForm()
    lid_metrics: tuple[Metric, ...] = ()
    rivals: tuple[Rival, ...] = ()

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the scores, cosine first."""
        return (COSINE, *(one.name for one in self.lid_metrics), *(one.name for one in self.rivals))

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the scores in files, cosine first."""
        lid_columns = (metric.column for metric in self.lid_metrics)
        return (COSINE, *lid_columns, *(rival.column for rival in self.rivals))

    def pairs(self, probe_rows: Rows, reference_rows: Rows) -> list[Floats]:
        """Score P listed pairs: one (P,) float64 array for each metric."""

        def similarities(probes: Vectors, references: Vectors) -> Floats:
            return pair_similarities(probes, references, probe_rows, reference_rows)

        return self._scores(similarities, probe_rows, reference_rows)

    def block(self, probe_rows: slice, reference_rows: slice) -> list[Floats]:
        """Score every probe of a block with every reference of another: (n, m) arrays."""

        def similarities(probes: Vectors, references: Vectors) -> Floats:
            return all_similarities(probes[probe_rows], references[reference_rows])

        return self._scores(similarities, (probe_rows, None), (None, reference_rows))

    def _scores(
        self, similarities: Callable[[Vectors, Vectors], Floats], probe: Any, reference: Any
    ) -> list[Floats]:
        """Score what ``similarities`` compares; the indices make statistics fit its shape."""
        cosine = similarities(self.probes.vectors, self.references.vectors)
        scores = [cosine]
        if self.probe_log_lid is not None and self.reference_log_lid is not None:
            lids = self.probe_log_lid[probe], self.reference_log_lid[reference]
            dam = log_dam(cosine, *lids, s=self.form.s, combine=self.form.combine)
            terms = PairTerms(cosine, dam, *lids)
            scores += [metric.of(terms) for metric in self.lid_metrics]
        for rival in self.rivals:
            own = cosine if rival.vectors is None else similarities(*rival.vectors)
            sides = (rival.probe, probe), (rival.reference, reference)
            scores.append(rival.of(own, *([one[rows] for one in side] for side, rows in sides)))
        return scores
