"""Scores of pairs, from the embeddings of both sides and their LIDs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from damcli.metrics import all_similarities, log_dam, pair_similarities
from damcli.metrics.dam import Combination
from damcli.storage.embeddings import Embeddings, Rows

COSINE = "cosine"
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LidSettings:
    """How DAM is taken: neighbours, scale, form of Eq. 3, and whether its log is given."""

    k: int = 10
    s: float = 1.0
    combine: Combination = "sum"
    linear: bool = False


@dataclass(frozen=True)
class Scorer:
    """Scores pairs of probes and references.

    Attributes
    ----------
    probes, references
        The embeddings of the two sides; the same object where there is one set only.
    probe_log_lid, reference_log_lid
        (N,), (M,) float64; None for cosine alone.
    settings
        The s and the form that DAM is taken with.
    dam_name
        What to call the DAM score.
    """

    probes: Embeddings
    references: Embeddings
    probe_log_lid: Floats | None = None
    reference_log_lid: Floats | None = None
    settings: LidSettings = LidSettings()
    dam_name: str = "DAM"

    @property
    def metrics(self) -> tuple[str, ...]:
        """The names of the scores, cosine first."""
        return (COSINE,) if self.probe_log_lid is None else (COSINE, self.dam_name)

    def pairs(self, probe_rows: Rows, reference_rows: Rows) -> list[Floats]:
        """Score P listed pairs: one (P,) float64 array for each metric."""
        cosine = pair_similarities(
            self.probes.vectors, self.references.vectors, probe_rows, reference_rows
        )
        if self.probe_log_lid is None or self.reference_log_lid is None:
            return [cosine]
        return [
            cosine,
            self._dam(
                cosine, self.probe_log_lid[probe_rows], self.reference_log_lid[reference_rows]
            ),
        ]

    def block(self, probe_rows: slice, reference_rows: slice) -> list[Floats]:
        """Score every probe of a block with every reference of another: (n, m) arrays."""
        cosine = all_similarities(
            self.probes.vectors[probe_rows], self.references.vectors[reference_rows]
        )
        if self.probe_log_lid is None or self.reference_log_lid is None:
            return [cosine]
        return [
            cosine,
            self._dam(
                cosine,
                self.probe_log_lid[probe_rows, None],
                self.reference_log_lid[None, reference_rows],
            ),
        ]

    def _dam(self, cosine: Floats, probe_log_lid: Floats, reference_log_lid: Floats) -> Floats:
        scores = log_dam(
            cosine,
            probe_log_lid,
            reference_log_lid,
            s=self.settings.s,
            combine=self.settings.combine,
        )
        return np.exp(scores) if self.settings.linear else scores
