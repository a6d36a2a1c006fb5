"""A sweep on the page: its curves (Fig. 4), and what was chosen by them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from damcli.errors import counted
from damcli.reports.figures import Picture
from damcli.reports.parts import Part
from damcli.reports.rows import row_of
from damcli.reports.sweep_figures import over_anchors, over_k, over_s
from damcli.reports.sweep_file import SweepFile, Tested
from damcli.reports.sweep_rows import (
    Quantity,
    quantities,
    quantities_of,
    spread,
    too_low,
    values_of,
)
from damcli.reports.tables import Grid, difference_text, percent
from damcli.sweeping.curves import Curves
from damcli.sweeping.settings import DEFAULT

_NOTHING_CHOSEN = (
    "Nothing was chosen: the best setting on these pairs would look better on them than it is. "
    "Choose on pairs of other people, with --dev of damcli sweep."
)
_MANY = (
    "No interval is corrected for how many settings there are: of differences that do not exist, "
    "about one in 20 seems to."
)


def sweep_part(name: str, digest: str, stored: SweepFile) -> Part:
    """Make the section of a sweep.

    Parameters
    ----------
    name
        The file, as the user named it.
    digest
        Its SHA-256.
    stored
        What stands in it.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    notes, tables = [_NOTHING_CHOSEN, _MANY], []
    if stored.tested is not None:
        notes = [_chosen(stored.tested), _MANY]
        tables = [("On the test pairs (EER: lower is better)", _test_grid(stored.tested))]
    return Part(
        "sweep",
        "TAR over k, s and the number of anchors",
        [*notes, *too_low(stored.curves)],
        sweep_pictures(stored.curves),
        tables,
        [("sweep", name), ("sweep, SHA-256", digest)],
    )


def sweep_pictures(curves: Curves) -> list[Picture]:
    """Draw the curves that go through more than one setting."""
    plan, pictures = curves.plan, []
    k, s = f"k = {plan.base.k}", f"s = {plan.base.s:g}"
    if len(plan.ks) > 1:
        told = _told(curves, "k", plan.ks, lambda one: values_of(curves, one, plan.along_k))
        caption = f"TAR over k, the nearest anchors in the LID, at {s} (Fig. 4 of the paper)."
        pictures.append(Picture("sweep_k", over_k(curves), told, caption))
    if len(plan.scales) > 1:
        told = _told(curves, "s", plan.scales, lambda one: values_of(curves, one, plan.along_s))
        caption = f"TAR over s, the scale of the LID, at {k} (Fig. 4 of the paper)."
        pictures.append(Picture("sweep_s", over_s(curves), told, caption))
    if plan.sizes:
        told = _told(
            *(curves, "the number of anchors", plan.sizes),
            lambda one: [spread(curves, one, size).mean for size in plan.sizes],
        )
        caption = (
            "TAR over the number of anchors, drawn at random with "
            f"{counted(len(plan.seeds), 'seed')}, at {k} and {s} (Fig. 4 of the paper)."
        )
        pictures.append(Picture("sweep_anchors", over_anchors(curves), told, caption))
    return pictures


def _told(
    curves: Curves,
    axis: str,
    places: Sequence[float],
    values: Callable[[Quantity], Sequence[float]],
) -> str:
    """Tell, of each panel, the lowest and the highest point, and cosine."""
    parts = []
    for quantity in quantities(curves):
        if not quantity.is_drawn:
            continue
        found = values(quantity)
        low, high = (found.index(end) for end in (min(found), max(found)))
        parts.append(
            f"{quantity.title} is lowest, {percent(found[low])}, at {places[low]:,g}, and highest, "
            f"{percent(found[high])}, at {places[high]:,g}; "
            f"cosine has {percent(quantity.of(curves.cosine).value)}."
        )
    return f"Curves over {axis}. {' '.join(parts)}"


def _chosen(tested: Tested) -> str:
    default = "the default" if tested.setting == DEFAULT else f"the default is {DEFAULT.name}"
    return (
        f"The curves are of the development pairs. Chosen by them: {tested.setting.name}; "
        f"{default}. How good that is, only the test pairs tell."
    )


def _test_grid(tested: Tested) -> Grid:
    """Hold cosine, the default and the chosen setting against each other."""
    columns = {"cosine": tested.cosine, f"default, {DEFAULT.name}": tested.default}
    if tested.setting != DEFAULT:
        columns[f"chosen, {tested.setting.name}"] = tested.chosen
    lines = []
    for quantity in quantities_of(tested.cosine):
        values = [percent(quantity.of(metric).value) for metric in columns.values()]
        lines.append((quantity.title, *values, difference_text(row_of(quantity.of(tested.chosen)))))
    last = "default" if tested.setting == DEFAULT else "chosen"
    return Grid(("", *columns, f"{last} − cosine, points [95 %]"), lines)
