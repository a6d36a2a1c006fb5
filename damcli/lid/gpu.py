"""Exact search on a GPU: half precision chooses candidates, with a proof for every row.

The products of unit rows are exact in float64 (see `damcli.storage.unit`), on a GPU as elsewhere:
the neighbours are those of the other searches, to the bit. What half precision can do to a
similarity is bounded as in `damcli.lid.int8`, by the lengths of what the rounding took away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from damcli.errors import UserError
from damcli.lid.candidates import Floats, Neighbours, Vectors, float32_error
from damcli.lid.flat import FlatSearch
from damcli.lid.own import NO_CODE, Codes, own_counts

# What half precision misorders is about so many places wide, at the tenth of 50,000 anchors.
_SPARE = 24
# Bytes of products, and of gathered anchors, on the device at a time.
_TILE_BYTES = 1 << 30
# Results are rounded to half precision: by 2^-11 of 1 at most, and a little for the norms.
_ROUNDED = 1.01 * 2.0**-11
# More than the rounding of float32 in the lengths of residuals.
_SLACK = 1e-6
_DRIVER = Path("/proc/driver/nvidia/version")


class GpuSearch:
    """The anchors on a device of PyTorch.

    Parameters
    ----------
    anchors
        (M, D) unit rows.
    device
        As PyTorch names it.
    """

    def __init__(self, anchors: Vectors, device: str = "cuda") -> None:
        import torch

        self._device = device
        self._on_host = anchors
        with _explained():
            self._anchors = torch.tensor(anchors, device=device)
            self._near, residuals = _halved(self._anchors)
            self._residual = float(residuals.max())

    def rows(self, wanted: int) -> int:
        """Return how many queries to search for at a time, with so many candidates each."""
        anchors, dim = self._on_host.shape
        row_bytes = max(2 * anchors, 12 * dim * min(wanted + _SPARE, anchors))
        return int(max(1, _TILE_BYTES // row_bytes))

    def nearest(self, queries: Vectors, own: Codes, k: int) -> Neighbours:
        """Find the k nearest anchors of each row, none of its own.

        A row is proven where the k-th exact similarity is above what half precision left out by
        more than it can err; the others are searched again.
        """
        with _explained():
            found, left_out = self._candidates(queries, own, k)
        if left_out is None:
            return found
        unproven = np.flatnonzero(found.similarities[:, -1] <= left_out)
        if len(unproven):
            their_own = [(mine[unproven], theirs) for mine, theirs in own]
            again = FlatSearch(self._on_host).nearest(queries[unproven], their_own, k)
            found.similarities[unproven] = again.similarities
            found.rows[unproven] = again.rows
        return found

    def _candidates(self, queries: Vectors, own: Codes, k: int) -> tuple[Neighbours, Floats | None]:
        """Return the nearest of the candidates, and above what similarity no other can be.

        None where all anchors are candidates.
        """
        import torch

        total, dim = self._on_host.shape
        wanted = k + int(own_counts(own, len(queries)).max(initial=0))
        width, keep = min(wanted + _SPARE, total), min(k, total)
        mine = torch.tensor(queries, device=self._device)
        near, residual = _halved(mine)
        with _full_sums():
            approximate, columns = torch.topk(near @ self._near.T, width, dim=1)
        # Of equals, the one that stands first among the anchors.
        columns = columns.sort(dim=1).values
        exact = torch.bmm(self._anchors[columns].double(), mine.double()[:, :, None])[:, :, 0]
        for of_queries, of_anchors in own:
            code = torch.tensor(of_queries, device=self._device)[:, None]
            same = torch.tensor(of_anchors, device=self._device)[columns] == code
            exact[same & (code != NO_CODE)] = -torch.inf
        similarities, order = exact.sort(dim=1, descending=True, stable=True)
        similarities, rows = similarities[:, :keep], columns.gather(1, order)[:, :keep]
        rows[torch.isneginf(similarities)] = -1
        found = Neighbours(similarities.cpu().numpy(), rows.cpu().numpy())
        if width == total:
            return found, None
        error = _ROUNDED + float32_error(dim) + self._residual + _SLACK
        left_out = approximate[:, -1].double() + 1.01 * residual.double() + error
        return found, left_out.cpu().numpy()


def gpu_is_there() -> bool:
    """Whether PyTorch finds a GPU; it is imported only where the system has the driver of one."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not _DRIVER.exists():
        return False
    if "torch" not in sys.modules and find_spec("torch") is None:
        return False
    import torch

    return bool(torch.cuda.is_available())


def _halved(vectors: Any) -> tuple[Any, Any]:
    """Round rows to half precision; return how far each moved, too."""
    near = vectors.half()
    return near, (vectors - near.float()).norm(dim=1)


@contextmanager
def _full_sums() -> Iterator[None]:
    """Have half-precision products summed in float32 all the way."""
    import torch

    settings = torch.backends.cuda.matmul
    usual = settings.allow_fp16_reduced_precision_reduction
    settings.allow_fp16_reduced_precision_reduction = False
    try:
        yield
    finally:
        settings.allow_fp16_reduced_precision_reduction = usual


@contextmanager
def _explained() -> Iterator[None]:
    """Say what to do where the device fails, of memory for example."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"the GPU failed at the nearest anchors: {str(error).splitlines()[0]}",
            hint="CUDA_VISIBLE_DEVICES= damcli … finds the same on the CPU",
        ) from error
