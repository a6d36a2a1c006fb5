"""Exact search of a gallery for the people that score highest, by every score at once.

faiss searches in float32 for the largest ``c + t·e`` (see `damcli.identification.forms`), once
for each score. What it finds is scored in float64. The last one found bounds what was not
found; where that bound does not lie below the scores that are wanted, the search is widened,
and in the end the whole gallery is scored.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.identification.forms import Floats, Form, GalleryTerms, Rows
from damcli.metrics import pair_similarities
from damcli.storage.embeddings import Embeddings, Vectors

NOBODY = -1
# Entries that faiss is given at a time, extended: 134 MB at 512 dimensions.
_SHARD = 1 << 16
_WIDTH = 64
_WIDER = 8
# Beyond it, a probe is compared with everybody.
_WIDEST = 1 << 12
_FLOAT32_UNIT = 2.0**-24


class Probes(NamedTuple):
    """A block of n probes."""

    vectors: Vectors
    """(n, D) unit rows."""
    log_lid: Floats
    """(n,), of no meaning where cosine alone is taken."""
    own_rows: Rows
    """(n,) the gallery row that is the very sample, which never counts; or `NOBODY`."""

    def take(self, rows: Rows) -> Probes:
        """Return some of them."""
        return Probes(self.vectors[rows], self.log_lid[rows], self.own_rows[rows])


class Top(NamedTuple):
    """The subjects that score highest, best first, by each of F scores.

    Equal scores stand in the order of the gallery. Where there are fewer subjects, the row
    ends in score -inf and gallery row `NOBODY`.
    """

    scores: Floats
    """(F, n, keep), the subject's best entry."""
    rows: Rows
    """(F, n, keep), the gallery row of that entry."""


