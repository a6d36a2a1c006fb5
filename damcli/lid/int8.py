"""Exact search that looks at int8 products first, for processors that are fast at them.

A query q and an anchor a are rounded to q' and a', multiples of a scale with 8 bits. By the
inequality of Cauchy and Schwarz, ``|<q,a> - <q',a'>| <= ‖q-q'‖·‖a‖ + ‖q'‖·‖a-a'‖``: an anchor whose
rounded similarity lies further than that below the k-th largest is out, proven; of 50,000 about 60
a row are left to be looked at in float32, and 20 in float64. Integer products are exact.

Where all vectors point about the same way, their similarities differ by less than that bound and
nothing is out: faiss takes over, as soon as this shows.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.lid.candidates import (
    Floats,
    Neighbours,
    Rows,
    Vectors,
    exact_products,
    float32_error,
    ranked,
)
from damcli.lid.flat import FlatSearch
from damcli.lid.own import Codes, own_counts, own_pairs

# Rows of queries that go through all anchors together.
QUERY_ROWS = 512
# Anchors at a time, in units of the groups: with 512 rows some 7 MB of products.
_PARTS = range(4, 9)
# The anchors of a block make so many groups; the k-th largest of the groups' largest bounds the
# k-th similarity from below.
GROUPS = 512
_LEVELS = 127
_ZERO = 128  # queries are sent as unsigned bytes
_NOTHING = np.iinfo(np.int32).min
# More than the rounding of float32 and float64 in the bounds themselves.
_SLACK = 1e-6
_RAISED_AFTER = (0, 1, 3, 7)
# From about a tenth of the anchors on, faiss is faster than to look at all that may be near; and
# 512 rows of so many take some hundred MB.
_FAR_SHARE, _MOST_NEAR = 10, 8192


class _Block(NamedTuple):
    """Anchors of about the same largest component, which share a scale."""

    rows: Rows
    scale: float
    residual: float
    """The largest ‖a - a'‖."""
    norm: float
    """The largest ‖a‖."""
    multiply: Any
    """The onnxruntime session that multiplies by them."""


class _Rounded(NamedTuple):
    """Queries as bytes, each with a scale of its own."""

    sent: Any
    """(`QUERY_ROWS`, D) uint8 for onnxruntime; the rows beyond the queries are zeros."""
    scale: Floats
    residual: Floats
    """(n,), ‖q - q'‖."""
    norm: Floats
    """(n,), ‖q'‖."""


class _Scratch(NamedTuple):
    """What a thread needs again and again."""

    products: NDArray[np.int32]
    """(`QUERY_ROWS`, block)."""
    bound: Any
    """The same memory for onnxruntime."""


class _Survivors(NamedTuple):
    """Pairs of a query and an anchor that may be among the nearest."""

    rows: Rows
    columns: Rows
    similarity: Floats
    """Of the rounded vectors."""
    error: Floats

    def only(self, chosen: NDArray[Any]) -> _Survivors:
        return _Survivors(*(column[chosen] for column in self))


