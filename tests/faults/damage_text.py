"""Ways to spoil lists, tables and documents of text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.faults.damage import Damage


def line(
    name: str, number: int, change: Callable[[str], str], says: str = "", **more: Any
) -> Damage:
    """Change a line, counted from 1."""

    def apply(path: Path) -> None:
        lines = path.read_text("utf-8").splitlines()
        lines[number - 1] = change(lines[number - 1])
        path.write_text("".join(f"{one}\n" for one in lines), "utf-8", "strict", "\n")

    return Damage(name, apply, says, **more)


def raw_line(name: str, number: int, content: bytes, says: str = "", **more: Any) -> Damage:
    """Put bytes in the place of a line, counted from 1."""

    def apply(path: Path) -> None:
        lines = path.read_bytes().splitlines()
        lines[number - 1] = content
        path.write_bytes(b"".join(one + b"\n" for one in lines))

    return Damage(name, apply, says, **more)


def text(name: str, content: str, says: str = "") -> Damage:
    """Write something else."""
    return Damage(name, lambda path: path.write_text(content, "utf-8"), says)


def recoded(encoding: str) -> Damage:
    """Save the same in another encoding."""

    def apply(path: Path) -> None:
        path.write_text(path.read_text("utf-8"), encoding=encoding)

    return Damage(f"saved-as-{encoding}", apply)


def cell(name: str, number: int, place: int, value: str, says: str = "", mark: str = ",") -> Damage:
    """Change a cell of a line, counted from 1 and from 0."""

    def change(old: str) -> str:
        cells = old.split(mark)
        cells[place] = value
        return mark.join(cells)

    return line(name, number, change, says)


def ragged(number: int, mark: str = ",") -> tuple[Damage, ...]:
    """Give a line too few or too many cells."""
    return (
        line("a-cell-too-many", number, lambda old: f"{old}{mark}more{mark}yet", f"row {number}"),
        line("a-cell-too-few", number, lambda old: old.split(mark)[0], f"row {number}"),
    )


LAST_LINE_MISSING = Damage(
    "last-line-missing",
    lambda path: path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1])),
)
LATIN1 = raw_line("latin1", 7, b"caf\xe9,caf\xe9 1 2", "UTF-8")
ENCODINGS = (LATIN1, recoded("utf-16"), recoded("utf-32"))
PAIRS = (
    *ragged(7),
    *ENCODINGS,
    cell("empty-id", 7, 1, "", "row 7: an empty id"),
    cell("label-2", 7, 2, "2", "row 7: label '2'; expected 1 or 0"),
    cell("label-text", 7, 2, "perhaps", "row 7: label 'perhaps'"),
    cell("label-empty", 7, 2, "", "row 7: label ''"),
    cell("unknown-id", 7, 0, "nobody", "row 7"),
    cell("id-of-100000-letters", 7, 0, "x" * 100_000, "row 7"),
    cell("nul-in-an-id", 7, 0, "a\0b", "binary data"),
    text("header-alone", "probe_id,reference_id,label\n", "holds a header but no pairs"),
    text("one-column", "alice\nbob\n", "one column"),
    text("two-columns-alike", "probe_id,reference_id,label,label\na,b,1,1\n", "two columns named"),
    text("blank-lines", "\n\n   \n\n", "is empty"),
    line("open-quote", 7, lambda old: '"' + old),
)
SCORES = (
    *ragged(7),
    *ENCODINGS,
    cell("score-nan", 7, -1, "nan", "row 7"),
    cell("score-infinite", 7, -1, "inf", "row 7"),
    cell("score-text", 7, -1, "high", "row 7: score is 'high'"),
    cell("score-empty", 7, -1, "", "row 7: score is ''"),
    cell("label-2", 7, 4, "2", "row 7: label '2'; expected 1 or 0"),
    cell("no-label-column", 1, 4, "truth", "expected a label column"),
    cell("two-columns-alike", 1, 0, "label", "two columns named 'label'"),
    text("header-alone", "probe_id,reference_id,label,cosine\n", "holds a header but no scores"),
    text("no-scores", "probe_id,reference_id,label\na,b,1\n", "expected a column 'cosine'"),
    text("blank-lines", "\n\n  \n", "is empty"),
)
LINES = (LATIN1, recoded("utf-16"), text("blank-lines", "\n\n  \n"))
TEMPLATES = (
    *ragged(7),
    *LINES,
    cell("empty-id", 7, 2, "", "row 7: an empty id"),
    cell("empty-template", 7, 0, "", "row 7: an empty template_id"),
    cell("unknown-id", 7, 2, "nobody", "row 7"),
    cell("id-of-100000-letters", 7, 2, "x" * 100_000, "row 7"),
    text("header-alone", "template_id,media_id,id\n", "holds a header but no rows"),
    text("pairs", "probe_id,reference_id\na,b\n", "is a list of pairs"),
    line("twice-in-a-medium", 3, lambda old: old.replace("p000/1", "p000/0"), "row 3"),
    text("weight-nan", "1,1,p000/0,nan\n", "row 1: weight 'nan'"),
    text("weight-below-0", "1,1,p000/0,-1\n", "row 1: weight '-1'"),
    text("subjects-differ", "template_id,id,subject\n1,p000/0,a\n1,p000/1,b\n", "row 3: subject"),
)
