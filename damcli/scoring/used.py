"""Which embeddings stand in a pair, and whom they show."""

from __future__ import annotations

import numpy as np

from damcli.scoring.resolve import ResolvedPairs
from damcli.storage.embeddings import Embeddings, Rows, subject_codes

_CHUNK_PAIRS = 1 << 18


def used_rows(
    pairs: ResolvedPairs, probes: Embeddings, references: Embeddings
) -> tuple[Rows, Rows]:
    """Return the rows of probes and of references that stand in a pair, ascending."""
    seen = np.zeros(len(probes), dtype=bool), np.zeros(len(references), dtype=bool)
    for rows in pairs.chunks(_CHUNK_PAIRS):
        seen[0][rows.probe_rows] = True
        seen[1][rows.reference_rows] = True
    return np.flatnonzero(seen[0]), np.flatnonzero(seen[1])


def used_subject_codes(
    pairs: ResolvedPairs, probes: Embeddings, references: Embeddings
) -> tuple[Rows, Rows, int]:
    """Give the subjects that occur in the pairs numbers, in the order of their names."""
    probe_used, reference_used = used_rows(pairs, probes, references)
    assert probes.subjects is not None
    assert references.subjects is not None
    mine, theirs, count = subject_codes(
        probes.subjects[probe_used], references.subjects[reference_used]
    )
    probe_codes = np.full(len(probes), -1, dtype=np.int64)
    reference_codes = np.full(len(references), -1, dtype=np.int64)
    probe_codes[probe_used], reference_codes[reference_used] = mine, theirs
    return probe_codes, reference_codes, count
