"""Pieces of HTML. Whatever is put into one is escaped here, and nowhere else."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from html import escape
from io import BytesIO

from damcli.reports.figures import Picture
from damcli.reports.style import draw
from damcli.reports.tables import Grid, stands_left

_MERGED = 2  # columns at the start of a table in which a blank cell repeats the one above
_COLUMN = 6.0  # inches, beyond which a figure takes the whole width of the page
_BAR_WIDTH, _BAR_HEIGHT = 190, 20


def element(name: str, text: str, *, classes: str = "") -> str:
    """Put a text into an element."""
    attribute = f' class="{escape(classes)}"' if classes else ""
    return f"<{name}{attribute}>{escape(text)}</{name}>"


def listed(texts: Iterable[str]) -> str:
    """Make a list of texts."""
    return f"<ul>{''.join(element('li', text) for text in texts)}</ul>"


def facts(pairs: Iterable[tuple[str, str]], caption: str) -> str:
    """Make a table of names and values."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in pairs
    )
    return (
        f'<div class="scroll"><table class="facts">{element("caption", caption)}'
        f"<tbody>{rows}</tbody></table></div>"
    )


def table(
    grid: Grid,
    caption: str,
    *,
    bars: Sequence[str] = (),
    classes: str = "",
    line_classes: Sequence[str] = (),
) -> str:
    """Make a table; what the grid leaves blank because it repeats becomes one tall cell.

    Parameters
    ----------
    grid
        Titles and cells.
    caption
        What the table shows.
    bars
        From `bar`, one for each line, as a last column.
    classes, line_classes
        Of the table, and of each of its lines.
    """
    left = [stands_left(title) for title in grid.titles]
    titles = "".join(
        f'<th scope="col"{_named(name)}>{escape(title)}</th>'
        for title, name in zip(grid.titles, left, strict=True)
    )
    if bars:
        titles += '<th scope="col"><span aria-hidden="true">Δ and its interval</span></th>'
    heights = _heights(grid.lines)
    rows = []
    for number, line in enumerate(grid.lines):
        cells = "".join(
            _cell(text, heights[number][column], left[column], column == 0)
            for column, text in enumerate(line)
            if heights[number][column]
        )
        if bars:
            cells += f'<td class="bar">{bars[number]}</td>'
        tone = line_classes[number] if line_classes else ""
        rows.append(f'<tr class="{escape(tone)}">{cells}</tr>' if tone else f"<tr>{cells}</tr>")
    return (
        f'<div class="scroll"><table class="{escape(classes)}">{element("caption", caption)}'
        f"<thead><tr>{titles}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _named(left: bool) -> str:
    return ' class="name"' if left else ""


def _cell(text: str, height: int, left: bool, is_first: bool) -> str:
    span = f' rowspan="{height}"' if height > 1 else ""
    if is_first:
        return f'<th scope="row"{span}>{escape(text)}</th>'
    return f"<td{span}{_named(left)}>{escape(text.strip())}</td>"


def _heights(lines: Sequence[Sequence[str]]) -> list[list[int]]:
    """Tell how many lines each cell spans: 0 for one that an upper one covers."""
    heights = [[1] * len(line) for line in lines]
    for column in range(min(_MERGED, len(lines[0]) if lines else 0)):
        top = 0
        for number in range(1, len(lines)):
            above = column == 0 or heights[number][column - 1] == 0
            if lines[number][column] == "" and above:
                heights[number][column] = 0
                heights[top][column] += 1
            else:
                top = number
    return heights


def bar(value: float, low: float, high: float, reach: float, classes: str) -> str:
    """Draw an interval about 0, for the eye alone: the numbers stand beside it.

    Parameters
    ----------
    value, low, high
        The difference and the ends of its interval.
    reach
        What the bar's ends stand for, on either side of 0; > 0.
    classes
        Of the drawing.
    """
    middle, half = _BAR_WIDTH / 2, _BAR_WIDTH / 2 - 6

    def at(number: float) -> str:
        return f"{middle + half * number / reach:.1f}"

    y = _BAR_HEIGHT / 2
    return (
        f'<svg class="{escape(classes)}" width="{_BAR_WIDTH}" height="{_BAR_HEIGHT}" '
        f'viewBox="0 0 {_BAR_WIDTH} {_BAR_HEIGHT}" aria-hidden="true" focusable="false">'
        f'<line x1="{middle}" x2="{middle}" y1="0" y2="{_BAR_HEIGHT}" stroke="#777"/>'
        f'<line x1="{at(low)}" x2="{at(high)}" y1="{y}" y2="{y}" stroke="currentColor" '
        f'stroke-width="3"/><circle cx="{at(value)}" cy="{y}" r="4.5" fill="currentColor"/></svg>'
    )


def figure(picture: Picture) -> str:
    """Put a figure in, as a drawing within the page."""
    into = BytesIO()
    draw(picture.figure, into, ".svg")
    data = base64.b64encode(into.getvalue()).decode()
    width, height = picture.figure.get_size_inches()
    wide = ' class="wide"' if width > _COLUMN else ""
    return (
        f'<figure{wide}><img src="data:image/svg+xml;base64,{data}" alt="{escape(picture.alt)}" '
        f'width="{width * 96:.0f}" height="{height * 96:.0f}">'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
