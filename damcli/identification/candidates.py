"""Candidate lists: who scores highest for each probe, as columns of a table."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from damcli.identification.search import Candidates
from damcli.storage.embeddings import Embeddings, as_names


def columns_of(
    found: Candidates,
    probes: Embeddings,
    gallery: Embeddings,
    *,
    named: bool,
    score: bool,
) -> dict[str, NDArray[Any]]:
    """Lay a block of candidates out.

    Parameters
    ----------
    found
        The candidates.
    probes, gallery
        The two sides.
    named
        Whether there are several galleries, so that a column must tell them apart.
    score
        Whether there is a score beside the cosine.

    Returns
    -------
    dict
        ``probe_id, rank, reference_id, subject, cosine, score``; ``subject`` is that of the
        candidate, and one candidate stands for all its subject's entries.
    """
    assert gallery.subjects is not None
    columns: dict[str, NDArray[Any]] = {
        "probe_id": probes.ids[found.probe_rows],
        "rank": found.ranks,
        "reference_id": gallery.ids[found.entry_rows],
        "subject": gallery.subjects[found.entry_rows],
        "cosine": found.cosine,
    }
    if score:
        columns["score"] = found.score
    if named:
        columns["gallery"] = as_names([gallery.origin] * len(found.ranks))
    return columns
