"""Exact log LIDs of 512-d embeddings over 50,000 anchors: against faiss and a bare product.

With ``--table``, how the two searches that there are compare at other sizes, which is what the
limits in `damcli.lid.search` were read off.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from itertools import product
from unittest.mock import patch

import faiss
import numpy as np
from numpy.typing import NDArray
from rounds import compare, row, without_kernels

from damcli import kernels
from damcli.lid.candidates import compare_with_all
from damcli.lid.discrepancy import log_lid, log_sum
from damcli.lid.flat import FlatSearch
from damcli.lid.int8 import Int8Search
from damcli.lid.search import has_fast_int8
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.threads import in_order

DIM, ANCHORS, K, TILE = 512, 50_000, 10, 2048
CHECKED = 200


def main() -> None:
    """Print medians and ratios, after checking LIDs against the exhaustive search."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if options.table:
        _table(options.rounds)
        return
    for queries, dim, goal in (
        (options.queries, DIM, ">= 4x"),
        (options.queries, 128, ">= .95x"),
        (200, DIM, ">= .95x"),
    ):
        _against_faiss(queries, dim, options.rounds, goal)
    with patch.object(kernels, "COMPILED", False):
        _against_faiss(options.queries // 5, DIM, options.rounds, ">= .95x")


def _against_faiss(queries: int, dim: int, rounds: int, goal: str) -> None:
    rng = np.random.default_rng(0)
    people, others = _faces(rng, queries, dim), Anchors.of(_faces(rng, ANCHORS, dim, "anchor"))
    exact = compare_with_all(people.vectors[:CHECKED], others.vectors, [], K).similarities
    found = log_lid(people.take(slice(0, max(CHECKED, queries // 8))), others, k=K)[:CHECKED]
    assert np.array_equal(found, log_sum(exact, 1.0))

    def plain() -> None:
        index = faiss.IndexFlatIP(dim)
        index.add(others.vectors)
        index.search(people.vectors, K)

    def multiply() -> None:
        for first, second in product(range(0, queries, TILE), range(0, ANCHORS, TILE)):
            people.vectors[first : first + TILE] @ others.vectors[second : second + TILE].T

    contenders = {"log_lid": lambda: log_lid(people, others, k=K), "IndexFlatIP": plain}
    if queries > CHECKED and kernels.COMPILED:
        contenders["bare fp32 product"] = multiply
    medians = compare(contenders, rounds)
    work = (
        f"exact log LIDs, {queries:,} x {dim} over {ANCHORS:,} anchors, k = {K}{without_kernels()}"
    )
    row(work, "faiss IndexFlatIP", f"{medians['IndexFlatIP'] / medians['log_lid']:.2f}x", goal)
    if dim == DIM and "bare fp32 product" in medians:
        ratio = medians["bare fp32 product"] / medians["log_lid"]
        row(work, "a bare fp32 product (numpy)", f"{ratio:.2f}x", ">= 3x")


def _table(rounds: int) -> None:
    if not (kernels.COMPILED and has_fast_int8()):
        raise SystemExit("this processor has no fast products of bytes, or there was no compiler")
    rng = np.random.default_rng(0)
    for dim, anchors, queries in product(
        (64, 128, 256, 512), (2_048, 8_192, 50_000), (128, 512, 2_048, 8_192)
    ):
        people, others = (_faces(rng, count, dim).vectors for count in (queries, anchors))
        print(f"{queries:,} x {dim} over {anchors:,}")
        compare(
            {
                "faiss": lambda p=people, o=others: _search(FlatSearch(o), p, 4096, map),
                "int8": lambda p=people, o=others: _search(Int8Search(o), p, 512, in_order),
            },
            rounds,
        )


def _search(
    search: FlatSearch | Int8Search, queries: NDArray[np.float32], rows: int, each: Callable
) -> None:
    """Search block by block: faiss starts threads of its own, int8 is called in several."""

    def find(start: int) -> None:
        search.nearest(queries[start : start + rows], [], K)

    for _ in each(find, range(0, len(queries), rows)):
        pass


def _faces(rng: np.random.Generator, count: int, dim: int, name: str = "face") -> Embeddings:
    raw = rng.standard_normal((count, dim), dtype=np.float32)
    return Embeddings.from_arrays(raw, [f"{name}{number}" for number in range(count)])


if __name__ == "__main__":
    main()
