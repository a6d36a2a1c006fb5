"""Where log LIDs come from: an anchor set, or a regressor that was fitted to one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from damcli.errors import UserError
from damcli.lid.discrepancy import log_lid
from damcli.lid.neighbours import Progress
from damcli.lid.regressor import predict_log_lid
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import MODEL_DIGEST, Embeddings
from damcli.storage.lidr import Lidr

DAM_R = "DAM-R"
DAM_L = "DAM-L"


class LidSource(Protocol):
    """Gives the log LID of embeddings, and says what a score that used it hangs on."""

    @property
    def metric(self) -> str:
        """What DAM is called with these LIDs: ``DAM-R`` or ``DAM-L``."""
        ...

    @property
    def k(self) -> int: ...  # noqa: D102
    @property
    def s(self) -> float: ...  # noqa: D102
    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def attributes(self) -> Mapping[str, Any]: ...  # noqa: D102
    def log_lid(
        self, embeddings: Embeddings, *, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Return (N,) float64, finite; ``progress`` hears of the embeddings done."""
        ...

    def describe(self) -> dict[str, Any]:
        """Return what a threshold belongs to, JSON-safe: digests, k, s, anchors, model."""
        ...


@dataclass(frozen=True, eq=False)
class AnchorLid:
    """LIDs from the k nearest of an anchor set: DAM-R."""

    anchors: Anchors
    k: int = 10
    s: float = 1.0
    metric = DAM_R

    @property
    def dim(self) -> int:
        """D, the length of the embeddings."""
        return self.anchors.dim

    @property
    def origin(self) -> str:
        """The anchors' file, for messages."""
        return self.anchors.origin

    @property
    def attributes(self) -> Mapping[str, Any]:
        """How the anchors were made."""
        return self.anchors.attributes

    def log_lid(
        self, embeddings: Embeddings, *, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Take the log LID as `damcli.log_lid` does."""
        return log_lid(embeddings, self.anchors, k=self.k, s=self.s, progress=progress)

    def describe(self) -> dict[str, Any]:
        """Return the anchors' kind, count and digest, k, s and the model."""
        return {
            "source": "anchors",
            "sha256": self.anchors.digest,
            "k": self.k,
            "s": self.s,
            "anchor_kind": self.anchors.kind,
            "anchor_count": len(self.anchors),
            "anchors_sha256": self.anchors.digest,
            MODEL_DIGEST: self.anchors.attributes.get(MODEL_DIGEST),
        }


@dataclass(frozen=True, eq=False)
class RegressedLid:
    """LIDs from a fitted regressor, without anchors: DAM-L."""

    lidr: Lidr
    metric = DAM_L

    @property
    def k(self) -> int:
        """Neighbours of the LID that the regressor learnt."""
        return self.lidr.k

    @property
    def s(self) -> float:
        """Scale of the LID that the regressor learnt."""
        return self.lidr.s

    @property
    def dim(self) -> int:
        """D, the length of the embeddings."""
        return self.lidr.dim

    @property
    def origin(self) -> str:
        """The regressor's file, for messages."""
        return self.lidr.origin

    @property
    def attributes(self) -> Mapping[str, Any]:
        """How the regressor was made."""
        return self.lidr.attributes

    def log_lid(
        self, embeddings: Embeddings, *, progress: Progress | None = None
    ) -> NDArray[np.float64]:
        """Predict the log LID; see `damcli.lid.regressor.predict_log_lid`."""
        return predict_log_lid(self.lidr, embeddings, progress=progress)

    def describe(self) -> dict[str, Any]:
        """Return the regressor's digest, and what is known of the anchors it was fitted to."""
        known = self.lidr.attributes
        return {
            "source": "lidr",
            "sha256": self.lidr.digest,
            "k": self.k,
            "s": self.s,
            "anchor_kind": known.get("anchor_kind"),
            "anchor_count": self.lidr.anchor_count,
            "anchors_sha256": known.get("anchors_sha256"),
            MODEL_DIGEST: known.get(MODEL_DIGEST),
        }


def lid_source(
    anchors: Anchors | None, lidr: Lidr | None, *, k: int | None = None, s: float | None = None
) -> LidSource | None:
    """Choose where LIDs come from; None, for cosine alone, where nothing is given.

    Parameters
    ----------
    anchors, lidr
        An anchor set, or a regressor; not both.
    k, s
        Neighbours and scale; by default 10 and 1 for anchors. A regressor has its own,
        and none but these may be asked of it.

    Raises
    ------
    UserError
        Both are given, or the regressor was fitted with another k or s.
    """
    if lidr is None:
        if anchors is None:
            return None
        return AnchorLid(anchors, 10 if k is None else k, 1.0 if s is None else s)
    if anchors is not None:
        raise UserError("anchors and a lidr were given; expected one of them to take LIDs from")
    for name, wanted, fitted in (("k", k, lidr.k), ("s", s, lidr.s)):
        if wanted is not None and wanted != fitted:
            raise UserError(
                f"{name} = {wanted:g}, but {lidr.origin} was fitted with {name} = {fitted:g}",
                hint=f"leave {name} out, or fit a lidr with that {name}",
            )
    return RegressedLid(lidr)
