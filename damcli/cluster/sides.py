"""What is taken of embeddings, a block of them a task: LIDs, cohort statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.cluster.packing import Packed, Packer, unpack
from damcli.cluster.tasks import Tasks
from damcli.lid.own import same_source
from damcli.lid.source import AnchorLid, LidSource
from damcli.scoring.sides import Progress, Sides, Take
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Rows

# Enough that laying out the anchors anew for each block costs little beside the search.
BLOCK_ROWS = 1 << 14


@dataclass(frozen=True, eq=False)
class ClusterSides(Sides):
    """Sides of which workers take what anchors are asked for.

    What a regressor predicts costs little, and its last bit may hang on how many rows come
    together, so it is taken here.

    Attributes
    ----------
    tasks, packer
        The cluster.
    """

    tasks: Tasks = field(kw_only=True)
    packer: Packer = field(kw_only=True)

    def _take(
        self,
        side: Embeddings,
        rows: Rows | None,
        take: Take,
        progress: Progress | None,
        source: LidSource | None,
    ) -> NDArray[Any]:
        if not isinstance(source, AnchorLid):
            return super()._take(side, rows, take, progress, source)
        wanted = np.arange(len(side)) if rows is None else rows
        # Whether row numbers are ids of the same samples shows on all embeddings together only.
        step = len(wanted) if _counted_together(side, wanted, source) else BLOCK_ROWS
        packed = self.packer.pack((take, side))
        found = []
        for block in self.tasks.in_order(self._submitted(packed, wanted, step)):
            found.append(block)
            if progress is not None:
                progress(len(block))
        return np.concatenate(found)

    def _submitted(self, packed: Packed, wanted: Rows, step: int) -> Iterator[Any]:
        for start in range(0, len(wanted), step):
            yield self.tasks.submit("lid", _of_block, *packed, wanted[start : start + step])


def _counted_together(side: Embeddings, rows: Rows, source: AnchorLid) -> bool:
    numbered = (one.attributes.get(ROW_NUMBER_IDS) for one in (side, source.anchors))
    return any(numbered) and same_source(side.take(rows), source.anchors)


def _of_block(content: bytes, data: list[Any], rows: Rows) -> NDArray[Any]:
    """Take something of some rows; runs on a worker."""
    take, side = unpack(content, data)
    return np.asarray(take(side.take(rows)))
