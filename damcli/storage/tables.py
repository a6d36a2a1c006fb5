"""What every reader of embeddings hands over: columns as they stand in the file, unchecked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from damcli.errors import InputError

ID_NAMES = ("id", "ids", "image_names", "names", "filenames", "paths", "image_id")
SUBJECT_NAMES = ("subject", "subjects", "subject_id", "identity", "person_id", "label", "labels")
NORM_NAMES = ("norm", "norms")
VECTOR_NAMES = ("embedding", "embeddings", "vectors", "features", "feature", "X")


@dataclass(frozen=True)
class RawTable:
    """Columns of N rows; ``vectors`` may be anything that slices like an (N, D) array."""

    format: str
    vectors: Any
    ids: Any = None
    subjects: Any = None
    norms: Any = None
    groups: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)


def find_column(names: list[str], known: tuple[str, ...]) -> str | None:
    """Return the first known name that is there."""
    return next((name for name in known if name in names), None)


def require_vectors(names: list[str], origin: str) -> str:
    """Return the name under which the vectors stand."""
    found = find_column(names, VECTOR_NAMES)
    if found is None:
        raise InputError(
            origin,
            f"holds {', '.join(names) or 'nothing'}; expected the vectors under one of "
            f"{', '.join(VECTOR_NAMES)}",
            hint="rename the column or array that holds the (N, D) vectors",
        )
    return found
