"""Made-up faces: subjects as directions, samples as those directions with noise."""

from __future__ import annotations

import numpy as np

from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings


def faces(
    subjects: int = 12,
    per_subject: int = 3,
    *,
    dim: int = 16,
    seed: int = 0,
    noise: float = 0.6,
    prefix: str = "p",
) -> Embeddings:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(subjects, dim)) + 0.5
    names = np.repeat([f"{prefix}{i:03d}" for i in range(subjects)], per_subject)
    vectors = np.repeat(centres, per_subject, axis=0) + noise * rng.normal(size=(len(names), dim))
    ids = [f"{name}/{i % per_subject}" for i, name in enumerate(names)]
    return Embeddings.from_arrays(vectors, ids, names)


def anchors(count: int = 40, *, dim: int = 16, seed: int = 1) -> Anchors:
    return Anchors.of(faces(count, 1, dim=dim, seed=seed, prefix="anchor"), kind="real-db")
