"""Softmax probability against cosine and against DAM, for segments of cosine (Figs. 5-6)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.evaluation.counts import Floats
from damcli.evaluation.rank_correlation import rank_correlations
from damcli.evaluation.results import Estimate
from damcli.reports.figures import Picture
from damcli.reports.parts import Part
from damcli.reports.style import dress, key_above, look, new_figure
from damcli.reports.tables import Grid
from damcli.storage.logits import Logits

PICTURE = "softmax"
_FEWEST = 10  # samples, below which a segment shows nothing
_THIRDS = (0.0, 1 / 3, 2 / 3, 1.0)


class Seen(NamedTuple):
    """Samples with their log LIDs.

    Attributes
    ----------
    logits
        n samples.
    log_lid
        (n,) float64.
    k, s
        Of the LIDs.
    """

    logits: Logits
    log_lid: Floats
    k: int
    s: float

    @property
    def dam(self) -> Floats:
        """Log DAM of one side, ``s·c − log G``: (n,) float64."""
        return self.s * self.logits.cosine - self.log_lid


class Segment(NamedTuple):
    """Samples whose cosine lies from low to high, ends included."""

    low: float
    high: float

    @property
    def name(self) -> str:
        """What tables and messages call it."""
        return f"cosine {self.ends}"

    @property
    def ends(self) -> str:
        """From where to where it goes."""
        return f"{self.low:.3g} to {self.high:.3g}"

    def rows(self, cosine: Floats) -> NDArray[np.int64]:
        """Return the samples in it."""
        return np.flatnonzero((cosine >= self.low) & (cosine <= self.high))


def thirds(cosine: Floats) -> list[Segment]:
    """Cut samples into three segments of as many each."""
    ends = np.quantile(cosine, _THIRDS)
    return [Segment(float(low), float(high)) for low, high in pairwise(ends)]


def softmax_part(
    digest: str, seen: Seen, segments: Sequence[Segment], *, of: int, resamples: int, seed: int
) -> Part:
    """Make the section.

    Parameters
    ----------
    digest
        SHA-256 of the file.
    seen
        The samples.
    segments
        Which of them to look at by themselves.
    of
        How many samples the file holds.
    resamples, seed
        Of the intervals.

    Raises
    ------
    InputError
        A segment holds fewer than 10 samples.
    """
    logits = seen.logits
    for one in segments:
        held = len(one.rows(logits.cosine))
        if held < _FEWEST:
            raise InputError(
                logits.embeddings.origin,
                f"holds {held} samples of {one.name}; expected at least {_FEWEST}",
                hint="give other segments: --segment LOW:HIGH",
            )
    every = Segment(float(logits.cosine.min()), float(logits.cosine.max()))
    rows = {"all": every.rows(logits.cosine)}
    rows |= {one.name: one.rows(logits.cosine) for one in segments}
    units = logits.embeddings.subjects
    lines = []
    for name, some in rows.items():
        pair = rank_correlations(
            *(logits.probability[some], (logits.cosine[some], seen.dam[some])),
            None if units is None else units[some],
            resamples=resamples,
            seed=seed,
        )
        lines.append((name, f"{len(some):,}", *(_cell(one) for one in pair), _difference(pair[1])))
    titles = ("", "samples", "cosine [95 %]", "DAM [95 %]", "difference [95 %]")
    return Part(
        "softmax",
        "Softmax probability against cosine and DAM",
        _notes(seen, of, resamples),
        [_picture(seen, segments, lines[0])],
        [("Rank correlation (Spearman) with the softmax probability", Grid(titles, lines))],
        [("logits", logits.embeddings.origin), ("logits, SHA-256", digest)],
    )


def _notes(seen: Seen, of: int, resamples: int) -> list[str]:
    subjects = seen.logits.embeddings.subjects
    count = len(seen.log_lid)
    notes = [
        f"{count:,} samples" + (f", evenly spaced, of {of:,}." if count < of else "."),
        "DAM is that of one side: s·c − log G, with c the cosine to the centre of the sample's own "
        f"class and G its LID (k = {seen.k}, s = {seen.s:g}). A correlation nearer 1 means that "
        "samples stand more nearly in the order of their probability. The probability is itself "
        "made of cosines to the centres of other classes, so near them DAM has to follow it; this "
        "tells what DAM measures, not whether it verifies better.",
    ]
    if subjects is None:
        notes.append(
            "The file names no subjects: an anchor of a sample's own class counts as another's, "
            "and intervals take samples of a class for independent."
        )
    if resamples:
        units = "samples" if subjects is None else "subjects"
        notes.append(f"95 % intervals: {resamples:,} resamples of {units}, the same for both.")
    return notes


def _picture(seen: Seen, segments: Sequence[Segment], line: Sequence[str]) -> Picture:
    figure = new_figure(6.5, 3.6)
    panels = figure.subplots(1, 2, sharey=True)
    logits = seen.logits
    inside = np.zeros(len(logits.cosine), dtype=bool)
    for one in segments:
        inside[one.rows(logits.cosine)] = True
    labels = ("c, cosine to the own class", f"DAM, s·c − log G (k = {seen.k}, s = {seen.s:g})")
    for axes, x, label in zip(panels, (logits.cosine, seen.dam), labels, strict=True):
        dress(axes, x=label, y="softmax probability" if axes is panels[0] else "")
        others = ~inside
        if others.any():
            axes.scatter(
                *(x[others], logits.probability[others]),
                s=5,
                color="#BBBBBB",
                linewidths=0,
                label="others",
            )
        for number, one in enumerate(segments):
            rows, style = one.rows(logits.cosine), look(number)
            axes.scatter(
                *(x[rows], logits.probability[rows]),
                s=6,
                color=style.colour,
                marker=style.marker,
                linewidths=0,
                alpha=0.6,
                label=f"c {one.ends}",
            )
        axes.set_ylim(-0.03, 1.03)
    key_above(figure, panels[0])
    return Picture(
        PICTURE,
        figure,
        "Softmax probability of each sample's own class over its cosine and over its DAM. Rank "
        f"correlation of all samples: {line[2]} by cosine, {line[3]} by DAM.",
        "Softmax probability over cosine (left) and over DAM (right), for segments of cosine "
        "(after Figs. 5 and 6 of the paper). The narrower a segment, the more alike its cosines.",
    )


def _cell(one: Estimate | None) -> str:
    if one is None:
        return "n/a (all alike)"
    ends = one.interval
    return f"{one.value:.3f}" + ("" if ends is None else f" [{ends.low:.3f}, {ends.high:.3f}]")


def _difference(one: Estimate | None) -> str:
    if one is None or one.difference is None:
        return ""
    ends = one.difference_interval
    interval = "" if ends is None else f" [{ends.low:+.3f}, {ends.high:+.3f}]"
    return f"{one.difference:+.3f}{interval}"
