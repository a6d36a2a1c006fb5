"""The evaluation for programs: a JSON document, or the same rows as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from damcli import __version__
from damcli.evaluation import Evaluation
from damcli.evaluation.group_results import GroupEvaluation
from damcli.reports.group_rows import GROUP_COLUMNS, group_rows
from damcli.reports.rows import COLUMNS, as_dict, rows_of

SCHEMA = "damcli/evaluation"
SCHEMA_VERSION = 1


def as_document(
    evaluation: Evaluation,
    *,
    command: str,
    inputs: Mapping[str, str | None],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Make the JSON document of an evaluation.

    Parameters
    ----------
    evaluation
        What was found.
    command
        The command that found it.
    inputs
        SHA-256 of each input file by its role.
    settings
        What the scores were made with.

    Returns
    -------
    dict
        JSON-safe; numbers at full precision, rates as fractions.
    """
    rows = rows_of(evaluation)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "damcli_version": __version__,
        "inputs": dict(inputs),
        "settings": dict(settings),
        "counts": {
            "genuine": evaluation.genuine,
            "impostors": evaluation.impostors,
            "subjects": evaluation.subjects or None,
        },
        "accept": "distance <= threshold" if evaluation.is_distance else "score >= threshold",
        "intervals": {
            "level": 0.95,
            "resampled": evaluation.resampled,
            "resamples": evaluation.resamples,
            "seed": evaluation.seed,
        },
        "metrics": [
            {
                "name": metric.name,
                "rows": [
                    {name: value for name, value in as_dict(row).items() if name != "metric"}
                    for row in rows
                    if row.metric == metric.name
                ],
            }
            for metric in evaluation.metrics
        ],
    }


def as_csv(evaluation: Evaluation, groups: Sequence[GroupEvaluation] = ()) -> str:
    """Return the rows as CSV with a header, at full precision; empty where nothing applies.

    Those of groups follow; the table then has their further columns.
    """
    text = io.StringIO()
    columns = GROUP_COLUMNS if groups else COLUMNS
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_dict(row) for row in rows_of(evaluation))
    for one in groups:
        writer.writerows(as_dict(row) for row in group_rows(one))
    return text.getvalue()
