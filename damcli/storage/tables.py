"""What every reader of embeddings hands over: columns as they stand in the file, unchecked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from damcli.errors import InputError, UserError

ID_NAMES = ("id", "ids", "image_names", "names", "filenames", "paths", "image_id")
SUBJECT_NAMES = ("subject", "subjects", "subject_id", "identity", "person_id", "label", "labels")
NORM_NAMES = ("norm", "norms")
VECTOR_NAMES = ("embedding", "embeddings", "vectors", "features", "feature", "X")
GROUP_PREFIX = "group/"


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


@contextmanager
def reading(
    origin: str, what: str = "cannot be read", *, hint: str | None = None
) -> Iterator[None]:
    """Turn whatever a parser raises on a damaged file into one `InputError`.

    numpy, h5py, pyarrow and zipfile raise nearly every built-in exception on hostile
    bytes, so a list of them would always miss one.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise InputError(origin, f"{what} ({said})", hint=hint) from error


def find_column(names: list[str], known: tuple[str, ...]) -> str | None:
    """Return the first known name that is there."""
    return next((name for name in known if name in names), None)


def require_vectors(names: list[str], origin: str) -> str:
    """Return the name under which the vectors stand."""
    found = find_column(names, VECTOR_NAMES)
    if found is None:
        if "probe_id" in names:
            raise InputError(
                origin,
                f"is a table of pairs ({', '.join(names)}); expected embeddings",
                hint=f"for its rates: damcli evaluate {origin}",
            )
        raise InputError(
            origin,
            f"holds {', '.join(names) or 'nothing'}; expected the vectors under one of "
            f"{', '.join(VECTOR_NAMES)}",
            hint="rename the column or array that holds the (N, D) vectors",
        )
    return found


def group_columns(names: list[str]) -> dict[str, str]:
    """Return the names of the group columns, each with the name of its group."""
    return {
        name: name.removeprefix(GROUP_PREFIX) for name in names if name.startswith(GROUP_PREFIX)
    }
