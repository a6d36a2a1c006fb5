"""The figures of scores: ROC and DET with bands, and how genuine and impostor scores spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from damcli.evaluation.counts import Floats
from damcli.evaluation.roc import Histogram, RocCurve
from damcli.reports.style import INK, LINE_WIDTH, THIN, dress, key, key_above, look, new_figure
from damcli.reports.tables import scientific

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BAND = 0.16
_ONE_LINE = 6  # lines of text in a legend, from which on it stands beside the axes


class Picture(NamedTuple):
    """A figure with what goes along with it."""

    name: str
    """Of its files."""
    figure: Figure
    alt: str
    """What it shows, for those who do not see it."""
    caption: str


def roc_picture(curves: Sequence[RocCurve], fars: Sequence[float]) -> Picture:
    """Draw TAR over FAR, with the FARs of the tables marked."""
    figure = new_figure(5.6, 3.9)
    axes = figure.subplots()
    dress(axes, x="false accept rate (FAR)", y="true accept rate (TAR, %)")
    for number, curve in enumerate(curves):
        _line(axes, number, curve.metric, curve.far, 100 * curve.tar)
        if curve.low is not None and curve.high is not None:
            _band(axes, number, curve.far, 100 * curve.low, 100 * curve.high)
    _mark(axes, fars, curves)
    axes.set_xscale("log")
    lowest = 100 * min(float(curve.tar[0]) for curve in curves)
    if lowest < 100:  # wide bands must not press the curves flat
        axes.set_ylim(max(0.0, lowest - (100 - lowest) / 2) - 1, 101)
    _key(axes, len(curves), "lower right")
    return Picture(
        "roc",
        figure,
        f"ROC: true accept rate over false accept rate. {_ends(curves, fars)}",
        f"ROC. Higher is better. {_bands(curves)}",
    )


def det_picture(curves: Sequence[RocCurve], fars: Sequence[float]) -> Picture | None:
    """Draw the false reject rate over FAR, both by their logarithm; None without any error."""
    if all(curve.tar[0] == 1 for curve in curves):
        return None
    figure = new_figure(5.6, 3.9)
    axes = figure.subplots()
    dress(axes, x="false accept rate (FAR)", y="false reject rate (1 − TAR, %)")
    frrs = [100 * (1 - curve.tar) for curve in curves]
    lowest = min(frr[frr > 0].min() for frr in frrs if (frr > 0).any())
    for number, (curve, frr) in enumerate(zip(curves, frrs, strict=True)):
        seen = frr > 0  # a logarithm has no place for none
        _line(axes, number, curve.metric, curve.far[seen], frr[seen])
        if curve.low is not None and curve.high is not None:
            ends = (
                np.maximum(100 * (1 - end[seen]), lowest / 2) for end in (curve.high, curve.low)
            )
            _band(axes, number, curve.far[seen], *ends)
    _mark(axes, fars, curves)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(lowest / 2, 120)
    axes.yaxis.set_major_formatter("{x:g}")
    _key(axes, len(curves), "lower left")
    return Picture(
        "det",
        figure,
        f"DET: false reject rate over false accept rate. {_ends(curves, fars)}",
        f"DET: the same errors, both axes by their logarithm. Lower is better. {_bands(curves)}",
    )


def histogram_picture(
    spread: Sequence[Histogram], far: float | None, thresholds: Sequence[float | None]
) -> Picture:
    """Draw how the scores of genuine and impostor pairs spread, a panel for each metric.

    Parameters
    ----------
    spread
        One histogram a metric.
    far
        The FAR whose thresholds are drawn; None for none.
    thresholds
        One for each metric; None where the FAR allows no false accept.
    """
    figure = new_figure(5.6 * min(len(spread), 2), 3.3 * ((len(spread) + 1) // 2))
    shape = ((len(spread) + 1) // 2, min(len(spread), 2))
    panels = figure.subplots(*shape, squeeze=False).ravel()
    for axes, one, threshold in zip(panels, spread, thresholds, strict=False):
        dress(axes, x="score", y="share of pairs (%)", title=one.metric)
        for number, (name, counts) in enumerate(
            (("genuine", one.genuine), ("impostor", one.impostors))
        ):
            style = look(number)
            share = 100 * counts / counts.sum()
            axes.stairs(share, one.edges, fill=True, color=style.colour, alpha=_BAND)
            axes.stairs(
                *(share, one.edges),
                color=style.colour,
                linestyle=style.dashes,
                linewidth=LINE_WIDTH,
                label=f"{name} pairs",
            )
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        if threshold is not None and far is not None:
            axes.axvline(
                threshold, color=INK, linewidth=THIN, label=f"threshold at FAR {scientific(far)}"
            )
    for axes in panels[len(spread) :]:
        axes.set_visible(False)
    key_above(figure, panels[0])
    names = ", ".join(one.metric for one in spread)
    return Picture(
        "scores",
        figure,
        f"Histograms of genuine and impostor scores by {names}.",
        "Scores before and after (Fig. 1 of the paper). What counts at a low FAR is how far the "
        "impostors' upper tail reaches into the genuine scores; so shares are logarithmic.",
    )


def _line(axes: Axes, number: int, name: str, x: Floats, y: Floats) -> None:
    style = look(number)
    axes.plot(*(x, y), color=style.colour, linestyle=style.dashes, linewidth=LINE_WIDTH, label=name)


def _band(axes: Axes, number: int, x: Floats, low: Floats, high: Floats) -> None:
    axes.fill_between(x, low, high, color=look(number).colour, alpha=_BAND, linewidth=0)


def _mark(axes: Axes, fars: Sequence[float], curves: Sequence[RocCurve]) -> None:
    for far in fars:
        if far >= curves[0].far[0]:
            axes.axvline(far, color=INK, linewidth=THIN / 2, linestyle=":")


def _key(axes: Axes, lines: int, place: str) -> None:
    if lines < _ONE_LINE:
        key(axes, loc=place)
    else:
        key(axes, loc="center left", bbox_to_anchor=(1, 0.5))


def _ends(curves: Sequence[RocCurve], fars: Sequence[float]) -> str:
    """Say a few points of the curves in words."""
    said = []
    for far in fars:
        if far < curves[0].far[0]:
            continue
        place = int(np.searchsorted(curves[0].far, far, "right")) - 1
        at = ", ".join(f"{100 * one.tar[place]:.1f} % by {one.metric}" for one in curves)
        said.append(f"near FAR {scientific(far)} the TAR is {at}")
    return f"{'; '.join(said)}." if said else ""


def _bands(curves: Sequence[RocCurve]) -> str:
    if curves[0].low is None:
        return "Dotted lines: the FARs of the table."
    return "Bands: 95 % intervals at each FAR. Dotted lines: the FARs of the table."
