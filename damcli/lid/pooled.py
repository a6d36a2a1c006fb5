"""LIDs of templates that were pooled from those of their images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.lid.neighbours import Progress
from damcli.lid.source import DAM_L, DAM_R, LidSource, lid_source
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import MODEL_DIGEST, Embeddings, Names, as_names
from damcli.storage.lidr import Lidr

LidOf = Literal["own", "pooled"]
POOLED_LID = "pooled_log_lid"
_KEYS = ("source", "sha256", "k", "s", "anchor_kind", "anchor_count", "anchors_sha256")
_PREFIX = "pooled_lid_"
_POOL_ANEW = "damcli pool emb.h5 --templates LIST -o templates.h5 --anchors anchors.h5"


def pooled_lid_column(log_lids: NDArray[np.float64]) -> Names:
    """Write log LIDs as the column of a file of templates, at full precision."""
    return as_names([repr(float(value)) for value in log_lids])


def about_pooled_lid(source: LidSource) -> dict[str, Any]:
    """Say what pooled LIDs hang on, for the attributes of a file of templates."""
    known = source.describe()
    return {_PREFIX + name: known[name] for name in _KEYS if known.get(name) is not None}


@dataclass(frozen=True, eq=False)
class PooledLid:
    """LIDs that stand in a file of templates: the mean of their images' log LIDs.

    A `damcli.lid.source.LidSource`; see `pooled_lid`.
    """

    templates: Embeddings

    @property
    def metric(self) -> str:
        """What DAM is called with these LIDs."""
        return f"{DAM_L if self._known('source') == 'lidr' else DAM_R}, pooled LID"

    @property
    def k(self) -> int:
        """Neighbours of the LIDs."""
        return int(self._known("k"))

    @property
    def s(self) -> float:
        """Scale of the LIDs."""
        return float(self._known("s"))

    @property
    def dim(self) -> int:
        """D, the length of the embeddings."""
        return self.templates.dim

    @property
    def origin(self) -> str:
        """The file of templates, for messages."""
        return self.templates.origin

    @property
    def attributes(self) -> Mapping[str, Any]:
        """How the templates were made."""
        return self.templates.attributes

    def _known(self, name: str) -> Any:
        return self.attributes.get(_PREFIX + name)

    def log_lid(
        self, embeddings: Embeddings, *, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Read the LIDs of templates, of this file or of one with LIDs of the same making.

        Raises
        ------
        InputError
            They have none, or theirs were made with something else.
        """
        _require_pooled(embeddings)
        for name in _KEYS:
            mine, theirs = (
                side.attributes.get(_PREFIX + name) for side in (self.templates, embeddings)
            )
            if mine != theirs:
                raise InputError(
                    embeddings.origin,
                    f"pooled LIDs with {name} {theirs}; expected {mine}, as in {self.origin}",
                    hint="pool both files with the same anchors, -k and -s",
                )
        if progress is not None:
            progress(len(embeddings))
        return _numbers(embeddings)

    def describe(self) -> dict[str, Any]:
        """Return what a threshold belongs to; the source is ``pooled`` anchors or lidr."""
        known = {name: self._known(name) for name in _KEYS}
        known["source"] = f"pooled {known['source']}"
        return {**known, "k": self.k, "s": self.s, MODEL_DIGEST: self.attributes.get(MODEL_DIGEST)}


def pooled_lid(
    templates: Embeddings,
    anchors: Anchors | None = None,
    lidr: Lidr | None = None,
    *,
    k: int | None = None,
    s: float | None = None,
) -> PooledLid:
    """Take the LIDs that `damcli.pool` stored with templates.

    Parameters
    ----------
    templates
        What it returned.
    anchors, lidr
        What the LIDs must have been taken from, if given.
    k, s
        With which neighbours and scale, if given.

    Raises
    ------
    InputError
        There are no such LIDs, or they were made with something else.
    """
    _require_pooled(templates)
    found = PooledLid(templates)
    known = {name: templates.attributes.get(_PREFIX + name) for name in _KEYS}
    wanted = {
        "k": k,
        "s": s,
        "source": "anchors" if anchors is not None else "lidr" if lidr is not None else None,
        "sha256": getattr(anchors if anchors is not None else lidr, "digest", None),
    }
    for name, value in wanted.items():
        if value is not None and value != known[name]:
            raise InputError(
                templates.origin,
                f"pooled LIDs with {name} {known[name]}; expected {value}, as asked for",
                hint="leave the option out, or pool anew: " + _POOL_ANEW,
            )
    return found


def lid_of(
    which: LidOf,
    embeddings: Embeddings,
    anchors: Anchors | None,
    lidr: Lidr | None,
    *,
    k: int | None = None,
    s: float | None = None,
) -> LidSource | None:
    """Choose whose LIDs are taken: the embeddings' ``own``, or ``pooled`` ones of templates.

    Raises
    ------
    InputError
        As `pooled_lid`.
    UserError
        As `damcli.lid.source.lid_source`, or ``which`` is neither.
    """
    if which not in get_args(LidOf):
        raise UserError(f"lid = {which!r}; expected one of {', '.join(get_args(LidOf))}")
    if which == "own":
        return lid_source(anchors, lidr, k=k, s=s)
    return pooled_lid(embeddings, anchors, lidr, k=k, s=s)


def _require_pooled(templates: Embeddings) -> None:
    if POOLED_LID not in templates.groups or _PREFIX + "k" not in templates.attributes:
        raise InputError(
            templates.origin,
            "holds no pooled LIDs; expected templates that were pooled with their images' LIDs",
            hint=_POOL_ANEW,
        )


def _numbers(templates: Embeddings) -> NDArray[np.float64]:
    column = templates.groups[POOLED_LID]
    values = np.full(len(column), np.nan)
    for row, cell in enumerate(column):
        try:
            values[row] = float(cell)
        except ValueError:
            break
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        place = int(bad[0])
        raise InputError(
            templates.origin,
            f"the pooled LID of template '{templates.ids[place]}' is '{column[place]}'; expected "
            "a number",
            hint="pool anew: " + _POOL_ANEW,
        )
    return values
