"""Thresholds in files: one operating point, what it promises, and what it belongs to."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from damcli.errors import InputError
from damcli.storage.atomic import atomic_output
from damcli.storage.inputs import require_file
from damcli.storage.made_with import MadeWith
from damcli.storage.tables import reading

SCHEMA = "damcli/threshold"
SCHEMA_VERSION = 1
Pair = tuple[float, float]


@dataclass(frozen=True)
class Development:
    """The pairs a threshold was picked on, and what it accepted of them.

    Attributes
    ----------
    scores_sha256
        Of the scores file; None where they came through a pipe.
    genuine, impostors, subjects
        Counts; 0 subjects where they are not known.
    allowed_false_accepts, false_accepts, true_accepts
        Counts of pairs.
    achieved_far, tar
        The same as fractions.
    achieved_far_interval, tar_interval
        95 %, at the fixed threshold; None where nothing was resampled.
    resampled, resamples, seed
        What the intervals resample, how often, and from which seed.
    """

    scores_sha256: str | None
    genuine: int
    impostors: int
    subjects: int
    allowed_false_accepts: int
    false_accepts: int
    true_accepts: int
    achieved_far: float
    tar: float
    achieved_far_interval: Pair | None
    tar_interval: Pair | None
    resampled: str
    resamples: int
    seed: int


@dataclass(frozen=True)
class Threshold:
    """A threshold for one column of scores.

    Attributes
    ----------
    score
        The column that it belongs to.
    distance
        Accept when score <= threshold; otherwise when score >= threshold.
    far
        The false accept rate that it was picked for.
    threshold
        Itself, in the unit of the column.
    threshold_interval
        95 %: where those of other development pairs may lie; None where nothing was resampled.
    development
        The pairs it was picked on.
    made_with
        What the scores were made with; None where that is not known.
    origin
        The file it comes from, for messages.
    """

    score: str
    distance: bool
    far: float
    threshold: float
    threshold_interval: Pair | None
    development: Development
    made_with: MadeWith | None
    origin: str = "threshold"


def as_document(threshold: Threshold) -> dict[str, Any]:
    """Make the JSON document of a threshold."""
    content = asdict(threshold)
    del content["origin"]
    return {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **content}


def write_threshold(
    path: Path, threshold: Threshold, *, about: Mapping[str, str] | None = None, force: bool = False
) -> None:
    """Write a threshold as JSON, at full precision.

    Parameters
    ----------
    path
        The file, which appears whole or not at all.
    threshold
        What to write.
    about
        How it was made, such as the command; readers pass over it.
    force
        Replace an existing file.

    Raises
    ------
    OutputError
        The file exists or cannot be written.
    """
    document = {**as_document(threshold), **(about or {})}
    with atomic_output(path, force=force) as draft:
        draft.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", "utf-8")


def read_threshold(path: Path) -> Threshold:
    """Read a threshold.

    Raises
    ------
    InputError
        The file is missing, damaged, or not a threshold of a known version.
    """
    origin = str(path)
    require_file(path, "a threshold")
    with reading(origin, "not a readable threshold", hint=_HINT):
        document = json.loads(path.read_text("utf-8-sig"))
        if not isinstance(document, dict) or document.get("schema") != SCHEMA:
            raise InputError(origin, "not a threshold of damcli", hint=_HINT)
        version = document.get("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(
                origin,
                f"schema_version {version}; expected {SCHEMA_VERSION}",
                hint="pick the threshold anew with this version of damcli",
            )
        return _threshold(document, origin)


_HINT = "pick a threshold: damcli evaluate dev.csv --threshold-at 1e-4 -o threshold.json"


def _threshold(document: dict[str, Any], origin: str) -> Threshold:
    made_with = _get(document, "made_with")
    return Threshold(
        score=_is(document, "score", str),
        distance=_is(document, "distance", bool),
        far=_rate(document, "far"),
        threshold=_number(document, "threshold"),
        threshold_interval=_interval(document, "threshold_interval"),
        development=_development(_is(document, "development", dict)),
        made_with=None if made_with is None else MadeWith.of(made_with),
        origin=origin,
    )


def _development(part: dict[str, Any]) -> Development:
    digest = _get(part, "scores_sha256")
    return Development(
        scores_sha256=None if digest is None else _is(part, "scores_sha256", str),
        genuine=_is(part, "genuine", int),
        impostors=_is(part, "impostors", int),
        subjects=_is(part, "subjects", int),
        allowed_false_accepts=_is(part, "allowed_false_accepts", int),
        false_accepts=_is(part, "false_accepts", int),
        true_accepts=_is(part, "true_accepts", int),
        achieved_far=_rate(part, "achieved_far"),
        tar=_rate(part, "tar"),
        achieved_far_interval=_interval(part, "achieved_far_interval"),
        tar_interval=_interval(part, "tar_interval"),
        resampled=_is(part, "resampled", str),
        resamples=_is(part, "resamples", int),
        seed=_is(part, "seed", int),
    )


def _get(part: dict[str, Any], name: str) -> Any:
    if name not in part:
        raise ValueError(f"{name} is missing")
    return part[name]


def _is(part: dict[str, Any], name: str, kind: type) -> Any:
    value = _get(part, name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{name} is {value!r}; expected {kind.__name__}")
    return value


def _number(part: dict[str, Any], name: str) -> float:
    value = _get(part, name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{name} is {value!r}; expected a finite number")
    return float(value)


def _rate(part: dict[str, Any], name: str) -> float:
    value = _number(part, name)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} is {value!r}; expected a fraction between 0 and 1")
    return value


def _interval(part: dict[str, Any], name: str) -> Pair | None:
    ends = _get(part, name)
    if ends is None:
        return None
    if not isinstance(ends, list) or len(ends) != 2:
        raise ValueError(f"{name} is {ends!r}; expected two numbers")
    low, high = (_number(dict(enumerate(ends)), place) for place in (0, 1))  # type: ignore[arg-type]
    return low, high
