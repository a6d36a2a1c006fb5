"""The curves of a sweep: TAR over k, over s, and over the number of anchors (Fig. 4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from damcli.errors import UserError
from damcli.evaluation.rates import impostors_needed
from damcli.reports.style import INK, LINE_WIDTH, THIN, dress, key, look, new_figure
from damcli.reports.sweep_rows import Quantity, quantities, spread, values_of
from damcli.sweeping.curves import Curves
from damcli.sweeping.settings import Setting

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANEL, _MARGIN = 1.7, 0.5
_MANY = 12  # values, from which on they are not all named at the axis
_DAM, _COSINE = look(0), look(1)


def over_k(sweep: Curves) -> Figure:
    """Draw TAR over k at the base's s.

    Parameters
    ----------
    sweep
        What was found.

    Returns
    -------
    Figure
        A panel for each FAR that allows a false accept, and for the accuracy over folds where
        there are some; in percent, over a logarithmic axis. The band is the 95 % interval of
        the difference to cosine, laid at cosine, as far as it is a rate.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    UserError
        No FAR allows a false accept, and there are no folds.
    """
    label = f"k, nearest anchors in the LID (s = {sweep.plan.base.s:g})"
    return _figure(sweep, label, sweep.plan.ks, _curve(sweep, sweep.plan.ks, sweep.plan.along_k))


def over_s(sweep: Curves) -> Figure:
    """Draw TAR over s at the base's k; see `over_k`."""
    label = f"s, scale of the LID (k = {sweep.plan.base.k})"
    scales = sweep.plan.scales
    return _figure(sweep, label, scales, _curve(sweep, scales, sweep.plan.along_s))


def over_anchors(sweep: Curves) -> Figure:
    """Draw TAR over the number of anchors at the base's k and s; see `over_k`.

    The line is the mean over the seeds, up to all anchors; the band goes from the lowest to
    the highest, and each seed is a dot.
    """
    plan = sweep.plan
    label = f"anchors (k = {plan.base.k}, s = {plan.base.s:g})"
    whole = () if sweep.anchors in plan.sizes else (sweep.anchors,)

    def draw(axes: Axes, quantity: Quantity) -> None:
        found = [spread(sweep, quantity, size) for size in plan.sizes]
        mean, low, high = ([100 * value for value in column] for column in zip(*found, strict=True))
        label = f"DAM, mean of {len(plan.seeds)} seeds" + (", then all" if whole else "")
        last = [100 * quantity.of(sweep.of(plan.base)).value for _ in whole]
        _line(axes, [*plan.sizes, *whole], [*mean, *last], label)
        axes.fill_between(
            *(plan.sizes, low, high),
            color=_DAM.colour,
            alpha=0.15,
            linewidth=0,
            label="lowest to highest",
        )
        places = [one.size or 0 for one in plan.drawn]
        dots = [100 * value for value in values_of(sweep, quantity, plan.drawn)]
        axes.scatter(places, dots, s=5, color=INK, zorder=3, label="a seed")

    return _figure(sweep, label, [*plan.sizes, *whole], draw)


Draw = Callable[["Axes", Quantity], None]


def _curve(sweep: Curves, places: Sequence[float], settings: Sequence[Setting]) -> Draw:
    def draw(axes: Axes, quantity: Quantity) -> None:
        found = [quantity.of(sweep.of(one)) for one in settings]
        _line(axes, places, [100 * one.value for one in found], "DAM")
        ends = [one.difference_interval for one in found]
        if any(end is None for end in ends):
            return
        cosine = quantity.of(sweep.cosine).value
        low, high = (
            [100 * min(1, max(0, cosine + end[side])) for end in ends if end is not None]
            for side in (0, 1)
        )
        axes.fill_between(
            *(places, low, high),
            color=_DAM.colour,
            alpha=0.15,
            linewidth=0,
            label="95 % interval of the difference to cosine",
        )

    return draw


def _line(axes: Axes, places: Sequence[float], values: Sequence[float], label: str) -> None:
    axes.plot(
        *(places, values),
        color=_DAM.colour,
        linestyle=_DAM.dashes,
        linewidth=LINE_WIDTH,
        marker=_DAM.marker,
        markersize=4,
        label=label,
    )


def _figure(sweep: Curves, label: str, places: Sequence[float], draw: Draw) -> Figure:
    shown = [quantity for quantity in quantities(sweep) if quantity.is_drawn]
    if not shown:
        lowest = min(impostors_needed(point.far) for point in sweep.cosine.points)
        raise UserError(
            "there are too few impostor pairs for any FAR asked for, so no figure can be drawn; "
            f"expected at least {lowest:,}",
            hint="ask for higher FARs with --far",
        )
    figure = new_figure(6.5, _PANEL * len(shown) + _MARGIN)
    panels = figure.subplots(len(shown), sharex=True, squeeze=False)[:, 0]
    for axes, quantity in zip(panels, shown, strict=True):
        name = "TAR" if quantity.title.startswith("TAR") else "accuracy"
        x = label if axes is panels[-1] else ""
        dress(axes, x=x, y=f"{name} (%)", title=quantity.title)
        draw(axes, quantity)
        axes.axhline(
            100 * quantity.of(sweep.cosine).value,
            color=_COSINE.colour,
            linestyle=_COSINE.dashes,
            linewidth=THIN,
            label="cosine",
        )
    _scale(panels[-1], places)
    key(panels[0], loc="lower left", bbox_to_anchor=(0, 1.12), ncols=4)
    figure.align_ylabels()
    return figure


def _scale(axes: Axes, places: Sequence[float]) -> None:
    axes.set_xscale("log")
    if len(places) <= _MANY:
        axes.set_xticks(
            places, [f"{place:,g}" if place < 1 else f"{place:,.10g}" for place in places]
        )
        axes.minorticks_off()
