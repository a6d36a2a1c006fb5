"""The report: one HTML page that needs nothing but itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any

from damcli import __version__
from damcli.evaluation import Evaluation
from damcli.evaluation.group_results import GroupEvaluation
from damcli.reports.figures import Picture
from damcli.reports.groups import group_grids, group_legend, heading_of
from damcli.reports.html import bar, element, facts, figure, listed, table
from damcli.reports.parts import Part, part_html
from damcli.reports.record import recorded
from damcli.reports.rows import TAR
from damcli.reports.tables import (
    Grid,
    difference_text,
    grids_of,
    legend_of,
    pairs_counted,
    percent,
)
from damcli.reports.verdicts import Effect, Verdict, headline, side_effects, verdicts

_MARKS = {
    Effect.HELPS: "▲ helps",
    Effect.HURTS: "▼ hurts",
    Effect.NOT_SHOWN: "● no difference shown",
    Effect.NOT_MEASURED: "– not measured",
}
_CLASSES = {Effect.HELPS: "helps", Effect.HURTS: "hurts"}
_CAPTIONS = {"FAR": "True accept rates", "": "Other rates"}


@dataclass(frozen=True)
class Section:
    """One scores file.

    Attributes
    ----------
    name
        The file, as the user named it.
    digest
        Its SHA-256.
    metric
        The metric to judge against the first.
    evaluation, groups
        What was found.
    record
        How the scores were made; None where that is not known.
    cautions
        What the reader must know.
    pictures
        The figures.
    """

    name: str
    digest: str
    metric: str
    evaluation: Evaluation
    groups: Sequence[GroupEvaluation] = ()
    record: Mapping[str, Any] | None = None
    cautions: Sequence[str] = ()
    pictures: Sequence[Picture] = field(default_factory=tuple)

    @property
    def verdicts(self) -> list[Verdict]:
        """How the metric fares; nothing where there is but one."""
        if self.metric == self.evaluation.metrics[0].name:
            return []
        return verdicts(self.evaluation, self.metric)

    @property
    def headline(self) -> str:
        """The verdict in one sentence."""
        found = self.verdicts
        if not found:
            return f"One score, {self.metric}: there is nothing to compare it with"
        return headline(found)


def page(
    sections: Sequence[Section],
    parts: Sequence[Part] = (),
    *,
    command: str,
    date: str | None = None,
) -> str:
    """Write the page.

    Parameters
    ----------
    sections
        One for each scores file, at least one.
    parts
        What other files show.
    command
        The command that makes the page.
    date
        When, where that is to be said.

    Returns
    -------
    str
        HTML. The same input gives the same text.
    """
    style = files("damcli.reports").joinpath("report.css").read_text("utf-8")
    many = len(sections) > 1
    body = [element("h1", "Does DAM help? Verification by " + _metrics(sections))]
    if many:
        body.append(_comparison(sections))
    for number, section in enumerate(sections, 1):
        body += _section(section, number, named=many)
    for part in parts:
        body += part_html(part)
    made = f"Made by damcli {__version__}" + (f" on {date}" if date else "") + ":"
    body.append(f"<footer><p>{escape(made)} {element('code', command)}</p></footer>")
    title = escape(f"damcli report: {', '.join(section.name for section in sections)}")
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _metrics(sections: Sequence[Section]) -> str:
    names = dict.fromkeys(metric.name for one in sections for metric in one.evaluation.metrics)
    return ", ".join(names)


def _comparison(sections: Sequence[Section]) -> str:
    """Hold the files against each other: a verdict each, and TAR at each FAR."""
    lines, tones = [], []
    for number, section in enumerate(sections, 1):
        start = f"{number}. {section.name}"
        for verdict in section.verdicts:
            if verdict.row.quantity == TAR:
                lines.append((start, *_verdict_cells(verdict)))
                tones.append(_CLASSES.get(verdict.effect, ""))
                start = ""
        if start:
            lines.append((start, "", _MARKS[Effect.NOT_MEASURED], "", "", ""))
            tones.append("")
    grid = Grid(("", "FAR", "verdict", "baseline", "metric judged", "Δ points [95 %]"), lines)
    said = "".join(
        f'<li><a href="#scores-{number}">{escape(section.name)}</a>: '
        f"{escape(section.headline)}</li>"
        for number, section in enumerate(sections, 1)
    )
    return (
        f'<div class="verdict">{element("p", _tally(sections), classes="headline")}<ol>{said}</ol>'
        f"{table(grid, 'TAR of each file', classes='verdicts', line_classes=tones)}</div>"
    )


def _tally(sections: Sequence[Section]) -> str:
    """Count in how many files the metric helps at some FAR, hurts at some, or does neither."""
    effects = [
        {one.effect for one in section.verdicts if one.row.quantity == TAR} for section in sections
    ]
    parts = [
        f"{words} in {count} of {len(sections)}"
        for words, wanted in (("Helps", Effect.HELPS), ("hurts", Effect.HURTS))
        if (count := sum(wanted in one for one in effects))
    ]
    neither = sum(not one & {Effect.HELPS, Effect.HURTS} for one in effects)
    if neither:
        parts.append(f"no difference shown in {neither} of {len(sections)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]} scores files."


def _section(section: Section, number: int, *, named: bool) -> Iterator[str]:
    yield f'<section id="scores-{number}">'
    if named:
        yield element("h2", f"{number}. {section.name}")
    yield _verdict_box(section)
    if section.cautions:
        said = element("h3", "Read with care") + listed(section.cautions)
        yield f'<div class="warnings">{said}</div>'
    if section.pictures:
        yield element("h3", "Figures")
        yield f'<div class="figures">{"".join(map(figure, section.pictures))}</div>'
    yield element("h3", "All numbers")
    for grid in grids_of(section.evaluation):
        yield table(grid, _CAPTIONS.get(grid.titles[0], "Rates"))
    yield from (element("p", line, classes="legend") for line in legend_of(section.evaluation))
    for one in section.groups:
        yield element("h3", heading_of(one))
        for grid in group_grids(one):
            yield table(grid, _group_caption(grid))
        yield from (element("p", line, classes="legend") for line in group_legend(one))
    yield element("h3", "What was run")
    known = [("scores", section.name), ("scores, SHA-256", section.digest)]
    yield facts([*known, *recorded(section.record or {})], "Scores and what made them")
    yield "</section>"


def _group_caption(grid: Grid) -> str:
    for title in grid.titles:
        if title.endswith(" [95 %]") and title.split()[0] in ("FMR", "FNMR", "error"):
            return f"{title.split()[0]} by group"
    return "How far the groups lie apart"


def _verdict_box(section: Section) -> str:
    found = section.verdicts
    told = {one.effect for one in found if one.row.quantity == TAR}
    effects = told - {Effect.NOT_MEASURED, Effect.NOT_SHOWN}
    tone = _CLASSES[effects.pop()] if len(effects) == 1 else ""
    parts = [
        element("p", f"{section.headline}.", classes="headline"),
        element("p", f"{section.name}: {pairs_counted(section.evaluation)}."),
    ]
    costs = side_effects(found)
    if costs:
        parts.append(element("p", f"{'; '.join(costs)}."))
    if found:
        parts.append(_verdict_table(section, found))
        parts.append(
            element(
                "p",
                "Judged on these pairs alone: a difference is called one where its 95 % interval "
                "excludes 0. No difference shown does not mean that there is none.",
                classes="small",
            )
        )
    return f'<div class="verdict {tone}">{"".join(parts)}</div>'


def _verdict_table(section: Section, found: Sequence[Verdict]) -> str:
    baseline = section.evaluation.metrics[0].name
    at_fars = [one for one in found if one.row.quantity == TAR]
    ends = [
        abs(end)
        for one in at_fars
        for end in (one.row.difference_low, one.row.difference_high)
        if end is not None
    ]
    reach = max(ends, default=0.0) or 1.0
    titles = ("FAR", "verdict", f"TAR by {baseline}", f"by {section.metric}", "Δ points [95 %]")
    lines = [_verdict_cells(one) for one in at_fars]
    bars = [_bar(one, reach) for one in at_fars]
    return table(
        Grid(titles, lines),
        f"TAR by {section.metric} against {baseline}",
        bars=bars,
        classes="verdicts",
        line_classes=[_CLASSES.get(one.effect, "") for one in at_fars],
    )


def _verdict_cells(one: Verdict) -> tuple[str, str, str, str, str]:
    values = ["n/a" if row.value is None else percent(row.value) for row in _both(one)]
    return (
        one.what.removeprefix("FAR "),
        _MARKS[one.effect],
        values[0],
        values[1],
        difference_text(one.row),
    )


def _both(one: Verdict) -> tuple[Any, Any]:
    return one.baseline, one.row


def _bar(one: Verdict, reach: float) -> str:
    row = one.row
    if row.difference is None or row.difference_low is None or row.difference_high is None:
        return ""
    return bar(
        *(row.difference, row.difference_low, row.difference_high, reach),
        f"mark {_CLASSES.get(one.effect, '')}",
    )
