"""Whether two files belong to one embedding space: dimension and model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from damcli.errors import InputError
from damcli.storage.embeddings import MODEL_DIGEST, MODEL_NAME


class InSpace(Protocol):
    """What belongs to the embeddings of one model: embeddings, anchors, a regressor."""

    @property
    def dim(self) -> int: ...  # noqa: D102
    @property
    def origin(self) -> str: ...  # noqa: D102
    @property
    def attributes(self) -> Mapping[str, Any]: ...  # noqa: D102


def model_in_words(attributes: Mapping[str, Any]) -> str:
    """Name the model that made a file: ``model r50.onnx (0123456789ab…)``, as far as it says."""
    digest, name = str(attributes.get(MODEL_DIGEST, "")), attributes.get(MODEL_NAME)
    short = f"{digest[:12]}…" if len(digest) > 12 else digest
    return f"model {name} ({short or 'unknown'})" if name else f"model {short or 'unknown'}"


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
            f"made with {model_in_words(second.attributes)}; expected "
            f"{model_in_words(first.attributes)}, the model of {first.origin}",
            hint="embed both with the same model, or insist with --allow-mixed-models",
        )
