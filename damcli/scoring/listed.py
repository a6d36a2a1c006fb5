"""Matches from a score list, numbered as `damcli score` numbers them."""

from __future__ import annotations

import numpy as np

from damcli.protocols.scores import ScoreChunk, ScoreList
from damcli.scoring.groups import GroupNumbers
from damcli.scoring.matches import MatchSpool
from damcli.storage.spool import Spool


def matches_of(
    scores: ScoreList, *, distance: bool = False, baseline: tuple[str, Spool] | None = None
) -> MatchSpool:
    """Read a score list for evaluation.

    Parameters
    ----------
    scores
        The list.
    distance
        The scores are distances, lower = more similar; they are negated.
    baseline
        The name and the scores of a metric to compare with, in the order of the list.

    Raises
    ------
    InputError
        A label is neither 1 nor 0, a score is not a finite number, or a column of groups
        holds too many.
    """
    subjects = _numbers(scores, scores.subjects or ())
    folds = _numbers(scores, () if scores.fold is None else (scores.fold,))
    before = () if baseline is None else (baseline[0],)
    groups = [GroupNumbers(name, scores.origin) for name in scores.groups]
    spool = MatchSpool(
        (*before, *scores.metrics),
        subject_count=len(subjects),
        has_folds=scores.fold is not None,
        origin=scores.origin,
        groups=groups,
    )
    sign = -1.0 if distance else 1.0

    def take(chunk: ScoreChunk) -> None:
        sides = [
            np.array([subjects[name] for name in column.names])[column.codes]
            for column in map(chunk.column, scores.subjects or ())
        ]
        fold = None
        if scores.fold is not None:
            column = chunk.column(scores.fold)
            fold = np.array([folds[name] for name in column.names])[column.codes]
        columns = [sign * chunk.scores(name) for name in scores.metrics]
        if baseline is not None:
            columns.insert(0, sign * baseline[1].read(len(spool), len(chunk)))
        probe, reference = sides or (None, None)
        codes = [
            [numbers.encode(chunk.column(place)) for place in scores.groups[numbers.name]]
            for numbers in groups
        ]
        numbered = np.array(codes, dtype=np.int16).reshape(len(groups), 2, len(chunk))
        spool.append(chunk.labels, columns, probe, reference, fold, numbered)

    scores.read(take)
    return spool


def _numbers(scores: ScoreList, places: tuple[int, ...]) -> dict[str, int]:
    """Give the names of some columns numbers, in sorted order: a pass of its own."""
    names: set[str] = set()
    if places:
        scores.read(lambda chunk: names.update(*(chunk.column(place).names for place in places)))
    return {name: number for number, name in enumerate(sorted(names))}
