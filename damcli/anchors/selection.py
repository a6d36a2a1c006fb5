"""Choosing anchors from embeddings, with a count for everything that was left out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.storage.anchors import ANCHOR_KINDS, AnchorKind, Anchors
from damcli.storage.embeddings import BLOCK_ROWS, Embeddings, EmbeddingSource, Rows
from damcli.storage.space import check_same_space

DEFAULT_SIZE = 50_000
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Dropped:
    """How many samples one rule left out, and the ids of the first few."""

    rule: str
    count: int
    first: tuple[str, ...] = ()


@dataclass
class _Selection:
    """The rows still in, and what every rule so far has dropped."""

    source: EmbeddingSource
    rows: Rows
    dropped: list[Dropped] = field(default_factory=list)

    def keep(self, mask: NDArray[np.bool_], rule: str) -> None:
        gone = self.rows[~mask]
        self.dropped.append(Dropped(rule, len(gone), tuple(self.source.ids[gone[:3]])))
        self.rows = self.rows[mask]
        if not len(self.rows):
            raise InputError(
                self.source.origin,
                f"no sample is left after {rule} ({len(gone)} dropped)",
                hint="loosen that option",
            )


@dataclass(frozen=True)
class NearDuplicates:
    """Leave out what looks like one of these embeddings.

    Attributes
    ----------
    of
        The evaluation set.
    above
        The cosine similarity above which a sample counts as showing the same person.
    allow_mixed_models
        Compare to embeddings of another model as well.
    """

    of: Embeddings
    above: float
    allow_mixed_models: bool = False


def build_anchors(
    source: EmbeddingSource,
    kind: AnchorKind = "real-db",
    *,
    size: int = DEFAULT_SIZE,
    seed: int = 0,
    per_subject: int | None = 1,
    exclude_ids: Collection[str] = (),
    exclude_subjects: Collection[str] = (),
    min_norm: float | None = None,
    near_duplicates: NearDuplicates | None = None,
    progress: Progress | None = None,
) -> tuple[Anchors, list[Dropped]]:
    """Choose an anchor set (Sec. 3.2 of the paper; 50,000 faces, one per identity).

    The rules apply in this order: excluded ids and subjects, smallest norm, samples per
    subject, near-duplicates of the evaluation set, size. What is drawn depends on the
    seed and the order of the rows alone.

    Parameters
    ----------
    source
        N embeddings, in memory or in a file.
    kind
        ``real-db`` (faces of the training set), ``fake-db`` (generated faces: subjects are
        left out) or ``fc-weights`` (class centres).
    size
        How many anchors at most, >= 1.
    seed
        Of the random draws, >= 0.
    per_subject
        How many samples of each subject at most, drawn at random; None for all. Only
        ``real-db`` looks at it, and needs subjects then.
    exclude_ids, exclude_subjects
        Samples that must not become anchors.
    min_norm
        Smallest length of the embedding before normalisation: short ones are often
        failed crops.
    near_duplicates
        An evaluation set whose near-duplicates are left out. This looks at the
        evaluation images, and is recorded in the anchors.
    progress
        Called with the number of samples compared to the evaluation set.

    Returns
    -------
    anchors : Anchors
        (M, D) float32 unit rows, M <= size, in the order of the source.
    dropped : list of Dropped
        What each rule left out.

    Raises
    ------
    InputError
        Subjects are needed and not there, or a rule leaves nothing.
    UserError
        An option is out of its range.
    """
    _check_options(kind, size, per_subject, min_norm, near_duplicates)
    chosen = _Selection(source, np.arange(len(source), dtype=np.int64))
    rng = np.random.default_rng(seed)
    _exclude(chosen, exclude_ids, exclude_subjects)
    if min_norm is not None:
        norms = source.norms
        if norms is None:
            raise InputError(source.origin, "carries no norms, which min-norm needs")
        chosen.keep(norms[chosen.rows] >= min_norm, f"norm below {min_norm:g}")
    if kind == "real-db" and per_subject is not None:
        _thin_subjects(chosen, per_subject, rng)
    if near_duplicates is not None:
        _drop_near_duplicates(chosen, near_duplicates, progress)
    if len(chosen.rows) > size:
        drawn = np.zeros(len(chosen.rows), dtype=bool)
        drawn[rng.choice(len(chosen.rows), size, replace=False)] = True
        chosen.keep(drawn, f"size {size}")
    anchors = _as_anchors(chosen, kind, size, seed, per_subject, near_duplicates)
    return anchors, chosen.dropped


def _check_options(
    kind: str,
    size: int,
    per_subject: int | None,
    min_norm: float | None,
    near: NearDuplicates | None,
) -> None:
    if kind not in ANCHOR_KINDS:
        raise UserError(f"kind {kind!r}; expected one of {', '.join(ANCHOR_KINDS)}")
    if size < 1 or (per_subject is not None and per_subject < 1):
        raise UserError(f"size {size}, per subject {per_subject}; expected 1 or more")
    if min_norm is not None and not min_norm > 0:
        raise UserError(f"min-norm {min_norm:g}; expected a number above 0")
    if near is not None and not -1 < near.above < 1:
        raise UserError(f"similarity {near.above:g}; expected a cosine between -1 and 1")


def _exclude(chosen: _Selection, ids: Collection[str], subjects: Collection[str]) -> None:
    source = chosen.source
    if len(ids):
        chosen.keep(~_among(source.ids[chosen.rows], ids), "excluded ids")
    if len(subjects):
        if source.subjects is None:
            raise InputError(
                source.origin,
                "carries no subjects, so none can be excluded",
                hint="exclude by id, or by similarity: --max-similarity-to",
            )
        chosen.keep(~_among(source.subjects[chosen.rows], subjects), "excluded subjects")


def _among(names: NDArray[np.object_], listed: Collection[str]) -> NDArray[np.bool_]:
    wanted = set(listed)
    return np.fromiter((name in wanted for name in names), dtype=bool, count=len(names))


def _thin_subjects(chosen: _Selection, per_subject: int, rng: np.random.Generator) -> None:
    import pandas as pd

    if chosen.source.subjects is None:
        raise InputError(
            chosen.source.origin,
            f"carries no subjects, so {per_subject} per subject cannot be chosen",
            hint="take every sample with --per-subject all, or store a 'subject' for each",
        )
    shuffled = rng.permutation(len(chosen.rows))
    subjects = pd.Series(chosen.source.subjects[chosen.rows[shuffled]])
    rank = np.empty(len(shuffled), dtype=np.int64)
    rank[shuffled] = subjects.groupby(subjects).cumcount().to_numpy()
    chosen.keep(rank < per_subject, f"{per_subject} per subject")


def _drop_near_duplicates(
    chosen: _Selection, near: NearDuplicates, progress: Progress | None
) -> None:
    import faiss

    check_same_space(chosen.source, near.of, allow_mixed_models=near.allow_mixed_models)
    index = faiss.IndexFlatIP(near.of.dim)
    index.add(near.of.vectors)
    clear = np.empty(len(chosen.rows), dtype=bool)
    for start in range(0, len(chosen.rows), BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        similarities, _ = index.search(chosen.source.take(chosen.rows[block]).vectors, 1)
        clear[block] = similarities[:, 0] <= near.above
        if progress is not None:
            progress(len(similarities))
    chosen.keep(clear, f"similarity above {near.above:g} to {near.of.origin}")


def _as_anchors(
    chosen: _Selection,
    kind: AnchorKind,
    size: int,
    seed: int,
    per_subject: int | None,
    near: NearDuplicates | None,
) -> Anchors:
    taken = chosen.source.take(chosen.rows)
    if kind == "fake-db":
        taken = replace(taken, subjects=None)
    looked: dict[str, str | float] = (
        {}
        if near is None
        else {
            "looked_at_evaluation_set": near.of.origin,
            "looked_at_evaluation_sha256": near.of.digest or "unknown",
            "max_similarity_to_evaluation_set": near.above,
        }
    )
    return Anchors.of(
        taken,
        kind=kind,
        seed=seed,
        size_limit=size,
        per_subject="all" if per_subject is None or kind != "real-db" else per_subject,
        dropped="; ".join(f"{drop.rule}: {drop.count}" for drop in chosen.dropped) or "none",
        source=chosen.source.origin,
        source_rows=len(chosen.source),
        source_sha256=chosen.source.digest or "unknown",
        **looked,
    )
