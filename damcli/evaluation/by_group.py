"""The accuracy by folds of each group of pairs, as RFW is reported."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from damcli.evaluation.folds import fold_accuracies
from damcli.evaluation.results import Evaluation, GroupAccuracy
from damcli.scoring.matches import MatchSpool
from damcli.scoring.score import ListedScores


def lead_with(
    evaluation: Evaluation,
    metric: Literal["tar", "folds"],
    scores: ListedScores,
    group: str | None = None,
) -> Evaluation:
    """Tell an evaluation in a protocol's own metric.

    Parameters
    ----------
    evaluation
        Of the scores.
    metric
        What comes first.
    scores
        Of pairs with labels.
    group
        A further column of the pairs; accuracy over folds is then taken for each of its
        groups as well, with the group's own thresholds.

    Raises
    ------
    InputError
        One fold holds all genuine or all impostor pairs of a group.
    """
    if group is None:
        return replace(evaluation, leading=metric)
    found = {name: fold_accuracies(matches) for name, matches in _by_group(scores, group).items()}
    metrics = tuple(
        replace(
            one,
            group_folds=tuple(GroupAccuracy(name, folds[i]) for name, folds in found.items()),
        )
        for i, one in enumerate(evaluation.metrics)
    )
    return replace(evaluation, leading=metric, metrics=metrics, groups=group)


def _by_group(scores: ListedScores, group: str) -> dict[str, MatchSpool]:
    spools: dict[str, MatchSpool] = {}
    numbers: dict[str, int] = {}
    for chunk in scores.chunks():
        assert chunk.labels is not None
        assert chunk.folds is not None
        folds = np.array([numbers.setdefault(name, len(numbers)) for name in chunk.folds])
        members = chunk.groups[group]
        for name in dict.fromkeys(members):
            if name not in spools:
                origin = f"{scores.origin}, {group} {name}"
                spools[name] = MatchSpool(scores.metrics, has_folds=True, origin=origin)
            mine = members == name
            spools[name].append(
                chunk.labels[mine], [column[mine] for column in chunk.scores], folds=folds[mine]
            )
    return spools
