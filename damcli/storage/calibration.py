"""A calibration in a file: a small JSON document that a person can read."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damcli.errors import InputError
from damcli.storage.atomic import atomic_output
from damcli.storage.inputs import require_file
from damcli.storage.tables import reading

SCHEMA = "damcli/calibration"
SCHEMA_VERSION = 1
FORMS: dict[str, tuple[str, ...]] = {
    "cosine": ("cosine",),
    "dam": ("log_dam",),
    "linear": ("cosine", "min_lid", "max_lid", "lid_term"),
    "quadratic": (
        *("cosine_alone", "cosine_mixed", "cosine_crowded"),
        *("min_lid", "max_lid", "min_lid_squared", "max_lid_squared", "min_times_max_lid"),
        "lid_term",
    ),
}
"""The features of each form, from the simplest to the richest."""
SLOPES = ("cosine", "log_dam", "cosine_alone", "cosine_mixed", "cosine_crowded")
"""The features that grow with cosine; their coefficients are above 0."""
COMBINATIONS = ("sum", "product")
_CONSTANT = "constant"
_MAX_BYTES = 1 << 20
_HINT = "make it again with damcli calibrate"


@dataclass(frozen=True)
class Calibration:
    """A fitted model of the log-likelihood ratio, and what it belongs to.

    Attributes
    ----------
    form
        One of `FORMS`.
    coefficients
        A number for each feature of the form, and ``constant``.
    lid_range
        The smallest and the largest log LID of the development pairs.
    prior
        At which it was fitted to be calibrated best.
    combine
        The form that log DAM has, ``sum`` or ``product``.
    lid
        Where LIDs come from: ``source``, ``sha256``, ``k``, ``s``, ``model_sha256``, …
    counts
        How many ``genuine`` and ``impostor`` pairs it was fitted to, of how many ``subjects``
        (0 where they are not known).
    about
        How it was made: versions, command, digests of the inputs, folds, seed.
    origin
        The file it comes from, for messages.
    """

    form: str
    coefficients: Mapping[str, float]
    lid_range: tuple[float, float]
    prior: float
    combine: str
    lid: Mapping[str, Any]
    counts: Mapping[str, int]
    about: Mapping[str, Any] = field(default_factory=dict)
    origin: str = "calibration"


def write_calibration(target: Path, calibration: Calibration, *, force: bool = False) -> None:
    """Write a calibration as JSON, whole or not at all.

    Raises
    ------
    OutputError
        The file exists, or cannot be written.
    """
    document = {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "form": calibration.form,
        "coefficients": dict(calibration.coefficients),
        "lid_range": list(calibration.lid_range),
        "prior": calibration.prior,
        "combine": calibration.combine,
        "lid": dict(calibration.lid),
        "counts": dict(calibration.counts),
        "about": dict(calibration.about),
    }
    with atomic_output(target, force=force) as draft:
        draft.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_calibration(path: Path | str) -> Calibration:
    """Read a calibration, strictly.

    Raises
    ------
    InputError
        The file is missing or damaged, of another schema or a later version, or holds a
        form, a feature or a number that is none.
    """
    path, origin = Path(path), str(path)
    if require_file(path, "a calibration") > _MAX_BYTES:
        raise InputError(origin, "too large for a calibration; expected a small JSON document")
    with reading(origin, "not a JSON document", hint=_HINT):
        document = json.loads(path.read_text(encoding="utf-8-sig"))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise InputError(origin, f"schema is {found!r}; expected '{SCHEMA}'", hint=_HINT)
    if document.get("schema_version") != SCHEMA_VERSION:
        raise InputError(
            origin,
            f"schema_version is {document.get('schema_version')!r}; expected {SCHEMA_VERSION}",
            hint="it was made by another version of damcli",
        )
    return _Reader(document, origin).calibration()


class _Reader:
    """Takes the parts of a document, each of which must be what it should be."""

    def __init__(self, document: Mapping[str, Any], origin: str) -> None:
        self._document = document
        self._origin = origin

    def calibration(self) -> Calibration:
        form = self._one_of("form", tuple(FORMS))
        lid = self._mapping("lid")
        self._number("lid.k", lid.get("k"), above=0)
        self._number("lid.s", lid.get("s"), above=0)
        if lid.get("source") not in ("anchors", "lidr"):
            raise self._wrong("lid.source", lid.get("source"), "'anchors' or 'lidr'")
        prior = self._number("prior", self._document.get("prior"), above=0)
        if prior >= 1:
            raise self._wrong("prior", prior, "a number between 0 and 1")
        return Calibration(
            form=form,
            coefficients=self._coefficients(form),
            lid_range=self._range(),
            prior=prior,
            combine=self._one_of("combine", COMBINATIONS),
            lid=lid,
            counts=self._counts(),
            about=self._mapping("about"),
            origin=self._origin,
        )

    def _coefficients(self, form: str) -> dict[str, float]:
        found = self._mapping("coefficients")
        expected = {*FORMS[form], _CONSTANT}
        for name in sorted(expected ^ set(found)):
            fault = "a feature that is not known" if name in found else "missing"
            raise InputError(
                self._origin, f"coefficient '{name}' of the form '{form}' is {fault}", hint=_HINT
            )
        numbers = {name: self._number(f"coefficients.{name}", v) for name, v in found.items()}
        for name in SLOPES:
            if name in numbers and numbers[name] <= 0:
                raise self._wrong(f"coefficients.{name}", numbers[name], "a number above 0")
        return numbers

    def _range(self) -> tuple[float, float]:
        found = self._document.get("lid_range")
        if not isinstance(found, list) or len(found) != 2:
            raise self._wrong("lid_range", found, "two numbers")
        low, high = (self._number("lid_range", value) for value in found)
        if not low < high:
            raise self._wrong("lid_range", found, "two rising numbers")
        return low, high

    def _counts(self) -> dict[str, int]:
        found = self._mapping("counts")
        for name in ("genuine", "impostors", "subjects"):
            value = found.get(name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise self._wrong(f"counts.{name}", value, "a whole number")
        return found

    def _mapping(self, name: str) -> dict[str, Any]:
        found = self._document.get(name)
        if not isinstance(found, dict):
            raise self._wrong(name, found, "an object")
        return found

    def _one_of(self, name: str, known: tuple[str, ...]) -> str:
        found = self._document.get(name)
        if not isinstance(found, str) or found not in known:
            raise self._wrong(name, found, f"one of {', '.join(known)}")
        return str(found)

    def _number(self, name: str, value: Any, *, above: float = -math.inf) -> float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_number or not abs(value) <= sys.float_info.max or value <= above:
            wanted = "a finite number" if above == -math.inf else f"a number above {above:g}"
            raise self._wrong(name, value, wanted)
        return float(value)

    def _wrong(self, name: str, found: Any, expected: str) -> InputError:
        return InputError(self._origin, f"{name} is {found!r}; expected {expected}", hint=_HINT)
