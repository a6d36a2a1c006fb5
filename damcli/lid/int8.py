"""Exact search that looks at int8 products first, for processors that are fast at them.

A query q and an anchor a are rounded to q' and a', multiples of a scale with 8 bits. By the
inequality of Cauchy and Schwarz, ``|<q,a> - <q',a'>| <= ‖q-q'‖·‖a'‖ + ‖a-a'‖``: an anchor whose
rounded similarity lies further than that below the k-th largest is out, proven. Of 50,000 some 120
a row are left, of which 40 are multiplied in float64. Integer products are exact.

Where all vectors point about the same way, their similarities differ by less than that bound and
nothing is out: faiss takes over, as soon as this shows.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli import kernels
from damcli.lid.candidates import Floats, Neighbours, Rows, Vectors
from damcli.lid.flat import FlatSearch
from damcli.lid.own import Codes, own_counts, own_pairs
from damcli.threads import in_order

# Rows of queries that go through all anchors together.
QUERY_ROWS = 512
# Anchors at a time, with 512 rows 4 to 8 MB of products: a multiple of what the kernel asks for.
_WIDTHS = range(2048, 4097, 512)
_LEVELS = 127
_ZERO = 128  # queries are sent as unsigned bytes
# More than the rounding of float64 in the bounds themselves, and than a unit row is longer than 1.
_SLACK = 1e-6
# From about a tenth of the anchors on, faiss is faster than to look at all that may be near; and
# 512 rows of so many take some 70 MB.
_FAR_SHARE, _LEAST_NEAR, _MOST_NEAR = 10, 512, 8192


class _Block(NamedTuple):
    """Anchors of about the same largest component, which share a scale."""

    anchors: NDArray[np.int32]
    """Which they are."""
    scale: float
    residual: float
    """The largest ‖a - a'‖."""
    norm: float
    """The largest ‖a'‖."""
    multiply: Any
    """The onnxruntime session that multiplies by them."""


class _Rounded(NamedTuple):
    """Queries as bytes, each with a scale of its own."""

    sent: Any
    """(`QUERY_ROWS`, D) uint8 for onnxruntime; the rows beyond the queries are zeros."""
    scale: Floats
    residual: Floats
    """(n,), ‖q - q'‖."""


class _Scratch(NamedTuple):
    """What a thread needs again and again."""

    products: NDArray[np.int32]
    """(`QUERY_ROWS`, block)."""
    bound: Any
    """The same memory for onnxruntime."""
    found: NDArray[np.void]
    """Room for candidates."""


