"""Whether two files may meet in one score: dimension, model, and people in common."""

from __future__ import annotations

from damcli.errors import InputError
from damcli.lid.own import same_source
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Names
from damcli.storage.made_with import MadeWith
from damcli.storage.space import check_same_space
from damcli.storage.threshold import Threshold

__all__ = ["check_disjoint", "check_same_space", "check_threshold"]


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


def check_threshold(threshold: Threshold, made_with: MadeWith | None, where: str) -> None:
    """Refuse a threshold that was picked on scores made with something else.

    Parameters
    ----------
    threshold
        The threshold.
    made_with
        What the scores were made with that it is to decide on; None where that is not known.
    where
        What to call those scores in messages.

    Raises
    ------
    InputError
        Model, anchors, lidr, calibration, k, s or form differ, as far as the threshold's score
        hangs on them and both sides know them.
    """
    if threshold.made_with is None or made_with is None:
        return
    differences = threshold.made_with.differences(made_with, threshold.score)
    if differences:
        raise InputError(
            threshold.origin,
            f"picked on scores with {_listed([(name, mine) for name, mine, _ in differences])}; "
            f"expected {_listed([(name, theirs) for name, _, theirs in differences])}, "
            f"as for {where}",
            hint="a threshold belongs to what made its scores: pick one with these files and "
            "options, damcli evaluate dev.csv --threshold-at RATE -o threshold.json",
        )


def _listed(values: list[tuple[str, object]]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in values)


def _short(value: object) -> str:
    if value is None:
        return "(none)"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 else text
