"""Whether two files may meet in one score: dimension, model, and people in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from damcli.errors import InputError
from damcli.lid.neighbours import same_source
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import MODEL_DIGEST, ROW_NUMBER_IDS, Embeddings, Names


class InSpace(Protocol):
    """What belongs to the embeddings of one model: embeddings, anchors, a regressor."""

    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def attributes(self) -> Mapping[str, Any]: ...  # noqa: D102


def check_same_space(first: InSpace, second: InSpace, *, allow_mixed_models: bool) -> None:
    """Refuse files of two dimensions, or of two models as far as the files say.

    Raises
    ------
    InputError
        The dimensions differ, or the models do and that was not allowed.
    """
    if first.dim != second.dim:
        raise InputError(
            second.origin,
            f"embeddings of dimension {second.dim}; expected {first.dim}, "
            f"the dimension of {first.origin}",
            hint="both must come from the same model",
        )
    models = [str(side.attributes.get(MODEL_DIGEST, "")) for side in (first, second)]
    if all(models) and models[0] != models[1] and not allow_mixed_models:
        raise InputError(
            second.origin,
            f"made with model {models[1][:12]}…; expected {models[0][:12]}…, "
            f"the model of {first.origin}",
            hint="embed both with the same model, or insist with --allow-mixed-models",
        )


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