class Int8Search:
    """The anchors as blocks of int8, each the weight of a matrix product.

    It needs the compiled kernels.

    Parameters
    ----------
    anchors
        (M, D) unit rows.
    """

    def __init__(self, anchors: Vectors) -> None:
        self._anchors = np.ascontiguousarray(anchors)
        largest = _largest(self._anchors)
        order = np.argsort(largest, kind="stable")
        self._width = _least_padded(len(anchors))

        def block(start: int) -> _Block:
            rows = order[start : start + self._width]
            return _block(self._anchors[rows], rows, float(largest[rows[-1]]), self._width)

        self._blocks = list(in_order(block, range(0, len(anchors), self._width)))
        self._most_near = max(_LEAST_NEAR, min(len(anchors) // _FAR_SHARE, _MOST_NEAR))
        self._flat: FlatSearch | None = None
        self._lock = threading.Lock()
        self._local = threading.local()

    def nearest(self, queries: Vectors, own: Codes, k: int) -> Neighbours:
        """Find the k nearest anchors of each of at most `QUERY_ROWS` rows, none of its own."""
        if self._flat is None:
            found = self._candidates(_rounded(queries), k + own_counts(own, len(queries)))
            if found is not None:
                return self._ranked(queries, *found, own, k)
        return self._by_faiss().nearest(queries, own, k)

    def _by_faiss(self) -> FlatSearch:
        with self._lock:
            if self._flat is None:
                self._flat = FlatSearch(self._anchors)
            return self._flat

    def _candidates(
        self, queries: _Rounded, wanted: Rows
    ) -> tuple[NDArray[np.void], Floats] | None:
        """Scan all blocks; return what may be near, and a bound below the k-th similarity.

        None where that is so much that it does not pay.
        """
        scratch, count = self._scratch(), len(queries.scale)
        bounds = np.full((count, int(wanted.max())), -np.inf)
        room = scratch.found[: count * self._most_near]
        used = 0
        for block in self._blocks:
            _multiply(block, queries, scratch)
            unit = queries.scale * block.scale
            error = queries.residual * block.norm + block.residual + _SLACK
            products = scratch.products[:count]
            found = kernels.find_candidates(
                products, block.anchors, wanted, unit, error, bounds, room, used
            )
            if found is None:
                return None
            used = found
        return room[:used], bounds[np.arange(count), wanted - 1]

    def _ranked(
        self, queries: Vectors, found: NDArray[np.void], floors: Floats, own: Codes, k: int
    ) -> Neighbours:
        """Multiply the candidates in float64, none of a row's own, and keep the nearest."""
        if own:
            found = found[found["upper"] >= floors[found["query"]]]
            found = found[~own_pairs(own, found["query"], found["anchor"])]
        similarities = np.full((len(queries), k), -np.inf)
        rows = np.full((len(queries), k), -1, dtype=np.int64)
        kernels.rank_candidates(queries, self._anchors, found, floors, similarities, rows)
        return Neighbours(similarities, rows)

    def _scratch(self) -> _Scratch:
        from onnxruntime import OrtValue

        if not hasattr(self._local, "scratch"):
            products = np.empty((QUERY_ROWS, self._width), dtype=np.int32)
            bound = OrtValue.ortvalue_from_numpy(products)
            found = np.empty(QUERY_ROWS * self._most_near, dtype=kernels.CANDIDATE)
            self._local.scratch = _Scratch(products, bound, found)
        scratch: _Scratch = self._local.scratch
        return scratch


def _least_padded(anchors: int) -> int:
    """Choose how many anchors make a block, so that the last one is nearly full."""
    return min(_WIDTHS, key=lambda width: (-anchors % width, -width))


def _largest(vectors: Vectors) -> Floats:
    """Return the largest component of each row, whatever its sign."""
    largest: Floats = np.maximum(vectors.max(axis=1), -vectors.min(axis=1)).astype(np.float64)
    return largest


def _block(anchors: Vectors, rows: Rows, largest: float, width: int) -> _Block:
    scale = largest / _LEVELS
    steps, residuals, norms = kernels.round_rows(anchors, np.full(len(anchors), scale))
    weights = np.zeros((anchors.shape[1], width), dtype=np.int8)
    weights[:, : len(rows)] = steps.T
    return _Block(
        rows.astype(np.int32),
        scale,
        float(residuals.max()),
        float(norms.max()),
        _session(weights),
    )


def _session(weights: NDArray[np.int8]) -> Any:
    """Make the product by some weights: (n, D) uint8 around 128 in, (n, width) int32 out."""
    import onnxruntime as ort
    from onnx import TensorProto, helper, numpy_helper

    dim, width = weights.shape
    graph = helper.make_graph(
        [helper.make_node("MatMulInteger", ["queries", "anchors", "zero"], ["products"])],
        "block",
        [helper.make_tensor_value_info("queries", TensorProto.UINT8, [None, dim])],
        [helper.make_tensor_value_info("products", TensorProto.INT32, [None, width])],
        [
            numpy_helper.from_array(weights, "anchors"),
            numpy_helper.from_array(np.uint8(_ZERO), "zero"),
        ],
    )
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1  # a block of queries is one thread's
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _rounded(queries: Vectors) -> _Rounded:
    from onnxruntime import OrtValue

    scale = _largest(queries) / _LEVELS
    steps, residual, _ = kernels.round_rows(queries, scale)
    sent = np.full((QUERY_ROWS, queries.shape[1]), _ZERO, dtype=np.uint8)
    np.add(steps, _ZERO, out=sent[: len(queries)], dtype=np.int16, casting="unsafe")
    return _Rounded(OrtValue.ortvalue_from_numpy(sent), scale, residual)


def _multiply(block: _Block, queries: _Rounded, scratch: _Scratch) -> None:
    binding = block.multiply.io_binding()
    binding.bind_ortvalue_input("queries", queries.sent)
    binding.bind_ortvalue_output("products", scratch.bound)
    block.multiply.run_with_iobinding(binding)
