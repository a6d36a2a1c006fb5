"""How anchors look from the embeddings that they serve, and from each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from damcli.lid.discrepancy import log_lid
from damcli.lid.neighbours import nearest_anchors
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings, Rows

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
RANKS = 300
_ROWS = 5_000
_FAR_APART = 0.9
Floats = NDArray[np.float64]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Outlook:
    """Similarities and LIDs of probes and of the anchors themselves.

    Attributes
    ----------
    probe_rows
        (n,) int64, the embeddings that were looked at, up to 5,000 evenly spaced.
    similarities
        (5, R) float64: over the probes, the 5, 25, 50, 75 and 95 % quantiles of the cosine
        to the anchor of each rank, nearest first.
    probe_log_lid
        (n,) float64, log G of Eq. 3.
    anchor_log_lid
        (m,) float64, the same of up to 5,000 anchors among the others.
    k, s
        Of the LIDs.
    """

    probe_rows: Rows
    similarities: Floats
    probe_log_lid: Floats
    anchor_log_lid: Floats
    k: int
    s: float

    @property
    def more_crowded(self) -> float:
        """The chance that a probe's LID is above an anchor's, ties counting half: 0 to 1."""
        ordered = np.sort(self.anchor_log_lid)
        below = np.searchsorted(ordered, self.probe_log_lid, "left")
        upto = np.searchsorted(ordered, self.probe_log_lid, "right")
        return float((below + upto).mean() / (2 * len(ordered)))

    @property
    def is_far_apart(self) -> bool:
        """Whether the two LIDs hardly overlap: the chance is below 0.1 or above 0.9."""
        return not 1 - _FAR_APART <= self.more_crowded <= _FAR_APART


def outlook(
    probes: Embeddings, anchors: Anchors, *, k: int, s: float, progress: Progress | None = None
) -> Outlook:
    """Look from probes and from anchors at the nearest anchors.

    Parameters
    ----------
    probes
        N embeddings.
    anchors
        M anchors. As elsewhere, those of the embedding's own id or subject are skipped.
    k, s
        Of the LIDs.
    progress
        Called with the number of embeddings done since the last call.

    Raises
    ------
    InputError
        The dimensions differ, or every anchor is of an embedding's own subject.
    """
    rows = _spaced(len(probes))
    chosen = probes.take(rows)
    nearest = nearest_anchors(chosen, anchors, RANKS, progress=progress)
    # An embedding with own anchors has fewer ranks; what is past the last is left out.
    ranked = nearest.similarities[:, np.isfinite(nearest.similarities).all(axis=0)]
    among = anchors.take(_spaced(len(anchors)))
    return Outlook(
        rows,
        np.quantile(ranked, QUANTILES, axis=0),
        log_lid(chosen, anchors, k=k, s=s, progress=progress),
        log_lid(among, anchors, k=k, s=s, progress=progress),
        k,
        s,
    )


def _spaced(count: int) -> Rows:
    return np.unique(np.linspace(0, count - 1, min(count, _ROWS)).astype(np.int64))
