"""LIDs from where they were kept; only those that are not there are taken, and may be kept too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.lid.source import AnchorLid, LidSource
from damcli.scoring.all_pairs import AllPairScores
from damcli.scoring.score import ListedScores
from damcli.scoring.sides import Progress, Sides, Take
from damcli.scoring.workers import Workers
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Rows
from damcli.storage.lids import Floats, MadeOf, lids_path, read_lids, write_lids


class KeptLids:
    """The LIDs kept beside files of embeddings, read when they are first asked for.

    Parameters
    ----------
    say
        Called with what was found, and whether it is of use.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._columns: dict[Path, dict[MadeOf, Floats]] = {}
        self._new: dict[Path, int] = {}

    def column(self, side: Embeddings, source: AnchorLid) -> Floats | None:
        """Return the log LIDs of all embeddings of a file, NaN for those not taken yet.

        None where nothing may be kept: of embeddings without a file, or where ids are row
        numbers, since the rows that come together then tell which anchors are their own.

        Raises
        ------
        InputError
            The kept LIDs are damaged.
        """
        sides = (side, source.anchors)
        if None in (side.path, side.digest, source.anchors.digest) or any(
            one.attributes.get(ROW_NUMBER_IDS) for one in sides
        ):
            return None
        path = lids_path(Path(str(side.path)))
        made_of = MadeOf(str(side.digest), str(source.anchors.digest), source.k, source.s)
        if path not in self._columns:
            self._columns[path] = self._read(path, made_of)
        columns = self._columns[path]
        if made_of in columns and len(columns[made_of]) == len(side):
            kept = int(np.isfinite(columns[made_of]).sum())
            self._say(f"{path}: LIDs of {kept:,} of {len(side):,} embeddings are taken from it")
        else:
            columns[made_of] = np.full(len(side), np.nan)
        return columns[made_of]

    def _read(self, path: Path, made_of: MadeOf) -> dict[MadeOf, Floats]:
        if not path.exists():
            return {}
        found = read_lids(path)
        current = {key: v for key, v in found.items() if key.embeddings == made_of.embeddings}
        if made_of not in current:
            others = "with other anchors, k, s or damcli" if current else "of other embeddings"
            self._say(f"{path}: holds LIDs {others}; not used")
        return current

    def taken(self, side: Embeddings, count: int) -> None:
        """Note how many LIDs of a side are new."""
        path = lids_path(Path(str(side.path)))
        self._new[path] = self._new.get(path, 0) + count

    def save(self) -> None:
        """Write what is new beside the embeddings; LIDs of what these were before are dropped.

        Raises
        ------
        OutputError
            A file cannot be written.
        """
        for path, count in self._new.items():
            if count:
                write_lids(path, self._columns[path])
                self._say(f"{path}: keeps {count:,} more LIDs")


@dataclass(frozen=True, eq=False)
class KeptSides(Sides):
    """Sides of which the LIDs that were kept are not taken again."""

    inner: Sides = field(kw_only=True)
    kept: KeptLids = field(kw_only=True)

    def _take(
        self,
        side: Embeddings,
        rows: Rows | None,
        take: Take,
        progress: Progress | None,
        source: LidSource | None,
    ) -> NDArray[Any]:
        column = self.kept.column(side, source) if isinstance(source, AnchorLid) else None
        if column is None:
            return self.inner._take(side, rows, take, progress, source)
        wanted = np.arange(len(side)) if rows is None else rows
        new = wanted[np.isnan(column[wanted])]
        if progress is not None:
            progress(len(wanted) - len(new))
        if len(new):
            column[new] = self.inner._take(side, new, take, progress, source)
        self.kept.taken(side, len(new))
        return column[wanted]


@dataclass(frozen=True)
class KeepingWorkers:
    """Workers who look first whether LIDs were kept; see `damcli.scoring.workers.Workers`."""

    workers: Workers
    kept: KeptLids

    def sides(self, probes: Embeddings, references: Embeddings) -> Sides:
        """Return both sides of pairs."""
        inner = self.workers.sides(probes, references)
        return KeptSides(probes, references, inner=inner, kept=self.kept)

    def listed(self, scores: ListedScores) -> ListedScores:
        """Return the same scores as the workers compute them."""
        return self.workers.listed(scores)

    def all_pairs(self, scores: AllPairScores) -> AllPairScores:
        """Return the same scores as the workers compute them."""
        return self.workers.all_pairs(scores)
