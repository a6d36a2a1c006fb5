"""Cosine of IJB-C's 15.66 million listed pairs over 23,124 x 512: damcli against gather-and-sum."""

# ruff: noqa: E402

from __future__ import annotations

from damcli.processor import prefer_wide_products

prefer_wide_products()  # as the command does, before numpy is imported

import argparse
from unittest.mock import patch

import numpy as np
from rounds import compare, row, without_kernels

from damcli import kernels
from damcli.metrics import pair_similarities
from damcli.storage.embeddings import Embeddings

ROWS, DIM, PAIRS, BATCH = 23_124, 512, 15_660_000, 100_000
GALLERY = 3_531


def main() -> None:
    """Print medians and ratios for either kind of list, after a check of the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    vectors = Embeddings.from_arrays(rng.normal(size=(ROWS, DIM)).astype(np.float32)).vectors
    lists = {
        "random pairs": (rng.integers(0, ROWS, size=(2, given.pairs)), ">= 15x"),
        "gallery by probe": (gallery_by_probe(rng, given.pairs), ">= 30x"),
    }
    for name, ((first, second), goal) in lists.items():
        _against_gather(name, vectors, first, second, given.rounds, goal)
        with patch.object(kernels, "COMPILED", False):
            _against_gather(name, vectors, first, second, given.rounds, "")


def _against_gather(
    name: str, vectors: np.ndarray, first: np.ndarray, second: np.ndarray, rounds: int, goal: str
) -> None:
    found = ratio(vectors, first, second, rounds)
    work = f"cosine of {len(first):,} pairs over {ROWS:,} x {DIM}, {name}{without_kernels()}"
    row(work, "gather and sum in float32", f"{found:.1f}x", goal)


def gallery_by_probe(rng: np.random.Generator, pairs: int) -> np.ndarray:
    """Let each probe in turn meet about 800 of a gallery that stands anywhere in the table."""
    rows = rng.permutation(ROWS)
    gallery, probes = np.sort(rows[:GALLERY]), np.sort(rows[GALLERY:])
    cells = np.sort(rng.choice(len(probes) * GALLERY, pairs, replace=False, shuffle=False))
    return np.stack([probes[cells // GALLERY], gallery[cells % GALLERY]])


def ratio(vectors: np.ndarray, first: np.ndarray, second: np.ndarray, rounds: int) -> float:
    """Time both ways on one list; return how many times as fast damcli is."""

    def gather_and_sum() -> np.ndarray:
        parts = []
        for start in range(0, len(first), BATCH):
            part = slice(start, start + BATCH)
            parts.append(np.sum(vectors[first[part]] * vectors[second[part]], -1))
        return np.concatenate(parts)

    def ours() -> np.ndarray:
        return pair_similarities(vectors, vectors, first, second)

    assert np.allclose(ours(), gather_and_sum(), atol=1e-6)
    medians = compare(
        {"damcli (float64)": ours, "gather and sum (float32)": gather_and_sum}, rounds
    )
    return medians["gather and sum (float32)"] / medians["damcli (float64)"]


if __name__ == "__main__":
    main()
