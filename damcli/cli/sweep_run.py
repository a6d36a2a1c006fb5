"""The work of ``damcli sweep``: over some pairs, and where these are for choosing, on others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages
from damcli.cli.score_output import tell_missing

if TYPE_CHECKING:
    from damcli.protocols.pairs import PairSource
    from damcli.scoring.all_pairs import AllPairs
    from damcli.sweeping.choose import Judged
    from damcli.sweeping.settings import Plan, Setting
    from damcli.sweeping.sweep import Sweep


def run_sweep(
    pairs: PairSource | AllPairs,
    sides: dict[str, Any],
    plan: Plan,
    messages: Messages,
    **options: Any,
) -> Sweep:
    """Sweep over pairs, with progress."""
    from damcli.sweeping.sweep import sweep

    rows = len(sides["embeddings"]) + len(sides["gallery"] or ())
    with (
        messages.progress("reading pairs", None, "pairs") as reading,
        messages.progress("neighbours", rows, "embeddings") as searching,
        messages.progress("evaluating", len(plan.grid) + len(plan.drawn), "settings") as evaluating,
    ):
        found = sweep(
            pairs,
            sides["embeddings"],
            sides["anchors"],
            plan=plan,
            gallery=sides["gallery"],
            reading=reading,
            searching=searching,
            evaluating=evaluating,
            **options,
        )
    tell_missing(found.measured.scores, messages)
    return found


def run_judge(
    pairs: PairSource | AllPairs,
    sides: dict[str, Any],
    chosen: Setting,
    messages: Messages,
    **options: Any,
) -> Judged:
    """Judge a setting on pairs, with progress."""
    from damcli.sweeping.choose import judge

    rows = len(sides["embeddings"]) + len(sides["gallery"] or ())
    with (
        messages.progress("reading pairs", None, "pairs") as reading,
        messages.progress("neighbours", rows, "embeddings") as searching,
    ):
        found = judge(
            pairs,
            sides["embeddings"],
            sides["anchors"],
            chosen,
            gallery=sides["gallery"],
            reading=reading,
            searching=searching,
            **options,
        )
    tell_missing(found.measured.scores, messages)
    return found


def dev_sides(embeddings: Path | None, sides: dict[str, Any]) -> dict[str, Any]:
    """Return what the development pairs are scored with."""
    from damcli.storage.files import read_embeddings

    if embeddings is None:
        return sides
    return {**sides, "embeddings": read_embeddings(embeddings), "gallery": None}


def warn_of_shared(found: Sweep, judged: Judged, messages: Messages) -> None:
    """Say who stands in the pairs of both: what was chosen on them is flattered by them."""
    from damcli.errors import counted
    from damcli.sweeping.choose import shared

    common = shared(found.measured, judged.measured)
    kinds: list[tuple[str, Sequence[str]]] = [("subject", common.subjects), ("id", common.ids)]
    said = [f"{counted(len(names), kind)} ('{names[0]}')" for kind, names in kinds if names]
    if said:
        dev, test = found.measured.scores.origin, judged.measured.scores.origin
        messages.warn(
            f"{dev} and {test} share {' and '.join(said)}: a setting that was chosen on people "
            "it is judged on looks better than it is"
        )
