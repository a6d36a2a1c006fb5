"""Any settings of DAM on labelled pairs: LIDs from one search, scores a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.evaluation import Evaluation, evaluate
from damcli.metrics import log_dam
from damcli.metrics.dam import Combination
from damcli.protocols.pairs import PairSource
from damcli.scoring.all_pairs import AllPairs, AllPairScores
from damcli.scoring.compatibility import check_disjoint, check_same_space
from damcli.scoring.score import CHUNK_PAIRS, ListedScores, scored
from damcli.scoring.scorer import Rival, Scorer
from damcli.scoring.sides import Sides
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.sweeping.lids import log_lids
from damcli.sweeping.settings import Setting

# Score columns held at a time, beside cosine.
_TOGETHER = 8
Floats = NDArray[np.float64]
Progress = Callable[[int], None]


@dataclass(frozen=True)
class Faces:
    """What pairs are scored with.

    Attributes
    ----------
    embeddings
        Where the probes stand, and the references too without a gallery.
    anchors
        What the LIDs are taken from.
    gallery
        Where the references stand.
    allow_overlap
        Let anchors show people that are scored; each face then skips its own anchors.
    allow_mixed_models
        Let the files come from different models.
    """

    embeddings: Embeddings
    anchors: Anchors
    gallery: Embeddings | None = None
    allow_overlap: bool = False
    allow_mixed_models: bool = False

    @property
    def sides(self) -> Sides:
        """Both sides of the pairs."""
        references = self.embeddings if self.gallery is None else self.gallery
        return Sides(self.embeddings, references)

    def log_lids(
        self, settings: Sequence[Setting], progress: Progress | None, used: Embeddings
    ) -> Floats:
        """Take the log LIDs (n, settings) of embeddings, none of which may be an anchor's."""
        if not self.allow_overlap:
            check_disjoint(used, self.anchors)
        return log_lids(used, self.anchors, settings, progress=progress)


@dataclass(frozen=True, eq=False)
class SettingScores:
    """Labelled pairs, and the log LIDs of both sides at each setting.

    Attributes
    ----------
    scores
        The pairs by cosine.
    sides
        The embeddings, and which of them stand in a pair.
    settings
        S settings.
    combine
        The form of Eq. 3.
    log_lids
        (N, S) of the probes and (M, S) of the references.
    """

    scores: ListedScores | AllPairScores
    sides: Sides
    settings: tuple[Setting, ...]
    combine: Combination
    log_lids: tuple[Floats, Floats]

    def evaluate(
        self,
        settings: Sequence[Setting],
        fars: Sequence[float],
        *,
        resamples: int = 0,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> Evaluation:
        """Evaluate cosine and some of the settings; see `damcli.evaluate`.

        ``progress`` hears of the settings done.
        """
        parts = []
        for start in range(0, len(settings), _TOGETHER):
            some = settings[start : start + _TOGETHER]
            rivals = tuple(self._rival(one) for one in some)
            scores = self.scores.scored_by(replace(self.scores.scorer, rivals=rivals))
            parts.append(evaluate(scores.matches(), fars=fars, resamples=resamples, seed=seed))
            if progress is not None:
                progress(len(some))
        found = [metric for part in parts for metric in part.metrics[1:]]
        return replace(parts[0], metrics=(parts[0].metrics[0], *found))

    def _rival(self, setting: Setting) -> Rival:
        column = self.settings.index(setting)
        probe, reference = (np.ascontiguousarray(side[:, column]) for side in self.log_lids)

        def of(cosine: Floats, mine: Sequence[Floats], theirs: Sequence[Floats]) -> Floats:
            return log_dam(cosine, mine[0], theirs[0], s=setting.s, combine=self.combine)

        return Rival(setting.name, setting.name, of, (probe,), (reference,))


def open_settings(
    pairs: PairSource | AllPairs,
    faces: Faces,
    settings: Sequence[Setting],
    *,
    combine: Combination = "sum",
    skip_missing: bool = False,
    chunk_pairs: int = CHUNK_PAIRS,
    reading: Progress | None = None,
    searching: Progress | None = None,
) -> SettingScores:
    """Find the pairs' rows and the log LIDs of the embeddings that stand in one.

    Parameters
    ----------
    pairs
        A labelled list from `damcli.read_pairs`, or `damcli.all_pairs` of the embeddings.
    faces
        What they are scored with.
    settings
        The settings.
    combine
        ``sum`` (Eq. 3) or ``product`` (Sec. 4.6).
    skip_missing, chunk_pairs, reading, searching
        As for `damcli.score`.

    Raises
    ------
    InputError
        As for `damcli.score`, or the pairs carry no labels.
    """
    require_labels(pairs)
    for other in (faces.gallery, faces.anchors):
        if other is not None:
            check_same_space(faces.embeddings, other, allow_mixed_models=faces.allow_mixed_models)
    found: list[tuple[Sides, tuple[Floats, Floats]]] = []

    def scorer(sides: Sides) -> Scorer:
        found.append((sides, sides.each(partial(faces.log_lids, settings, searching))))
        return Scorer(sides.probes, sides.references)

    scores = scored(
        pairs,
        faces.sides,
        scorer,
        skip_missing=skip_missing,
        chunk_pairs=chunk_pairs,
        reading=reading,
    )
    ((sides, lids),) = found
    return SettingScores(scores, sides, tuple(settings), combine, lids)


def require_labels(pairs: PairSource | AllPairs) -> None:
    """Refuse pairs that settings cannot be compared by.

    Raises
    ------
    InputError
        The list carries no labels.
    """
    if not isinstance(pairs, AllPairs) and not pairs.labelled:
        raise InputError(
            pairs.origin,
            "carries no labels; expected genuine and impostor pairs, to compare settings by",
            hint="add a column label",
        )
