"""Sections of the page that are about another file than scores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from damcli.reports.figures import Picture
from damcli.reports.html import element, facts, figure, table
from damcli.reports.tables import Grid


@dataclass(frozen=True)
class Part:
    """What one more file shows.

    Attributes
    ----------
    name
        What links call it.
    heading
        Above all.
    notes
        What the reader must know.
    pictures
        The figures.
    tables
        Each with its caption.
    facts
        Names and values: of what it was made.
    """

    name: str
    heading: str
    notes: Sequence[str]
    pictures: Sequence[Picture]
    tables: Sequence[tuple[str, Grid]] = ()
    facts: Sequence[tuple[str, str]] = ()


def part_html(part: Part) -> Iterator[str]:
    """Write the section."""
    yield f'<section id="{part.name}">'
    yield element("h2", part.heading)
    yield from (element("p", note) for note in part.notes)
    yield f'<div class="figures">{"".join(map(figure, part.pictures))}</div>'
    yield from (table(grid, caption) for caption, grid in part.tables)
    yield facts(part.facts, "What it was made from")
    yield "</section>"
