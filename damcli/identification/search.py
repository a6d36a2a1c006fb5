"""Every probe of a set against a gallery: the place of its mate, and who scores highest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.identification.forms import Floats, Form, GalleryTerms, Rows
from damcli.identification.gallery import NOBODY, Gallery, Pairs, Probes, Top
from damcli.lid.neighbours import Progress
from damcli.lid.own import same_source
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Names, subject_codes

PROBE_ROWS = 1024


class Candidates(NamedTuple):
    """The people that score highest for a block of probes, P in all, best first."""

    probe_rows: Rows
    ranks: Rows
    """From 1 on."""
    entry_rows: Rows
    cosine: Floats
    score: Floats


@dataclass(frozen=True, eq=False)
class Searches:
    """What came of the searches of P probes, by each of F scores.

    Attributes
    ----------
    origin
        The gallery's file, for messages.
    subjects, entries
        Counts of the gallery.
    mated
        (P,) whether the gallery holds the probe's subject.
    ranks
        (F, P) the rank of the mate from 1 on, counting subjects; other subjects with the
        mate's score stand before it. Beyond the ranks asked for, the last of them plus one;
        so it is for probes without a mate.
    mate_scores
        (F, P) the highest score with an entry of the probe's subject; -inf without a mate.
    other_scores
        (F, P) the highest score with somebody else.
    same_id
        How many probes stand in the gallery as the same sample, which they skip.
    widened, compared_with_all
        See `damcli.identification.gallery.Gallery`.
    """

    origin: str
    subjects: int
    entries: int
    mated: NDArray[np.bool_]
    ranks: Rows
    mate_scores: Floats
    other_scores: Floats
    same_id: int
    widened: int
    compared_with_all: int


def search(
    probes: Embeddings,
    entries: Embeddings,
    lids: tuple[Floats | None, Floats | None],
    forms: tuple[Form, ...],
    s: float,
    limit: int,
    *,
    order_by: int = 0,
    candidates: Callable[[Candidates], None] | None = None,
    progress: Progress | None = None,
) -> Searches:
    """Search a gallery for every probe, a block of probes at a time.

    Parameters
    ----------
    probes, entries
        The two sides, with subjects. An entry of the probe's own id does not count for it.
    lids
        log G of both sides, (P,) and (M,) float64; None for cosine alone.
    forms
        The scores, F of them.
    s
        Scale of Eq. 3.
    limit
        The largest rank that is asked for.
    order_by
        Which of the scores candidates are ranked by.
    candidates
        Called with the ``limit`` people that score highest, block after block.
    progress
        Called with the probes done since the last call.

    Raises
    ------
    InputError
        A side carries no subjects.
    """
    mine, theirs, _ = subject_codes(_subjects(probes), _subjects(entries))
    gallery = Gallery(entries, theirs, GalleryTerms(lids[1], s), forms)
    own = own_rows(probes, entries)
    log_lid = np.zeros(len(probes)) if lids[0] is None else lids[0]
    ranks, mates, others = (np.empty((len(forms), len(probes))) for _ in range(3))
    for start in range(0, len(probes), PROBE_ROWS):
        block = slice(start, start + PROBE_ROWS)
        some = Probes(probes.vectors[block], log_lid[block], own[block])
        top = gallery.top(some, limit + 1)
        mates[:, block] = gallery.mates(some, mine[block])
        is_other = (top.rows != NOBODY) & (theirs[top.rows] != mine[None, block, None])
        before = is_other & (top.scores >= mates[:, block, None])
        found = mates[:, block] > -np.inf
        ranks[:, block] = np.where(found, np.minimum(before.sum(axis=2), limit), limit) + 1
        others[:, block] = np.where(is_other, top.scores, -np.inf).max(axis=2)
        if candidates is not None:
            candidates(_candidates(gallery, some, top, order_by, limit, start))
        if progress is not None:
            progress(len(some.vectors))
    return Searches(
        origin=entries.origin,
        subjects=gallery.subject_count,
        entries=len(entries),
        mated=mates[0] > -np.inf,
        ranks=ranks.astype(np.int64),
        mate_scores=mates,
        other_scores=others,
        same_id=int((own != NOBODY).sum()),
        widened=gallery.widened,
        compared_with_all=gallery.compared_with_all,
    )


def own_rows(probes: Embeddings, entries: Embeddings) -> Rows:
    """Find the gallery row that is the very sample of each probe, by its id; else `NOBODY`.

    Row numbers, where they serve as ids, mean the same sample only in two copies of one file.
    """
    numbered = any(side.attributes.get(ROW_NUMBER_IDS) for side in (probes, entries))
    if numbered and probes is not entries and not same_source(probes, entries):
        return np.full(len(probes), NOBODY)
    return entries.rows_of(probes.ids)


def _subjects(side: Embeddings) -> Names:
    if side.subjects is None:
        raise InputError(
            side.origin,
            "carries no subjects, so nobody knows whom a search should find",
            hint="store a 'subject' for each embedding",
        )
    return side.subjects


def _candidates(
    gallery: Gallery, probes: Probes, top: Top, form: int, limit: int, start: int
) -> Candidates:
    rows, scores = top.rows[form, :, :limit], top.scores[form, :, :limit]
    probe, place = np.nonzero(rows != NOBODY)
    pairs = Pairs(probe, rows[probe, place])
    cosine = gallery.cosines(probes, pairs)
    return Candidates(probe + start, place + 1, pairs.rows, cosine, scores[probe, place])
