"""What was chosen on some pairs, judged on others; and whether these are others indeed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from damcli.evaluation import DEFAULT_FARS, Evaluation
from damcli.lid.own import same_source
from damcli.protocols.pairs import PairSource
from damcli.scoring.all_pairs import AllPairs
from damcli.scoring.sides import Sides
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import ROW_NUMBER_IDS, Embeddings, Rows
from damcli.sweeping.measure import Faces, SettingScores, open_settings
from damcli.sweeping.settings import DEFAULT, Setting


@dataclass(frozen=True, eq=False)
class Judged:
    """How a setting does on pairs that it was not chosen on.

    Attributes
    ----------
    evaluation
        Cosine, the default setting, and the chosen one where it is another.
    measured
        The pairs and their LIDs.
    """

    evaluation: Evaluation
    measured: SettingScores


def judge(
    pairs: PairSource | AllPairs,
    embeddings: Embeddings,
    anchors: Anchors,
    chosen: Setting,
    *,
    gallery: Embeddings | None = None,
    fars: Sequence[float] = DEFAULT_FARS,
    resamples: int = 1000,
    seed: int = 0,
    allow_overlap: bool = False,
    allow_mixed_models: bool = False,
    **options: Any,
) -> Judged:
    """Evaluate cosine, DAM at its default k and s, and DAM at a chosen setting.

    Parameters
    ----------
    pairs, embeddings, anchors, gallery, fars, resamples, seed, allow_overlap, allow_mixed_models
        As for `damcli.sweep`.
    chosen
        The setting, from `Sweep.best` of a sweep over pairs of other people.
    **options
        ``combine``, ``skip_missing``, ``chunk_pairs``, ``reading``, ``searching``, as for
        `damcli.sweep`.

    Raises
    ------
    InputError
        As for `damcli.sweep`.
    """
    settings = tuple(dict.fromkeys((DEFAULT, chosen)))
    faces = Faces(embeddings, anchors, gallery, allow_overlap, allow_mixed_models)
    measured = open_settings(pairs, faces, settings, **options)
    return Judged(measured.evaluate(settings, fars, resamples=resamples, seed=seed), measured)


class Shared(NamedTuple):
    """The names that two lists of pairs have in common, sorted."""

    subjects: list[str]
    ids: list[str]


def shared(one: SettingScores, other: SettingScores) -> Shared:
    """Find who and what stands in the pairs of both.

    Subjects count where all embeddings have some. Ids that are row numbers count within one
    file, or where they stand for the same vector.
    """
    mine, theirs = _used(one.sides), _used(other.sides)
    people = [_subjects(sides) for sides in (mine, theirs)]
    ids = {
        str(name)
        for first in mine
        for second in theirs
        if _comparable(first, second)
        for name in {*first.ids} & {*second.ids}
    }
    return Shared(sorted(people[0] & people[1]), sorted(ids))


def _used(sides: Sides) -> list[Embeddings]:
    """Take of each side what stands in a pair."""
    both: list[tuple[Embeddings, Rows | None]] = [
        (sides.probes, sides.probe_rows),
        (sides.references, sides.reference_rows),
    ]
    return [side if rows is None else side.take(rows) for side, rows in both]


def _subjects(used: list[Embeddings]) -> set[str]:
    if any(side.subjects is None for side in used):
        return set()
    return {str(name) for side in used if side.subjects is not None for name in side.subjects}


def _comparable(one: Embeddings, other: Embeddings) -> bool:
    numbered = one.attributes.get(ROW_NUMBER_IDS) or other.attributes.get(ROW_NUMBER_IDS)
    return not numbered or _same_rows(one, other)


def _same_rows(one: Embeddings, other: Embeddings) -> bool:
    return one.dim == other.dim and same_source(one, Anchors.of(other))
