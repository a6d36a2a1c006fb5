"""Anchors: embeddings chosen to stand for other people."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, as_names

AnchorKind = Literal["real-db", "fake-db", "fc-weights"]
NAMELESS = "ids_stripped"
ANCHOR_KINDS: tuple[str, ...] = get_args(AnchorKind)


@dataclass(frozen=True, eq=False)
class Anchors(Embeddings):
    """An anchor set: M embeddings that a local inter-class discrepancy is taken from.

    Its attributes say of which ``kind`` it is (``real-db``: training faces, ``fake-db``:
    generated faces, ``fc-weights``: the class centres of the classifier), how it was
    chosen, from what seed, and the digest of the file it was chosen from.
    """

    @property
    def kind(self) -> str:
        """One of ``real-db``, ``fake-db``, ``fc-weights``."""
        return str(self.attributes["kind"])

    def nameless(self) -> Anchors:
        """Drop ids, subjects and groups, and count the rows instead.

        Nobody can then tell whose anchors these are: an embedding's own are not skipped.
        """
        return replace(
            self,
            ids=as_names(range(len(self))),
            subjects=None,
            groups={},
            attributes={**self.attributes, ROW_NUMBER_IDS: True, NAMELESS: True},
        )

    @classmethod
    def of(cls, embeddings: Embeddings, **attributes: str | int | float | bool) -> Anchors:
        """Declare embeddings to be anchors, adding to what is known about them."""
        return cls(
            vectors=embeddings.vectors,
            ids=embeddings.ids,
            subjects=embeddings.subjects,
            norms=embeddings.norms,
            groups=embeddings.groups,
            attributes={**embeddings.attributes, **attributes},
            origin=embeddings.origin,
        )
