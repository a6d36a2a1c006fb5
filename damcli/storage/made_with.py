"""What scores were made with: in a Parquet file's metadata, or beside any other scores file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from damcli.errors import InputError
from damcli.storage.atomic import atomic_output
from damcli.storage.digests import file_digest
from damcli.storage.inputs import is_there
from damcli.storage.tables import reading

SCHEMA = "damcli/scores-about"
PREFIX = "damcli."
_SCHEMA_VERSION = 1
_PARQUET = (".parquet", ".pq")
# What a column of scores depends on; on all of it where the column is not listed.
_MATTERS = {
    "cosine": ("model",),
    "score": ("model", "anchors", "lidr", "k", "s", "combine", "lid", "linear"),
    "llr": ("model", "anchors", "lidr", "calibration", "k", "s", "combine", "lid"),
}


@dataclass(frozen=True)
class MadeWith:
    """What scores hang on; None for what was not used, or is not known.

    Attributes
    ----------
    model
        SHA-256 of the model that made the embeddings.
    anchors, lidr, calibration
        SHA-256 of these files; those of several sets of anchors joined by ``+``.
    k, s, combine, lid, linear
        As the options of ``damcli score``; ``lid`` where it is ``pooled``.
    cohort_size, beta, nes_steps
        As the options of ``damcli compare``.
    """

    model: str | None = None
    anchors: str | None = None
    lidr: str | None = None
    calibration: str | None = None
    k: int | None = None
    s: float | None = None
    combine: str | None = None
    lid: str | None = None
    linear: bool | None = None
    cohort_size: int | None = None
    beta: float | None = None
    nes_steps: int | None = None

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> MadeWith:
        """Pick out what matters from values, or from their texts.

        Raises
        ------
        ValueError
            A value is not of its kind.
        """
        kinds: dict[str, Callable[[Any], Any]] = {"k": int, "s": float, "linear": _truth}
        kinds |= {"cohort_size": int, "beta": float, "nes_steps": int}
        found = {one.name: about.get(one.name) for one in fields(cls)}
        return cls(
            **{
                name: None if value in (None, "None") else kinds.get(name, str)(value)
                for name, value in found.items()
            }
        )

    def differences(self, other: MadeWith, score: str) -> list[tuple[str, Any, Any]]:
        """List what differs and matters to a column of scores: name, mine, the other's.

        A model that one side does not know is no difference.
        """
        mine, theirs = asdict(self), asdict(other)
        return [
            (name, mine[name], theirs[name])
            for name in _MATTERS.get(score, tuple(mine))
            if mine[name] != theirs[name]
            and not (name == "model" and None in (mine[name], theirs[name]))
        ]


def _truth(value: Any) -> bool:
    if str(value) not in ("True", "False"):
        raise ValueError(f"'{value}' is neither True nor False")
    return str(value) == "True"


def about_path(scores: Path) -> Path:
    """Return where that which a scores file was made with stands."""
    return scores.with_name(scores.name + ".about.json")


def write_about(scores: Path, about: Mapping[str, Any], *, force: bool = False) -> None:
    """Record what a scores file was made with beside it, tied to its content by a digest.

    Parquet has room for that itself, and gets no such file.
    """
    if scores.suffix.lower() in _PARQUET:
        return
    head = {
        "schema": SCHEMA,
        "schema_version": _SCHEMA_VERSION,
        "scores_sha256": file_digest(scores),
    }
    with atomic_output(about_path(scores), force=force) as draft:
        draft.write_text(json.dumps({**head, "about": dict(about)}, indent=2) + "\n", "utf-8")


def read_about(scores: Path) -> MadeWith | None:
    """Tell what a scores file hangs on; None where that is not known.

    Raises
    ------
    InputError
        As `read_record`.
    """
    found = _read(scores)
    return None if found is None else found[1]


def read_record(scores: Path) -> dict[str, Any] | None:
    """Return all that is recorded of how a scores file was made; None where nothing is.

    Returns
    -------
    dict or None
        By name: command, digests of the inputs, options. The values of a Parquet file are
        texts.

    Raises
    ------
    InputError
        The record is damaged, or belongs to other content than the file has now.
    """
    found = _read(scores)
    return None if found is None else found[0]


def _read(scores: Path) -> tuple[dict[str, Any], MadeWith] | None:
    if scores.suffix.lower() in _PARQUET:
        return _from_parquet(scores)
    beside = about_path(scores)
    if not is_there(beside):
        return None
    with reading(str(beside), "not a readable record of scores", hint=_hint(beside)):
        document = json.loads(beside.read_text("utf-8-sig"))
        if (document["schema"], document["schema_version"]) != (SCHEMA, _SCHEMA_VERSION):
            raise ValueError(f"{document['schema']}, version {document['schema_version']}")
        record, digest = dict(document["about"]), document["scores_sha256"]
        made_with = MadeWith.of(record)
    if digest != file_digest(scores):
        raise InputError(
            str(beside),
            f"describes scores with SHA-256 {str(digest)[:12]}…; "
            f"expected that of {scores}, which was changed since",
            hint=_hint(beside),
        )
    return record, made_with


def _hint(beside: Path) -> str:
    return f"score again, or remove {beside} to treat the scores as of unknown origin"


def _from_parquet(scores: Path) -> tuple[dict[str, Any], MadeWith] | None:
    import pyarrow.parquet as pq

    with reading(str(scores), "not a readable Parquet file", hint="make the file anew"):
        metadata = pq.read_schema(scores).metadata or {}
        about = {
            name.decode().removeprefix(PREFIX): value.decode()
            for name, value in metadata.items()
            if name.decode().startswith(PREFIX)
        }
        return (about, MadeWith.of(about)) if about else None