class Int8Search:
    """The anchors as blocks of int8, each the weight of a matrix product.

    Parameters
    ----------
    anchors
        (M, D) unit rows, M at least a few times `GROUPS`.
    """

    def __init__(self, anchors: Vectors) -> None:
        self._anchors = np.ascontiguousarray(anchors)
        largest = np.abs(anchors).max(axis=1)
        order = np.argsort(largest, kind="stable")
        self._width = _least_padded(len(anchors))
        self._blocks = [
            _block(anchors, order[start : start + self._width], largest, self._width)
            for start in range(0, len(anchors), self._width)
        ]
        self._most_near = max(GROUPS, min(len(anchors) // _FAR_SHARE, _MOST_NEAR))
        self._flat: FlatSearch | None = None
        self._lock = threading.Lock()
        self._local = threading.local()

    def nearest(self, queries: Vectors, own: Codes, k: int) -> Neighbours:
        """Find the k nearest anchors of each of at most `QUERY_ROWS` rows, none of its own.

        k and the most own anchors of a row must together be well below `GROUPS`.
        """
        if self._flat is None:
            survivors = self._survivors(_rounded(queries), k + own_counts(own, len(queries)))
            if survivors is not None:
                found, floor = survivors
                found = found.only(~own_pairs(own, found.rows, found.columns))
                return self._among(found, floor, queries, k)
        return self._by_faiss().nearest(queries, own, k)

    def _by_faiss(self) -> FlatSearch:
        with self._lock:
            if self._flat is None:
                self._flat = FlatSearch(self._anchors)
            return self._flat

    def _survivors(self, queries: _Rounded, wanted: Rows) -> tuple[_Survivors, Floats] | None:
        """Scan all blocks; return what may be near, and a bound below the k-th similarity.

        None where that is so much that it does not pay.
        """
        scratch = self._scratch()
        count = len(queries.scale)
        products = scratch.products[:count]
        lowest = np.full((count, GROUPS), -np.inf, dtype=np.float32)
        floor = np.full(count, -np.inf)
        parts = []
        left = self._most_near * count
        for number, block in enumerate(self._blocks):
            _multiply(block, queries, scratch)
            products[:, len(block.rows) :] = _NOTHING
            unit = queries.scale * block.scale
            error = queries.residual * block.norm + queries.norm * block.residual + _SLACK
            if number <= _RAISED_AFTER[-1]:
                largest = products.reshape(count, -1, GROUPS).max(axis=1)
                np.maximum(lowest, largest * unit[:, None] - error[:, None], out=lowest)
            if number in _RAISED_AFTER:
                floor = _kth(lowest, wanted)
            least = np.ceil((floor - error) / unit).clip(min=_NOTHING + 1).astype(np.int32)
            rows, columns = np.divmod(np.flatnonzero(products >= least[:, None]), self._width)
            left -= len(rows)
            if left < 0:
                return None
            near = products[rows, columns] * unit[rows]
            parts.append(_Survivors(rows, block.rows[columns], near, error[rows]))
        found = _Survivors(*(np.concatenate(column) for column in zip(*parts, strict=True)))
        return found.only(found.similarity + found.error >= floor[found.rows]), floor

    def _among(self, found: _Survivors, floor: Floats, queries: Vectors, k: int) -> Neighbours:
        """Look at the survivors more closely: the sure ones first, then those that may beat them.

        At least k of a row's own-free survivors are above the floor for sure, so the k-th
        similarity is not below the least of these.
        """
        sure = found.similarity - found.error >= floor[found.rows]
        error = float32_error(queries.shape[1])
        least = np.full(len(queries), np.inf)
        near = np.full(len(sure), -np.inf)
        near[sure] = self._float32(queries, found.only(sure))
        np.minimum.at(least, found.rows[sure], near[sure] - error)
        maybe = ~sure & (found.similarity + found.error >= least[found.rows])
        near[maybe] = self._float32(queries, found.only(maybe))
        last = found.only(near + error >= least[found.rows])
        exact = exact_products(queries, self._anchors, last.rows, last.columns)
        return ranked(last.rows, last.columns, exact, len(queries), k)

    def _float32(self, queries: Vectors, pairs: _Survivors) -> NDArray[np.float32]:
        import faiss

        found = np.empty(len(pairs.rows), dtype=np.float32)
        faiss.pairwise_indexed_inner_product(  # type: ignore[attr-defined]
            queries.shape[1],
            len(found),
            faiss.swig_ptr(queries),
            faiss.swig_ptr(pairs.rows),
            faiss.swig_ptr(self._anchors),
            faiss.swig_ptr(pairs.columns),
            faiss.swig_ptr(found),
        )
        return found

    def _scratch(self) -> _Scratch:
        from onnxruntime import OrtValue

        if not hasattr(self._local, "scratch"):
            products = np.empty((QUERY_ROWS, self._width), dtype=np.int32)
            bound = OrtValue.ortvalue_from_numpy(products)
            self._local.scratch = _Scratch(products, bound)
        scratch: _Scratch = self._local.scratch
        return scratch


def _least_padded(anchors: int) -> int:
    """Choose how many anchors make a block, so that the last one is nearly full."""
    return min((GROUPS * parts for parts in _PARTS), key=lambda width: (-anchors % width, -width))


def _block(anchors: Vectors, rows: Rows, largest: Vectors, width: int) -> _Block:
    wide = anchors[rows].astype(np.float64)
    scale = float(largest[rows].max()) / _LEVELS
    steps = np.rint(wide / scale)
    weights = np.zeros((anchors.shape[1], width), dtype=np.int8)
    weights[:, : len(rows)] = steps.astype(np.int8).T
    return _Block(
        rows,
        scale,
        float(np.linalg.norm(wide - steps * scale, axis=1).max()),
        float(np.linalg.norm(wide, axis=1).max()),
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

    wide = queries.astype(np.float64)
    scale = np.abs(wide).max(axis=1) / _LEVELS
    steps = np.rint(wide / scale[:, None])
    near = steps * scale[:, None]
    sent = np.full((QUERY_ROWS, queries.shape[1]), _ZERO, dtype=np.uint8)
    sent[: len(queries)] = steps + _ZERO
    return _Rounded(
        OrtValue.ortvalue_from_numpy(sent),
        scale,
        np.linalg.norm(wide - near, axis=1),
        np.linalg.norm(near, axis=1),
    )


def _multiply(block: _Block, queries: _Rounded, scratch: _Scratch) -> None:
    binding = block.multiply.io_binding()
    binding.bind_ortvalue_input("queries", queries.sent)
    binding.bind_ortvalue_output("products", scratch.bound)
    block.multiply.run_with_iobinding(binding)


def _kth(lowest: NDArray[np.float32], wanted: Rows) -> Floats:
    """Return the wanted[i]-th largest of row i."""
    most = int(wanted.max())
    top = np.partition(lowest, GROUPS - most, axis=1)[:, GROUPS - most :]
    top.sort(axis=1)
    return top[np.arange(len(top)), most - wanted].astype(np.float64) - _SLACK
