"""Columns that tell pairs apart: to which group each side of a pair belongs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.protocols.groups import listed_columns, no_such_column, side_columns
from damcli.protocols.pairs import Coded
from damcli.storage.embeddings import Embeddings, Names, Rows

MOST_GROUPS = 200
NO_GROUP = -1
Codes = NDArray[np.int16]


class Grouping(NamedTuple):
    """A column and the labels of its groups, by their numbers."""

    name: str
    labels: tuple[str, ...]


class GroupNumbers:
    """Numbers for the labels of one column, given as they come.

    Parameters
    ----------
    name
        Of the column.
    origin
        Where it stands, for messages.
    """

    def __init__(self, name: str, origin: str) -> None:
        self.name = name
        self._origin = origin
        self._numbers: dict[str, int] = {}

    @property
    def grouping(self) -> Grouping:
        """The labels met so far."""
        return Grouping(self.name, tuple(self._numbers))

    def encode(self, column: Coded) -> Codes:
        """Return the number of each label, `NO_GROUP` for one that is blank.

        Raises
        ------
        InputError
            There are so many labels that they are no groups.
        """
        numbers = np.array([self._number(label) for label in column.names], dtype=np.int16)
        return numbers[column.codes]

    def _number(self, label: str) -> int:
        if not label.strip():
            return NO_GROUP
        number = self._numbers.setdefault(label, len(self._numbers))
        if number >= MOST_GROUPS:
            raise InputError(
                self._origin,
                f"column '{self.name}' holds more than {MOST_GROUPS} different values; "
                "expected groups of people or pairs",
                hint="name a column of few groups, or put values into bands first",
            )
        return number


class _Column:
    """One column, from the pair list or from the embeddings of both sides."""

    def __init__(self, name: str, listed: tuple[str, str] | None, origin: str) -> None:
        self.numbers = GroupNumbers(name, origin)
        self.listed = listed
        self.sides: tuple[Names, ...] = ()
        self._codes: tuple[Codes, ...] = ()

    def take(self, *sides: Embeddings) -> None:
        name = self.numbers.name
        self.sides = tuple(side.groups[name] for side in sides)
        self._codes = tuple(self.numbers.encode(_coded(labels)) for labels in self.sides)

    def codes(self, rows: tuple[Rows, Rows], cells: Mapping[str, Names]) -> list[Codes]:
        if self.listed is None:
            return [codes[mine] for codes, mine in zip(self._codes, rows, strict=True)]
        found = {
            name: self.numbers.encode(_coded(cells[name])) for name in dict.fromkeys(self.listed)
        }
        return [found[name] for name in self.listed]


class PairGroups:
    """The columns by which pairs are told apart.

    Parameters
    ----------
    names
        The columns. Each is looked for in the pair list, as itself or as ``probe_NAME`` and
        ``reference_NAME``, then among the groups of the embeddings.
    listed
        The columns of the pair list.
    probes, references
        The embeddings.
    origin
        Where the pairs come from, for messages.

    Raises
    ------
    InputError
        A column is nowhere, or holds too many different values.
    """

    def __init__(
        self,
        names: Sequence[str] = (),
        listed: Sequence[str] = (),
        *,
        probes: Embeddings,
        references: Embeddings,
        origin: str,
    ) -> None:
        self._columns = []
        shared = [name for name in probes.groups if name in references.groups]
        for name in names:
            place = listed_columns(name, listed)
            if place is None and name not in shared:
                raise no_such_column(name, listed, shared, origin)
            column = _Column(name, place, probes.origin if place is None else origin)
            if place is None:
                column.take(probes, references)
            self._columns.append(column)

    @property
    def numbers(self) -> list[GroupNumbers]:
        """The numbers that labels have, for each column."""
        return [column.numbers for column in self._columns]

    def codes(
        self, probe_rows: Rows, reference_rows: Rows, cells: Mapping[str, Names] | None = None
    ) -> Codes:
        """Give the groups of P pairs as numbers.

        Parameters
        ----------
        probe_rows, reference_rows
            (P,) rows of the embeddings.
        cells
            The further columns of the pair list.

        Returns
        -------
        ndarray
            (columns, 2, P) int16, of probe and reference; `NO_GROUP` where that is not known.
        """
        rows = (probe_rows, reference_rows)
        found = [column.codes(rows, cells or {}) for column in self._columns]
        return np.array(found, dtype=np.int16).reshape(len(found), 2, len(probe_rows))

    @property
    def written(self) -> tuple[str, ...]:
        """The columns that the embeddings add to a scores file."""
        mine = (column for column in self._columns if column.listed is None)
        return tuple(name for column in mine for name in side_columns(column.numbers.name))

    def cells(self, probe_rows: Rows, reference_rows: Rows) -> dict[str, Names]:
        """Return these columns for some pairs."""
        sides = (side for column in self._columns for side in column.sides)
        rows = (probe_rows, reference_rows) * len(self._columns)
        return {
            name: side[mine] for name, side, mine in zip(self.written, sides, rows, strict=False)
        }


def _coded(labels: Iterable[str]) -> Coded:
    import pandas as pd

    codes, names = pd.factorize(np.asarray(labels, dtype=object))
    return Coded(codes.astype(np.int64), np.asarray(names, dtype=object))
