"""What ``damcli embed`` says of a run: counted and named, or as a document."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages, speed_of
from damcli.errors import counted

if TYPE_CHECKING:
    from damcli.embedding.embed import Embedded

_NAMED = 3  # how many of a kind a message names


def first_names(names: Sequence[str]) -> str:
    """Quote the first of many names."""
    return ", ".join(f"'{name}'" for name in names[:_NAMED]) + ", …" * (len(names) > _NAMED)


def report(done: Embedded, unit: str, messages: Messages) -> None:
    """Say what was written, and warn of what was left out or is doubtful."""
    rejects = done.rejects
    if rejects:
        first = "; ".join(f"{one.place}: {one.reason}" for one in rejects[:_NAMED])
        more = "; …" if len(rejects) > _NAMED else ""
        messages.warn(
            f"{counted(len(rejects), unit)} without an embedding, listed in "
            f"{done.output.with_suffix('.rejects.csv')}: {first}{more}"
        )
    if done.several_faces:
        messages.warn(
            f"several faces on {counted(len(done.several_faces), 'image')}, of which the largest "
            f"was taken: {first_names(done.several_faces)}"
        )
    if done.odd:
        shown = [f"{one.place} ({one.width} × {one.height})" for one in done.odd[:_NAMED]]
        messages.warn(
            f"{counted(len(done.odd), unit)} embedded, but too small or too stretched to show a "
            f"face, in pixels: {', '.join(shown)}{', …' * (len(done.odd) > _NAMED)}"
        )
    before = done.written - done.computed
    kept = f", {before:,} of them from before" if before else ""
    dropped = f"; {done.dropped:,} of {unit}s no longer there were dropped" if done.dropped else ""
    rate = f" at {speed_of(done.computed / done.seconds, f'{unit}s')}" if done.computed else ""
    messages.say(
        f"wrote {counted(done.written, 'embedding')} of dimension {done.dim} to {done.output}"
        f"{rate}{kept}{dropped}"
    )


def summary(done: Embedded) -> dict[str, Any]:
    """Return the same for ``--json``."""
    return {
        "output": os.fspath(done.output),
        "embeddings": done.written,
        "dim": done.dim,
        "computed": done.computed,
        "dropped": done.dropped,
        "seconds": done.seconds,
        "rejects": [
            {"id": one.id, "place": one.place, "reason": one.reason} for one in done.rejects
        ],
        "several_faces": list(done.several_faces),
        "odd": [
            {"id": one.id, "place": one.place, "width": one.width, "height": one.height}
            for one in done.odd
        ],
    }
