"""The numbers of a 1:N search, as plain values."""

from __future__ import annotations

from dataclasses import dataclass

from damcli.evaluation.rates import OperatingPoint
from damcli.evaluation.results import Estimate


@dataclass(frozen=True)
class GalleryCounts:
    """One gallery and its searches.

    Attributes
    ----------
    origin
        Its file, for messages.
    subjects, entries
        Who it holds, and how many embeddings of them.
    mated, non_mated
        Probes whose subject it holds, and the others.
    same_id
        Probes that it holds as the same sample, which they skip.
    compared_with_all
        Probes for which no bound spared the comparison with the whole gallery.
    """

    origin: str
    subjects: int
    entries: int
    mated: int
    non_mated: int
    same_id: int
    compared_with_all: int


@dataclass(frozen=True)
class MetricIdentification:
    """All numbers of one score; rates are means over the galleries.

    Attributes
    ----------
    name
        Of the score.
    cmc
        The identification rate within each of the ranks.
    tpirs
        TPIR at each FPIR; None where a gallery's non-mated probes allow no false positive.
    points
        For each FPIR the operating point in each gallery, in which ``far`` stands for FPIR
        and ``tar`` for TPIR.
    """

    name: str
    cmc: tuple[Estimate, ...]
    tpirs: tuple[Estimate | None, ...]
    points: tuple[tuple[OperatingPoint, ...], ...]


@dataclass(frozen=True)
class Identification:
    """The numbers of one or more scores on the same searches, the first being the baseline.

    Attributes
    ----------
    galleries
        One or more, each of which was searched by itself.
    ranks, fpirs
        What was asked for.
    within
        The largest rank at which a TPIR counts the mate.
    subjects
        How many subjects the probes show.
    resamples, seed
        Of the intervals, which resample these; 0 resamples mean no intervals.
    metrics
        One result a score.
    """

    galleries: tuple[GalleryCounts, ...]
    ranks: tuple[int, ...]
    fpirs: tuple[float, ...]
    within: int
    subjects: int
    resamples: int
    seed: int
    metrics: tuple[MetricIdentification, ...]