class Gallery:
    """A gallery that is searched.

    Parameters
    ----------
    entries
        M embeddings.
    codes
        (M,) int64 >= 0, their subjects' numbers. A subject's score is that of its best entry.
    terms
        Their LIDs.
    forms
        The scores.

    Attributes
    ----------
    subject_count
        How many subjects there are.
    widened
        How many probes it took more than the first search for.
    compared_with_all
        How many probes were compared with the whole gallery.
    """

    def __init__(
        self, entries: Embeddings, codes: Rows, terms: GalleryTerms, forms: tuple[Form, ...]
    ) -> None:
        self.entries, self.codes, self.forms = entries, codes, forms
        self._terms = terms
        self._by_code = np.argsort(codes, kind="stable")
        self._sorted_codes = codes[self._by_code]
        self.subject_count = len(np.unique(codes))
        # Of an inner product in float32, whatever the order of its sums; see Higham, Accuracy
        # and Stability of Numerical Algorithms, Sec. 3.1. Four more roundings come before it.
        self._slack = (entries.dim + 5) * _FLOAT32_UNIT * 1.001 * (
            1 + terms.largest_extension
        ) + 1e-12
        self.widened = self.compared_with_all = 0

    def __len__(self) -> int:
        return len(self.entries)

    def top(self, probes: Probes, keep: int) -> Top:
        """Find the ``keep`` subjects that score highest for each probe."""
        count, total = len(probes.vectors), len(self)
        found = Top(
            np.full((len(self.forms), count, keep), -np.inf),
            np.full((len(self.forms), count, keep), NOBODY),
        )
        last = min(keep, self.subject_count) - 1
        pending, width = np.arange(count), min(total, max(_WIDTH, 4 * keep))
        while len(pending) and width <= max(_WIDEST, 4 * keep):
            some = probes.take(pending)
            candidates, bounds = self.candidates(some, width)
            ranked = self._ranked(some, candidates, keep)
            proven = (ranked.scores[:, :, last] > bounds).all(axis=0) | (width == total)
            for mine, theirs in zip(found, ranked, strict=True):
                mine[:, pending[proven]] = theirs[:, proven]
            if len(pending) == count:
                self.widened += count - int(proven.sum())
            pending, width = pending[~proven], min(total, _WIDER * width)
        self.compared_with_all += len(pending)
        for row in pending:
            everybody = Pairs(np.zeros(total, dtype=np.int64), np.arange(total))
            ranked = self._ranked(probes.take(np.array([row])), everybody, keep)
            for mine, theirs in zip(found, ranked, strict=True):
                mine[:, row] = theirs[:, 0]
        return found

    def candidates(self, probes: Probes, width: int) -> tuple[Pairs, Floats]:
        """Find entries that may score high.

        Parameters
        ----------
        probes
            n probes.
        width
            How many of the largest ``c + t·e`` are taken for each score and probe.

        Returns
        -------
        pairs : Pairs
            Probes and what was found for them, each once.
        bounds : ndarray
            (F, n) float64, which the scores of all other entries do not exceed.
        """
        count = len(probes.vectors)
        lines = [self._terms.lines(form, count, probes.log_lid) for form in self.forms]
        slopes = np.concatenate([line.slope for line in lines])
        values, rows = self._search(np.tile(probes.vectors, (len(lines), 1)), slopes, width)
        lowest = values.min(axis=1).astype(np.float64).reshape(len(lines), count) + self._slack
        bounds = np.stack(
            [line.scale * low + line.constant for line, low in zip(lines, lowest, strict=True)]
        )
        by_form = {form.combine: place for place, form in enumerate(self.forms)}
        if "sum" in by_form:
            # exp(s·c)/G1 + exp(s·c)/G2: neither part exceeds that of the last one found by it.
            first = self._terms.s * lowest[by_form[None]] - probes.log_lid
            second = bounds[by_form["product"]] + probes.log_lid
            both = np.logaddexp(first, second)
            bounds[by_form["sum"]] = np.minimum(bounds[by_form["sum"]], both)
        bounds += 1e-12 * np.abs(bounds)
        keys = np.tile(np.arange(count), len(lines))[:, None] * len(self) + rows
        return Pairs(*np.divmod(np.unique(keys), len(self))), bounds

    def mates(self, probes: Probes, codes: Rows) -> Floats:
        """Score each probe with the best entry of its own subject.

        Parameters
        ----------
        probes
            n probes.
        codes
            (n,) their subjects' numbers.

        Returns
        -------
        ndarray
            (F, n) float64; -inf where the gallery does not hold the subject.
        """
        first = np.searchsorted(self._sorted_codes, codes, "left")
        counts = np.searchsorted(self._sorted_codes, codes, "right") - first
        which = np.repeat(np.arange(len(codes)), counts)
        within = np.arange(len(which)) - np.repeat(np.cumsum(counts) - counts, counts)
        pairs = Pairs(which, self._by_code[np.repeat(first, counts) + within])
        best = np.full((len(self.forms), len(codes)), -np.inf)
        for mine, scores in zip(best, self.scores(probes, pairs), strict=True):
            np.maximum.at(mine, pairs.probes, scores)
        return best

    def scores(self, probes: Probes, pairs: Pairs) -> list[Floats]:
        """Score pairs by each of the scores; -inf where an entry is the very sample."""
        cosine = self.cosines(probes, pairs)
        same = probes.own_rows[pairs.probes] == pairs.rows
        lids = probes.log_lid[pairs.probes]
        return [
            np.where(same, -np.inf, self._terms.scores(form, cosine, lids, pairs.rows))
            for form in self.forms
        ]

    def cosines(self, probes: Probes, pairs: Pairs) -> Floats:
        """Return the cosine of pairs."""
        return pair_similarities(probes.vectors, self.entries.vectors, pairs.probes, pairs.rows)

    def _search(self, vectors: Vectors, slopes: Floats, width: int) -> tuple[Vectors, Rows]:
        """Find the ``width`` largest ``c + t·e`` of each query, in no order: values and rows."""
        import faiss

        queries = _extended(vectors, slopes)
        values, rows = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), int)
        for start in range(0, len(self), _SHARD):
            part = slice(start, min(start + _SHARD, len(self)))
            shard = _extended(self.entries.vectors[part], self._terms.extension(part))
            more = faiss.knn(
                queries, shard, min(width, len(shard)), metric=faiss.METRIC_INNER_PRODUCT
            )
            values = np.concatenate([values, more[0]], axis=1)
            rows = np.concatenate([rows, more[1] + start], axis=1)
            if values.shape[1] > width:
                chosen = np.argpartition(-values, width - 1, axis=1)[:, :width]
                values, rows = (np.take_along_axis(one, chosen, axis=1) for one in (values, rows))
        return values, rows

    def _ranked(self, probes: Probes, pairs: Pairs, keep: int) -> Top:
        """Rank the subjects among candidates: the first of each subject counts."""
        count = len(probes.vectors)
        top = Top(
            np.full((len(self.forms), count, keep), -np.inf),
            np.full((len(self.forms), count, keep), NOBODY),
        )
        people = pairs.probes * (int(self.codes.max()) + 1) + self.codes[pairs.rows]
        for place, scores in enumerate(self.scores(probes, pairs)):
            order = np.lexsort((pairs.rows, -scores, pairs.probes))
            order = order[scores[order] > -np.inf]
            first = np.sort(np.unique(people[order], return_index=True)[1])
            chosen = order[first]
            probe = pairs.probes[chosen]
            rank = np.arange(len(chosen)) - np.searchsorted(probe, probe, "left")
            kept = rank < keep
            top.scores[place, probe[kept], rank[kept]] = scores[chosen[kept]]
            top.rows[place, probe[kept], rank[kept]] = pairs.rows[chosen[kept]]
        return top


class Pairs(NamedTuple):
    """Probes of a block and rows of the gallery, (P,) each, sorted by probe and row."""

    probes: Rows
    rows: Rows


def _extended(vectors: Vectors, more: Floats) -> NDArray[np.float32]:
    """Add one number to each vector."""
    return np.concatenate([vectors, more.astype(np.float32)[:, None]], axis=1)
