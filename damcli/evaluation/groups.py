"""Error rates by groups at thresholds that hold for all pairs, and how far they lie apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from damcli.evaluation.counts import Counts, Floats, count_matches
from damcli.evaluation.group_bootstrap import resampled_errors
from damcli.evaluation.group_counts import (
    GroupCounts,
    by_name,
    count_groups,
    line_totals,
    lines_of,
)
from damcli.evaluation.group_estimates import GroupEstimates
from damcli.evaluation.group_results import (
    CROSS,
    GROUP,
    UNKNOWN,
    WITHIN,
    Cell,
    GroupEvaluation,
    Line,
    Point,
)
from damcli.evaluation.results import Evaluation
from damcli.evaluation.sample import KEEP_ALL, GroupedSide, grouped_sample
from damcli.scoring.groups import Grouping
from damcli.scoring.matches import MatchChunk, Matches

# What a sample of many pairs holds of the groups, whatever their scores.
_BY_GROUP = 100_000
_LEAST = 2_000
Progress = Callable[[int], None]


def evaluate_groups(
    matches: Matches,
    evaluation: Evaluation,
    *,
    given: tuple[str, float, float] | None = None,
    resampling: Progress | None = None,
) -> tuple[GroupEvaluation, ...]:
    """Take FMR and FNMR of each group, for each column that tells the pairs apart.

    Parameters
    ----------
    matches
        Scored pairs with groups.
    evaluation
        Of these pairs: its thresholds are those at which groups are compared, and its
        resamples are drawn for the intervals.
    given
        A metric, its threshold and the FAR that this is meant for, to take instead of the
        thresholds of the evaluation.
    resampling
        Called with the number of resamples done since the last call.

    Returns
    -------
    tuple of GroupEvaluation
        One a column. A rate stands beside its 95 % interval and its paired difference to the
        first metric; thresholds that were chosen on these pairs are chosen anew on each
        resample.
    """
    points = _points(evaluation) if given is None else [_given(evaluation, *given)]
    measured = [point for point in points if point.threshold is not None]
    counts = count_groups(matches, measured)
    sides = None
    if evaluation.resamples:
        sides = _sample(matches, counts, points, evaluation.seed)
    return tuple(
        _column(matches, evaluation, column, points, counts[column], sides, resampling)
        for column in range(len(matches.groupings))
    )


def _points(evaluation: Evaluation) -> list[Point]:
    metrics = list(enumerate(evaluation.metrics))
    fars = [point.far for point in evaluation.metrics[0].points]
    points = [
        Point(place, metric.points[i].threshold, "far", far)
        for i, far in enumerate(fars)
        for place, metric in metrics
    ]
    return points + [Point(place, metric.best_threshold, "best") for place, metric in metrics]


def _given(evaluation: Evaluation, name: str, threshold: float, far: float) -> Point:
    names = [metric.name for metric in evaluation.metrics]
    return Point(names.index(name), threshold, "given", far)


def _sample(
    matches: Matches, counts: Sequence[GroupCounts], points: Sequence[Point], seed: int
) -> tuple[GroupedSide, GroupedSide]:
    ranks = []
    if matches.impostor_count > KEEP_ALL:
        ranks = count_matches(matches, sorted({p.far for p in points if p.far is not None}))
    impostors, genuine = (
        partial(_chances, [line_totals(one.pairs[label]) for one in counts]) for label in (0, 1)
    )
    return grouped_sample(matches, ranks, seed, (genuine, impostors))


def _chances(totals: Sequence[Counts], chunk: MatchChunk) -> Floats:
    """Give a pair the largest of the chances that its groups have; few pairs are all kept."""
    if totals[0].sum() <= KEEP_ALL:
        return np.ones(chunk.scores.shape[1])
    chance = np.zeros(chunk.scores.shape[1])
    for groups, lines in zip(chunk.groups, totals, strict=True):
        quota = max(_LEAST, _BY_GROUP // len(lines))
        of_line = np.minimum(1.0, quota / np.maximum(lines, 1))
        np.maximum(chance, of_line[lines_of(groups, len(lines) - 2)], out=chance)
    return chance


def _column(
    matches: Matches,
    evaluation: Evaluation,
    column: int,
    points: Sequence[Point],
    counts: GroupCounts,
    sides: tuple[GroupedSide, GroupedSide] | None,
    resampling: Progress | None,
) -> GroupEvaluation:
    grouping = matches.groupings[column]
    size = len(grouping.labels)
    order = by_name(grouping)
    measured = [point for point in points if point.threshold is not None]
    found = np.concatenate([line_totals(counts.errors), line_totals(counts.pairs)[None]])
    exact = _tabled(found.astype(np.float64), order)
    lines = _lines(grouping, order, exact[-1])
    plain = resampled = people = None
    if sides is not None:
        drawn = resampled_errors(
            *sides,
            column,
            size,
            measured,
            resamples=evaluation.resamples,
            seed=evaluation.seed,
            progress=resampling,
        )
        plain, resampled = (_tabled(one, order) for one in drawn)
        if matches.subject_count > 1:
            people = _people(sides[0], column, size, order)
    estimates = GroupEstimates(lines, measured, exact, plain, resampled, people)
    return GroupEvaluation(
        column=grouping.name,
        points=tuple(points),
        metrics=tuple(metric.name for metric in evaluation.metrics),
        lines=tuple(line for line in lines if _is_shown(line)),
        rates=tuple(rate for rate in estimates.rates() if _is_shown(rate.line)),
        spreads=tuple(estimates.spreads()),
        cells=tuple(_cells(measured, counts, grouping, order)),
    )


def _tabled(lines: Floats, order: Sequence[int]) -> Floats:
    """Lay (..., g + 2) lines out as the groups by name, all of these, and the rest."""
    groups = lines[..., list(order)]
    return np.concatenate([groups, groups.sum(axis=-1, keepdims=True), lines[..., -2:]], axis=-1)


def _lines(grouping: Grouping, order: Sequence[int], pairs: Floats) -> list[Line]:
    named = [(GROUP, grouping.labels[number]) for number in order]
    kinds = [*named, *((kind, kind) for kind in (WITHIN, CROSS, UNKNOWN))]
    return [
        Line(kind, name, int(pairs[1, place]), int(pairs[0, place]))
        for place, (kind, name) in enumerate(kinds)
    ]


def _is_shown(line: Line) -> bool:
    return line.kind in (GROUP, WITHIN) or line.genuine + line.impostors > 0


def _people(genuine: GroupedSide, column: int, size: int, order: Sequence[int]) -> list[int]:
    """Count the people whose genuine pairs stand on each line."""
    lines = lines_of(genuine.groups[column], size)
    subjects = genuine.side.probe_subjects
    within = lines < size
    kinds = [*(lines == number for number in order), within, *(lines == size + i for i in (0, 1))]
    return [len(np.unique(subjects[mine])) for mine in kinds]


def _cells(
    points: Sequence[Point], counts: GroupCounts, grouping: Grouping, order: Sequence[int]
) -> list[Cell]:
    """List the impostors between any two groups, where there are some."""
    cells = []
    for place, point in enumerate(points):
        for i, one in enumerate(order):
            for other in order[i:]:
                at = min(one, other), max(one, other)
                if counts.pairs[0][at]:
                    names = grouping.labels[one], grouping.labels[other]
                    numbers = counts.pairs[0][at], counts.errors[place, 0][at]
                    cells.append(Cell(point, names, *map(int, numbers)))
    return cells
