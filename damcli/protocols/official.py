"""What the readers of official protocol files have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import numpy as np

from damcli.errors import InputError
from damcli.protocols.pairs import Coded, PairChunk, PairSource
from damcli.sources.lines import lines_of

FOLDS = 10
CUT_SHORT = "was it cut short? fetch the official file anew"
IdKind = Literal["paths", "numbers"]


class OfficialPairs(PairSource, Protocol):
    """The labelled pairs of a protocol, and what its ids stand for."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The official files that hold the pairs."""
        ...

    @property
    def unit(self) -> str:
        """What an id names, in the plural: images, videos, templates, recordings."""
        ...

    @property
    def id_kind(self) -> IdKind:
        """Paths may lack their suffix and upper folders elsewhere; numbers may not."""
        ...


class Pair(NamedTuple):
    """One pair and the row it stands on, counted from 1."""

    row: int
    probe: str
    reference: str
    label: int
    fold: str


class Line(NamedTuple):
    """A line that is not blank, without its end, and its number, counted from 1."""

    row: int
    text: str


@dataclass(frozen=True)
class ListedPairs:
    """The pairs of a protocol that memory holds; see `OfficialPairs`.

    Attributes
    ----------
    parts
        The pairs of each group, in the order of the protocol; one unnamed group where the
        protocol knows none.
    group
        What the groups are.
    """

    origin: str
    files: tuple[Path, ...]
    parts: dict[str, list[Pair]]
    group: str | None = None
    unit: str = "images"
    id_kind: IdKind = "paths"
    labelled: bool = True

    @property
    def has_folds(self) -> bool:
        """Whether there is more than one fold, so that one can be held out."""
        return len({pair.fold for pairs in self.parts.values() for pair in pairs}) > 1

    @property
    def group_names(self) -> tuple[str, ...]:
        """The column of groups, where there are any."""
        return () if self.group is None else (self.group,)

    def chunks(self) -> Iterator[PairChunk]:
        """Yield the pairs of one group after the other."""
        for name, pairs in self.parts.items():
            rows, probes, references, labels, folds = zip(*pairs, strict=True)
            group = Coded(np.zeros(len(pairs), dtype=np.int64), np.array([name], dtype=object))
            yield PairChunk(
                lines=rows,
                probes=_coded(probes),
                references=_coded(references),
                labels=np.array(labels, dtype=np.int8),
                folds=_coded(folds) if self.has_folds else None,
                groups=dict.fromkeys(self.group_names, group),
            )


def _coded(names: Sequence[str]) -> Coded:
    values, codes = np.unique(np.array(names, dtype=object), return_inverse=True)
    return Coded(codes.astype(np.int64), values)


def text_lines(path: Path, what: str) -> list[Line]:
    """Read the lines of a small text file that are not blank."""
    lines = (Line(row, text.strip()) for row, text in enumerate(lines_of(path, what), start=1))
    return [line for line in lines if line.text]


def whole_number(text: str, origin: str, row: int, what: str) -> int:
    """Read a number without sign, of 18 digits at most.

    Raises
    ------
    InputError
        It is none.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise InputError(
            origin, f"{what} '{text[:40]}'; expected a whole number", row=row, hint=CUT_SHORT
        )
    return int(text)


def require_count(origin: str, found: int, expected: int, what: str, why: str) -> None:
    """Refuse a file that holds more or less than the protocol.

    Raises
    ------
    InputError
        The counts differ.
    """
    if found != expected:
        raise InputError(origin, f"{found:,} {what}; expected {expected:,}, {why}", hint=CUT_SHORT)
