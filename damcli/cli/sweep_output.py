"""What ``damcli sweep`` writes and prints."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages, print_json, usage_error
from damcli.errors import OutputError

if TYPE_CHECKING:
    from damcli.sweeping.choose import Judged
    from damcli.sweeping.settings import Plan, Setting
    from damcli.sweeping.sweep import Sweep


class FigureFormat(StrEnum):
    """How figures are stored."""

    PNG = "png"
    SVG = "svg"
    PDF = "pdf"


def figure_paths(folder: Path | None, kind: FigureFormat, plan: Plan) -> dict[str, Path]:
    """Name the figures that a plan has curves for, by what is along the axis."""
    if folder is None:
        return {}
    curves = {"k": len(plan.ks) > 1, "s": len(plan.scales) > 1, "anchors": bool(plan.sizes)}
    if not any(curves.values()):
        raise usage_error("--figures: give several k, several s or --anchors-size to draw over")
    return {axis: folder / f"sweep_{axis}.{kind}" for axis, there in curves.items() if there}


def check_outputs(output: Path | None, figures: Mapping[str, Path], force: bool) -> None:
    """Refuse outputs that could not be written, before any work is done."""
    from damcli.storage.atomic import check_writable

    if output is not None:
        if output.suffix.lower() != ".csv":
            raise OutputError(
                f"{output}: unknown kind of table; expected .csv",
                hint="name the output with this ending",
            )
        check_writable(output, force=force)
    if not figures:
        return
    from damcli.reports.style import new_figure

    new_figure()  # where matplotlib is missing, it says so now
    folder = next(iter(figures.values())).parent
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: is a file; expected a folder for the figures")
    for path in figures.values() if folder.is_dir() else (folder,):
        check_writable(path, force=force)


def write_outputs(
    rows: list[dict[str, Any]],
    found: Sweep,
    output: Path | None,
    figures: Mapping[str, Path],
    force: bool,
    messages: Messages,
) -> None:
    """Write the numbers and the figures, each file whole or not at all."""
    from damcli.storage.atomic import atomic_output

    if figures:
        _draw(found, figures, force, messages)
    if output is not None:
        with (
            atomic_output(output, force=force) as draft,
            draft.open("w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        messages.say(f"wrote {len(rows):,} numbers to {output}")


def _draw(found: Sweep, figures: Mapping[str, Path], force: bool, messages: Messages) -> None:
    from damcli.reports.style import save
    from damcli.reports.sweep_figures import over_anchors, over_k, over_s

    curves = {"k": over_k, "s": over_s, "anchors": over_anchors}
    drawn = {path: curves[axis](found) for axis, path in figures.items()}
    for path, figure in drawn.items():
        path.parent.mkdir(exist_ok=True)
        save(figure, path, force=force)
        messages.say(f"drew {path}")
    missing = [axis for axis in curves if axis not in figures]
    if missing:
        messages.say(f"no curve over {' or '.join(missing)}: there is nothing to draw it through")


def all_rows(found: Sweep, judged: Judged | None) -> list[dict[str, Any]]:
    """List every number, and in the column ``on`` the pairs that it was taken on."""
    from damcli.reports.sweep_rows import setting_rows

    on = "pairs" if judged is None else "dev"
    parts = [(on, found.evaluation, found.measured.settings)]
    if judged is not None:
        parts.append(("test", judged.evaluation, judged.measured.settings))
    return [
        {"on": on, **row}
        for on, evaluation, settings in parts
        for row in setting_rows(evaluation, settings, found.anchors)
    ]


def print_found(
    rows: list[dict[str, Any]],
    found: Sweep,
    chosen: Setting | None,
    judged: Judged | None,
    *,
    inputs: Mapping[str, str | None],
    settings: Mapping[str, Any],
    as_json: bool,
) -> None:
    """Print the tables, or one JSON document."""
    if as_json:
        parts = {} if judged is None else {"test": judged.evaluation}
        document: dict[str, Any] = {"inputs": inputs, "settings": settings}
        if chosen is not None:
            document["chosen"] = {"k": chosen.k, "s": chosen.s}
        for on, evaluation in {rows[0]["on"]: found.evaluation, **parts}.items():
            document[on] = _part([row for row in rows if row["on"] == on], evaluation)
        print_json("sweep", document)
        return
    _print_tables(found, chosen, judged, settings["best_at"])


def _part(rows: list[dict[str, Any]], evaluation: Any) -> dict[str, Any]:
    from damcli.reports.documents import as_document
    from damcli.reports.sweep_rows import as_documents

    known = as_document(evaluation, command="sweep", inputs={}, settings={})
    shown = [{name: value for name, value in row.items() if name != "on"} for row in rows]
    return {
        "counts": known["counts"],
        "intervals": known["intervals"],
        "metrics": as_documents(shown),
    }


def _print_tables(
    found: Sweep, chosen: Setting | None, judged: Judged | None, best_at: float | None
) -> None:
    from damcli.reports.sweep_tables import print_sweep
    from damcli.reports.tables import console_for, print_report, scientific
    from damcli.sweeping.settings import DEFAULT

    console = console_for(sys.stdout)
    if chosen is not None and judged is not None:
        console.print(f"On {found.measured.scores.origin}, to choose on:", markup=False)
    print_sweep(found)
    if chosen is None or judged is None:
        console.print(
            "No setting is chosen: the best on these pairs would look better on them than it is. "
            "Choose on pairs of other people, with --dev."
        )
        return
    default = "the default" if chosen == DEFAULT else f"the default is {DEFAULT.name}"
    console.print(
        f"Chosen there for its TAR at FAR {scientific(best_at)}: {chosen.name}; {default}.\n\n"
        f"On {judged.measured.scores.origin}, to judge by:",
        markup=False,
    )
    print_report(judged.evaluation)
