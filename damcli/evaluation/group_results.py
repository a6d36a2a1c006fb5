"""What an evaluation by groups finds. Rates are fractions; reports turn them into percent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from damcli.evaluation.results import Estimate

FMR, FNMR, ERROR = "FMR", "FNMR", "error"
QUANTITIES = (FMR, FNMR, ERROR)
MAX_MIN, MAX_GEOMEAN, DEVIATION = "max/min", "max/geometric mean", "standard deviation"
MEASURES = (MAX_MIN, MAX_GEOMEAN, DEVIATION)
GROUP, WITHIN, CROSS, UNKNOWN = "group", "within groups", "across groups", "group not known"


@dataclass(frozen=True)
class Line:
    """Pairs that are counted together.

    Attributes
    ----------
    kind
        ``group``: both sides are of this group. ``within groups``: of any one group.
        ``across groups``: of two different groups. ``group not known``: a side has no group.
    name
        The label of the group; the kind itself for the others.
    genuine, impostors
        Counts of pairs.
    """

    kind: str
    name: str
    genuine: int
    impostors: int


@dataclass(frozen=True)
class Point:
    """Where one metric is cut.

    Attributes
    ----------
    metric
        Its place among the metrics.
    threshold
        Accept when score >= threshold; None where the FAR allows no false accept at all.
    kind
        ``far``: chosen on all pairs for a FAR. ``best``: for the most right decisions.
        ``given``: by the user.
    far
        The FAR that it is meant for; None for ``best``.
    """

    metric: int
    threshold: float | None
    kind: Literal["far", "best", "given"]
    far: float | None = None

    @property
    def quantities(self) -> tuple[str, ...]:
        """What is taken there of each group."""
        return (ERROR,) if self.kind == "best" else (FMR, FNMR)


@dataclass(frozen=True)
class GroupRate:
    """How often one group's pairs are wrongly decided.

    Attributes
    ----------
    point
        The threshold, which is the same for all groups.
    quantity
        ``FMR``: the share of impostor pairs accepted. ``FNMR``: the share of genuine pairs
        refused. ``error``: the share of all pairs wrongly decided.
    line
        Which pairs.
    pairs, errors
        Counts.
    estimate
        The rate; None where it cannot be measured: no pairs, or fewer impostors than 1/FAR.
    """

    point: Point
    quantity: str
    line: Line
    pairs: int
    errors: int
    estimate: Estimate | None


@dataclass(frozen=True)
class GroupSpread:
    """How far the groups lie apart.

    Attributes
    ----------
    point, quantity
        As of the rates.
    measure
        ``max/min``, ``max/geometric mean`` or ``standard deviation`` (ddof = 1).
    groups
        The groups that have a rate.
    without_errors
        Those of them without a single error.
    estimate
        The measure; None with fewer than two groups, and for a ratio with a group without
        errors, which would be divided by.
    factor
        Of a ratio: by what it is multiplied from the baseline metric to this one; None where
        either has none. A standard deviation has a difference in its estimate instead.
    """

    point: Point
    quantity: str
    measure: str
    groups: tuple[str, ...]
    without_errors: tuple[str, ...]
    estimate: Estimate | None
    factor: Estimate | None = None


@dataclass(frozen=True)
class Cell:
    """The impostor pairs between two groups, or within one, at one threshold."""

    point: Point
    groups: tuple[str, str]
    impostors: int
    false_accepts: int


@dataclass(frozen=True)
class GroupEvaluation:
    """One column's groups at the thresholds that hold for all pairs.

    Attributes
    ----------
    column
        What tells the pairs apart.
    points
        The thresholds. One without, at a FAR that allows no false accept, has no rates.
    metrics
        The names of the scores, baseline first.
    lines
        The groups by name, then pairs within any group, across groups, and of no known group,
        as far as there are any.
    rates, spreads
        In the order of the points.
    cells
        Impostors by the groups of both sides.
    is_distance
        Thresholds are distances: accept at or below them.
    """

    column: str
    points: tuple[Point, ...]
    metrics: tuple[str, ...]
    lines: tuple[Line, ...]
    rates: tuple[GroupRate, ...]
    spreads: tuple[GroupSpread, ...]
    cells: tuple[Cell, ...]
    is_distance: bool = False

    @property
    def groups(self) -> tuple[Line, ...]:
        """The groups themselves."""
        return tuple(line for line in self.lines if line.kind == GROUP)
