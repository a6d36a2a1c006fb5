"""Whether two files may meet in one score: dimension, model, and people in common."""

from __future__ import annotations

from damcli.errors import InputError
from damcli.lid.neighbours import same_source
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Names
from damcli.storage.space import check_same_space

__all__ = ["check_disjoint", "check_same_space"]


def check_disjoint(used: Embeddings, anchors: Anchors) -> None:
    """Refuse anchors that show a person or a sample that is being scored.

    Such anchors inflate G of exactly those people, and the scores of their genuine
    pairs with it.

    Raises
    ------
    InputError
        Ids or subjects stand on both sides.
    """
    numbered = used.attributes.get(ROW_NUMBER_IDS) or anchors.attributes.get(ROW_NUMBER_IDS)
    columns: list[tuple[str, Names | None, Names | None]] = [
        ("subject", used.subjects, anchors.subjects)
    ]
    if not numbered or same_source(used, anchors):
        columns.append(("id", used.ids, anchors.ids))
    for what, mine, theirs in columns:
        if mine is None or theirs is None:
            continue
        common = sorted(set(mine) & set(theirs))
        if common:
            raise InputError(
                anchors.origin,
                f"{len(common)} {what}s stand among the anchors and in {used.origin}, "
                f"'{common[0]}' for one; expected anchors that show other people",
                hint=f"build the anchors with --exclude-{what}s, or score with --allow-overlap, "
                "which skips each face's own anchors",
            )
