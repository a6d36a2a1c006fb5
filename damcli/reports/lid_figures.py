"""The figures of LIDs: similarity to the anchors by rank, and how LIDs spread."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.lid.outlook import Outlook
from damcli.reports.figures import Picture
from damcli.reports.style import INK, LINE_WIDTH, THIN, dress, key, key_above, look, new_figure

_BINS = 60
_BAND = 0.16
_MOST_GROUPS = 20
Floats = NDArray[np.float64]


def similarity_picture(seen: Outlook) -> Picture:
    """Draw the cosine to the anchors of each rank: the L-shaped curves of Fig. 3."""
    figure = new_figure(5.6, 3.6)
    axes = figure.subplots()
    dress(axes, x="rank of the anchor, nearest first", y="cosine to it")
    ranks = np.arange(1, seen.similarities.shape[1] + 1)
    lowest, low, middle, high, highest = seen.similarities
    style = look(0)
    axes.fill_between(
        ranks,
        lowest,
        highest,
        color=style.colour,
        alpha=_BAND,
        linewidth=0,
        label="9 of 10 probes",
    )
    axes.fill_between(
        ranks, low, high, color=style.colour, alpha=2 * _BAND, linewidth=0, label="half of them"
    )
    axes.plot(ranks, middle, color=style.colour, linewidth=LINE_WIDTH, label="median")
    axes.axvline(seen.k, color=INK, linewidth=THIN, linestyle=":", label=f"k = {seen.k}")
    key(axes, loc="upper right")
    return Picture(
        "similarity",
        figure,
        f"Cosine of probes to their anchors by rank: the median falls from {middle[0]:.2f} at the "
        f"nearest to {middle[-1]:.2f} at rank {len(ranks)}.",
        "Similarity to the anchors (Fig. 3 of the paper). The wider the bands at the left, the "
        "more faces differ in how crowded it is around them, and the more there is to align.",
    )


def lid_picture(seen: Outlook) -> Picture:
    """Draw how the LIDs of probes spread, and those of the anchors among themselves."""
    figure = new_figure(5.6, 3.6)
    axes = figure.subplots()
    dress(axes, x=f"log LID (k = {seen.k}, s = {seen.s:g})", y="share (%)")
    both = np.concatenate([seen.probe_log_lid, seen.anchor_log_lid])
    edges = np.histogram_bin_edges(both, _BINS)
    for number, (name, lids) in enumerate(
        (("probes", seen.probe_log_lid), ("anchors among themselves", seen.anchor_log_lid))
    ):
        style = look(number)
        share = 100 * np.histogram(lids, edges)[0] / len(lids)
        axes.stairs(share, edges, fill=True, color=style.colour, alpha=_BAND)
        axes.stairs(
            *(share, edges),
            color=style.colour,
            linestyle=style.dashes,
            linewidth=LINE_WIDTH,
            label=name,
        )
    key_above(figure, axes)
    return Picture(
        "lid",
        figure,
        "Histograms of the log LID of probes and of anchors: "
        f"medians {np.median(seen.probe_log_lid):.2f} and {np.median(seen.anchor_log_lid):.2f}.",
        "How crowded it is around probes, and around the anchors themselves. A probe's LID is "
        f"above an anchor's with a chance of {100 * seen.more_crowded:.0f} %; about half is what "
        "anchors of the same kind as the probes give.",
    )


def group_lid_picture(column: str, by_group: Mapping[str, Floats], seen: Outlook) -> Picture:
    """Draw the quantiles of each group's log LIDs: 5–95 % thin, 25–75 % thick, median as a dot.

    Parameters
    ----------
    column
        What tells the groups apart.
    by_group
        Log LIDs by the label of the group; the 20 largest groups are drawn.
    seen
        Gives k and s.
    """
    names = sorted(by_group, key=lambda name: (-len(by_group[name]), name))[:_MOST_GROUPS]
    names = sorted(names, reverse=True)
    figure = new_figure(5.6, 0.9 + 0.34 * len(names))
    axes: Any = figure.subplots()
    dress(axes, x=f"log LID (k = {seen.k}, s = {seen.s:g})")
    colour = look(0).colour
    for place, name in enumerate(names):
        ends = np.quantile(by_group[name], (0.05, 0.25, 0.5, 0.75, 0.95))
        axes.plot(ends[[0, 4]], [place, place], color=colour, linewidth=LINE_WIDTH)
        axes.plot(ends[[1, 3]], [place, place], color=colour, linewidth=5, alpha=0.5)
        axes.plot(ends[2], place, color=INK, marker="o", markersize=5)
    # A label is anybody's: $ would start a formula.
    labels = [f"{name} ({len(by_group[name]):,})".replace("$", r"\$") for name in names]
    axes.set_yticks(range(len(names)), labels)
    axes.set_ylim(-0.6, len(names) - 0.4)
    medians = ", ".join(f"{name} {np.median(by_group[name]):.2f}" for name in reversed(names))
    left = len(by_group) - len(names)
    return Picture(
        f"lid-{re.sub(r'[^A-Za-z0-9_-]+', '_', column)}",
        figure,
        f"Log LID by {column}, medians: {medians}.",
        f"Log LID by {column}: median, half and nine tenths of each group, with its number of "
        "probes. One threshold on the cosine treats these groups alike."
        + (f" {left} smaller groups are not drawn." if left else ""),
    )
