"""Where ``damcli report`` writes: the page and its figures, all of them or none."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from damcli.errors import OutputError, UserError
from damcli.storage.atomic import atomic_output, check_writable

if TYPE_CHECKING:
    from damcli.reports.figures import Picture
    from damcli.reports.page import Section
    from damcli.reports.parts import Part

_ALWAYS = ("roc", "scores")  # figures that every scores file has
PAGE_SUFFIXES = (".html", ".htm")


def made_on() -> str | None:
    """Return the day of SOURCE_DATE_EPOCH, where that is set: a page is the same every day.

    Raises
    ------
    UserError
        It is no number of seconds.
    """
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if not epoch:
        return None
    try:
        return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
    except (ValueError, OverflowError, OSError) as error:
        raise UserError(
            f"SOURCE_DATE_EPOCH is '{epoch}'; expected seconds since 1970",
            hint="unset it, or set it as in SOURCE_DATE_EPOCH=$(date +%s)",
        ) from error


def check_targets(
    output: Path, figures: Path | None, files: int, more: Sequence[str], *, force: bool
) -> None:
    """Refuse outputs that could not be written, before any work is done on so many files.

    ``more`` names the figures of other files than scores.
    """
    from damcli.reports.style import FORMATS

    if output.suffix.lower() not in PAGE_SUFFIXES:
        raise OutputError(
            f"{output}: a page of unknown kind '{output.suffix}'; expected .html",
            hint=f"-o {output.with_suffix('.html').name}",
        )
    check_writable(output, force=force)
    if figures is not None and figures.exists() and not figures.is_dir():
        raise OutputError(
            f"{figures}: is a file; expected a folder for the figures", hint="name a folder"
        )
    if figures is not None and figures.is_dir():
        starts = [""] if files == 1 else [f"{number}-" for number in range(1, files + 1)]
        names = [start + name for start, name in product(starts, _ALWAYS)]
        for name, suffix in product([*names, *more], FORMATS):
            check_writable(figures / (name + suffix), force=force)


def write_report(
    html: str,
    sections: Sequence[Section],
    parts: Sequence[Part],
    output: Path,
    figures: Path | None,
    *,
    force: bool,
) -> int:
    """Write the page and the figures; where one cannot be written, none is.

    Returns
    -------
    int
        How many figures were written, each of them in three formats.
    """
    made = figures is not None and not figures.exists()
    try:
        if figures is not None:
            figures.mkdir(parents=True, exist_ok=True)
        pictures = dict(_named(sections, parts))
        count = _write(html, pictures, output, figures, force=force)
    except BaseException:
        if made and figures is not None and figures.is_dir():
            figures.rmdir()
        raise
    return count


def _write(
    html: str, pictures: Mapping[str, Picture], output: Path, figures: Path | None, *, force: bool
) -> int:
    from damcli.reports.style import FORMATS, draw

    drawn = {} if figures is None else pictures
    with ExitStack() as stack:
        stack.enter_context(atomic_output(output, force=force)).write_text(html, "utf-8")
        for name, picture in drawn.items():
            for suffix in FORMATS:
                assert figures is not None
                draft = stack.enter_context(atomic_output(figures / (name + suffix), force=force))
                draw(picture.figure, draft, suffix)
    return len(drawn)


def _named(sections: Sequence[Section], parts: Sequence[Part]) -> Iterator[tuple[str, Picture]]:
    """Name the figures; those of several scores files by the number of their section."""
    for number, section in enumerate(sections, 1):
        start = f"{number}-" if len(sections) > 1 else ""
        for picture in section.pictures:
            yield start + picture.name, picture
    for part in parts:
        for picture in part.pictures:
            yield picture.name, picture
