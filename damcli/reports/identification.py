"""1:N search for people and programs: tables, JSON, CSV."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any, TextIO

from damcli import __version__
from damcli.evaluation.rates import OperatingPoint, impostors_needed
from damcli.evaluation.results import Estimate
from damcli.identification.results import GalleryCounts, Identification
from damcli.reports.rows import Compared, figures_of
from damcli.reports.tables import (
    conservative_digits,
    console_for,
    marked_difference,
    scientific,
    table_of,
    with_interval,
)

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = "damcli/identification"
SCHEMA_VERSION = 1
CMC, TPIR = "CMC", "TPIR@FPIR"


@dataclass(frozen=True)
class SearchRow(Compared):
    """One rate of one score; None where it does not apply. Rates are fractions.

    Threshold, achieved FPIR and counts are told where there is one gallery.
    """

    metric: str
    quantity: str
    rank: int
    fpir: float | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    threshold: float | None = None
    achieved_fpir: float | None = None
    false_positives: int | None = None
    allowed_false_positives: int | None = None
    note: str | None = None


def rows_of(found: Identification) -> list[SearchRow]:
    """List the rates within each rank, then TPIR at each FPIR; each for every score."""
    closed = [
        _filled(SearchRow(metric.name, CMC, rank), metric.cmc[place])
        for place, rank in enumerate(found.ranks)
        for metric in found.metrics
    ]
    return closed + [
        _filled(
            _at_points(SearchRow(metric.name, TPIR, found.within, fpir), metric.points[place]),
            metric.tpirs[place],
        )
        for place, fpir in enumerate(found.fpirs)
        for metric in found.metrics
    ]


def _at_points(row: SearchRow, points: Sequence[OperatingPoint]) -> SearchRow:
    if any(point.threshold is None for point in points):
        needed = impostors_needed(points[0].far)
        return replace(row, note=f"n/a (needs ≥ {needed:,} non-mated probes)")
    if len(points) > 1:
        return row
    (point,) = points
    return replace(
        row,
        threshold=point.threshold,
        achieved_fpir=point.achieved_far,
        false_positives=point.false_accepts,
        allowed_false_positives=point.allowed,
    )


def _filled(row: SearchRow, estimate: Estimate | None) -> SearchRow:
    return row if estimate is None else replace(row, **figures_of(estimate))


def as_document(
    found: Identification,
    *,
    command: str,
    inputs: Mapping[str, str | None],
    settings: Mapping[str, Any],
) -> dict[str, Any]:
    """Make the JSON document of a search.

    Parameters
    ----------
    found
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
    rows = rows_of(found)
    return {
        "schema": SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "command": command,
        "damcli_version": __version__,
        "inputs": dict(inputs),
        "settings": dict(settings),
        "galleries": [asdict(gallery) for gallery in found.galleries],
        "subjects": found.subjects,
        "accept": f"score >= threshold and rank <= {found.within}",
        "intervals": {
            "level": 0.95,
            "resampled": "subjects of the probes",
            "resamples": found.resamples,
            "seed": found.seed,
        },
        "metrics": [
            {
                "name": metric.name,
                "rows": [
                    {name: value for name, value in asdict(row).items() if name != "metric"}
                    for row in rows
                    if row.metric == metric.name
                ],
                "by_gallery": [
                    [_point_as_dict(points[number]) for points in metric.points]
                    for number in range(len(found.galleries))
                ],
            }
            for metric in found.metrics
        ],
    }


def _point_as_dict(point: OperatingPoint) -> dict[str, float | int | None]:
    return {
        "fpir": point.far,
        "tpir": point.tar,
        "threshold": point.threshold,
        "achieved_fpir": point.achieved_far,
        "false_positives": point.false_accepts,
        "allowed_false_positives": point.allowed,
    }


def as_csv(found: Identification) -> str:
    """Return the rows as CSV with a header, at full precision; empty where nothing applies."""
    text = io.StringIO()
    names = [field.name for field in fields(SearchRow)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows_of(found))
    return text.getvalue()


def print_identification(found: Identification, *, stream: TextIO | None = None) -> None:
    """Print the tables of a search and how to read them."""
    console = console_for(stream or sys.stdout)
    rows = rows_of(found)
    for gallery in found.galleries:
        console.print(_in_words(gallery))
    for quantity in (CMC, TPIR):
        console.print(_table([row for row in rows if row.quantity == quantity], found))
    for line in _legend(found, rows):
        console.print(line)


def _in_words(gallery: GalleryCounts) -> str:
    return (
        f"{gallery.mated:,} mated and {gallery.non_mated:,} non-mated probes in a gallery of "
        f"{gallery.subjects:,} subjects ({gallery.entries:,} entries)"
    )


def _table(rows: Sequence[SearchRow], found: Identification) -> Table:
    compared, alone = len(found.metrics) > 1, len(found.galleries) == 1
    is_open = any(row.quantity == TPIR for row in rows)
    titles = ["", "metric", f"{'TPIR' if is_open else 'CMC'} [95 %]"]
    titles += ["Δ points [95 %]"] if compared else []
    titles += ["threshold", "achieved FPIR", "false/allowed"] if is_open and alone else []
    lines, previous = [], None
    for row in rows:
        name = f"rank {row.rank}" if row.fpir is None else f"FPIR {scientific(row.fpir)}"
        cells = ["" if name == previous else name, row.metric, _value(row)]
        cells += [marked_difference(row)] if compared else []
        cells += list(_at_threshold(row)) if is_open and alone else []
        lines.append(cells)
        previous = name
    return table_of(titles, lines)


def _value(row: SearchRow) -> str:
    if row.value is None:
        return row.note or ""
    return with_interval(row.value, row.low, row.high)


def _at_threshold(row: SearchRow) -> Iterator[str]:
    yield conservative_digits(row.threshold, is_distance=False)
    yield "" if row.achieved_fpir is None else f"{row.achieved_fpir:.3e}"
    counts = row.false_positives, row.allowed_false_positives
    yield "" if None in counts else f"{counts[0]:,} / {counts[1]:,}"


def _legend(found: Identification, rows: Sequence[SearchRow]) -> Iterator[str]:
    yield (
        "CMC: share of the mated probes whose subject stands within the rank. TPIR: within rank "
        f"{found.within}, and score ≥ threshold."
    )
    yield (
        "FPIR: share of the non-mated probes for which anybody's score is ≥ threshold. A subject's "
        "score is that of its best entry."
    )
    if len(found.galleries) > 1:
        yield (
            "Each gallery is searched by itself, with thresholds of its own; rates are means over "
            f"the {len(found.galleries)} galleries."
        )
    if len(found.metrics) > 1:
        yield f"Δ: difference to {found.metrics[0].name} on the same searches, in percent points."
    if found.resamples:
        yield (
            f"95 % intervals: {found.resamples:,} resamples of the {found.subjects:,} subjects of "
            f"the probes, the same for all metrics, seed {found.seed}; the galleries stay."
        )
    if any(row.is_significant for row in rows):
        yield "* the interval of the difference excludes 0."
