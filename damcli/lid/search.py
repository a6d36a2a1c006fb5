"""Which search finds the nearest anchors: the same neighbours, as fast as the machine allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from damcli import kernels, processor
from damcli.lid.candidates import Neighbours, Vectors
from damcli.lid.flat import FlatSearch
from damcli.lid.gpu import GpuSearch, gpu_is_there
from damcli.lid.int8 import QUERY_ROWS, Int8Search
from damcli.lid.own import Codes
from damcli.threads import in_order

# It was measured to be as fast as faiss from 512 queries of 128 dimensions on, or 128 of 512, and
# 2.5 times as fast from four times as many, over 2,048 anchors as over 50,000; below so much work
# it saves less than the import of onnxruntime takes (`benchmarks/top_k.py --table`).
_LEAST_NUMBERS = 1 << 16
_LEAST_ANCHORS = 2_048
_LEAST_WORK = 1 << 32
# To import PyTorch and to start its GPU takes seconds. Not measured: no GPU was to be had.
_LEAST_FOR_GPU = 1 << 42
# Of so many nearest, each candidate is still found its place quickly.
_MOST_WANTED = 64
# Rows searched at a time by faiss: enough to keep it busy, few enough to show progress.
_FLAT_ROWS = 4096
# Similarities held at a time, whatever k is.
_CANDIDATES = 1 << 22
# Integer products that neither saturate nor crawl.
_FAST_INT8 = {"avx512_vnni", "avx_vnni", "amx_int8"}


class Search(Protocol):
    """Finds the k nearest anchors of some rows, none of the rows' own."""

    def nearest(self, queries: Vectors, own: Codes, k: int) -> Neighbours: ...  # noqa: D102


def search_blocks(
    queries: Vectors, anchors: Vectors, own: Codes, k: int, most_own: int
) -> Iterator[tuple[slice, Neighbours]]:
    """Yield the k nearest anchors of all rows, block by block, in order.

    Parameters
    ----------
    queries, anchors
        (N, D) and (M, D) unit rows.
    own
        Codes of the rows and of the anchors; equal ones are of one person and left out.
    k
        How many, >= 1; at most M are found.
    most_own
        How many own anchors a row has at most.
    """
    search, rows, threads = _chosen(queries, anchors, k + most_own)

    def find(block: slice) -> Neighbours:
        part = np.ascontiguousarray(queries[block])
        return search.nearest(part, [(mine[block], theirs) for mine, theirs in own], k)

    blocks = [slice(start, start + rows) for start in range(0, len(queries), rows)]
    found = in_order(find, blocks, begin=_one_thread) if threads else map(find, blocks)
    yield from zip(blocks, found, strict=True)


def _chosen(queries: Vectors, anchors: Vectors, wanted: int) -> tuple[Search, int, bool]:
    """Return the search, how many rows it takes at a time, and whether threads may share it."""
    if len(queries) * anchors.size >= _LEAST_FOR_GPU and gpu_is_there():
        on_gpu = GpuSearch(anchors)
        return on_gpu, on_gpu.rows(wanted), False
    if int8_pays(len(queries), len(anchors), anchors.shape[1], wanted):
        return Int8Search(anchors), QUERY_ROWS, True
    rows = max(1, min(_FLAT_ROWS, _CANDIDATES // min(wanted, len(anchors))))
    return FlatSearch(anchors), rows, False  # faiss starts threads of its own


def int8_pays(queries: int, anchors: int, dim: int, wanted: int) -> bool:
    """Whether the search by int8 is the faster one, here and for so much work."""
    return (
        queries * dim >= _LEAST_NUMBERS
        and anchors >= _LEAST_ANCHORS
        and queries * dim * anchors >= _LEAST_WORK
        and wanted <= _MOST_WANTED
        and kernels.COMPILED
        and has_fast_int8()
    )


def has_fast_int8() -> bool:
    """Whether the processor multiplies bytes by instructions made for it."""
    return not _FAST_INT8.isdisjoint(processor.flags())


def _one_thread() -> None:
    """Keep faiss from starting threads of its own in each of ours."""
    import faiss

    faiss.omp_set_num_threads(1)
