"""Pooling in one call: embeddings of images and a list of templates in; templates out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.lid.pooled import POOLED_LID, about_pooled_lid, pooled_lid_column
from damcli.lid.source import AnchorLid, LidSource, lid_source
from damcli.pooling.members import Found, find_members, said_of_templates, subjects_of
from damcli.pooling.modes import Halves, Pooling, flip_after, pooling_of, take_halves
from damcli.pooling.sums import Members, template_sums
from damcli.protocols.templates import TemplateList
from damcli.scoring.compatibility import check_disjoint
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import (
    POOLED,
    ROW_NUMBER_IDS,
    Embeddings,
    EmbeddingSource,
    Names,
    as_names,
    check_unique,
)
from damcli.storage.lidr import Lidr
from damcli.storage.space import check_same_space
from damcli.storage.unit import row_lengths, unit_rows

IMAGE_COUNT, MEDIA_COUNT = "image_count", "media_count"
_ADDED = (IMAGE_COUNT, MEDIA_COUNT, POOLED_LID)
Floats = NDArray[np.float64]
Progress = Callable[[int], None]


class MissingImage(NamedTuple):
    """An image of the list that has no embedding."""

    row: int
    template_id: str
    image_id: str


@dataclass(frozen=True, eq=False)
class Pooled:
    """Templates, and what is not in them.

    Attributes
    ----------
    templates
        T embeddings. Their ids are the templates' of the list, in its order, without those
        that are empty; ``norms`` are the lengths before L2; groups ``image_count`` and
        ``media_count`` say how many were pooled.
    missing
        The images without an embedding.
    empty
        The templates of which no image has an embedding.
    found_by
        By which rule the images' embeddings were found.
    dropped
        Groups of the embeddings in which the images of some template differ.
    pooling
        How it was done.
    """

    templates: Embeddings
    missing: list[MissingImage]
    empty: list[str]
    found_by: str
    dropped: list[str]
    pooling: Pooling


def pool(
    embeddings: EmbeddingSource,
    templates: TemplateList,
    *,
    mode: str | None = None,
    raw_norm: bool | None = None,
    weighted: bool | None = None,
    halves: Halves | None = None,
    anchors: Anchors | None = None,
    lidr: Lidr | None = None,
    k: int | None = None,
    s: float | None = None,
    skip_missing: bool = False,
    allow_overlap: bool = False,
    allow_mixed_models: bool = False,
    progress: Progress | None = None,
) -> Pooled:
    """Pool embeddings of images to templates: mean per medium, sum over media, L2.

    ``t = Σ_media 1/n_medium · Σ_images w·f``, divided by its length; n counts the images of a
    medium, whatever their weights, as IJB's evaluations do.

    Parameters
    ----------
    embeddings
        In memory or, better for many, from `damcli.open_embeddings`: a block of rows is read
        at a time.
    templates
        From `damcli.read_templates` or `damcli.templates_by`.
    mode
        One of insightface's eight, ``N0D0F0`` to ``N1D1F1``: N1 pools raw norms, D1 weighs,
        F1 adds the mirror images' embeddings and F0 leaves them out. What follows goes before.
    raw_norm
        Let f have the length that the network gave it; by default it is of unit length.
    weighted
        Let w be the list's weights; by default so where it has any. Else w = 1.
    halves
        Of embeddings of ``damcli embed --flip concat``: ``whole`` (default), ``sum`` or
        ``first``; f is what this gives, and unit length is its length.
    anchors, lidr, k, s
        Store pooled LIDs with the templates, for `damcli.score` with ``lid="pooled"``: the mean
        over media of the mean log LID of a medium's images, as `damcli.log_lid` takes it.
    skip_missing
        Leave out images without an embedding; otherwise they are an error.
    allow_overlap
        Let anchors show people of the templates; each image then skips its own.
    allow_mixed_models
        Let embeddings and anchors come from different models.
    progress
        Called with the number of images pooled since the last call.

    Returns
    -------
    Pooled
        The templates and what is not in them.

    Raises
    ------
    InputError
        Images have no embedding, a template's images show different subjects or cancel out,
        lengths, weights or halves are not there, or anchors do not belong to the embeddings.
    UserError
        No such mode, or k and s that a lidr was not fitted with.
    """
    check_unique(embeddings.ids, embeddings.origin)
    _check_names(templates)
    pooling = pooling_of(
        embeddings, templates, mode=mode, raw_norm=raw_norm, weighted=weighted, halves=halves
    )
    source = lid_source(anchors, lidr, k=k, s=s)
    found = find_members(embeddings, templates, skip_missing=skip_missing)
    subjects = subjects_of(embeddings, templates, found)
    groups, dropped = said_of_templates(embeddings, found, without=_ADDED)
    weights = None
    if pooling.weighted and templates.weights is not None:
        weights = templates.weights[found.places]
    members = Members.of(found.rows, found.templates, templates.media[found.places], weights)
    each = None
    if source is not None:
        first = take_halves(embeddings.take(found.rows[:1]), pooling.halves, found.rows[:1])
        check_same_space(first, source, allow_mixed_models=allow_mixed_models)
        each = partial(_log_lid, source, allow_overlap)
    sums = template_sums(embeddings, members, found.count, pooling, each=each, progress=progress)
    counts = {
        IMAGE_COUNT: _texts(np.bincount(found.templates, minlength=found.count)),
        MEDIA_COUNT: _texts(np.rint(members.media_counts(found.count)).astype(np.int64)),
    }
    about: dict[str, Any] = {}
    if source is not None and sums.values is not None:
        counts[POOLED_LID] = pooled_lid_column(sums.values)
        about = about_pooled_lid(source)
    unit, norms = _normalised(sums.vectors, templates, found)
    made = Embeddings(
        vectors=unit,
        ids=found.names,
        subjects=subjects,
        norms=norms,
        groups={**groups, **found.kept(templates.groups), **counts},
        attributes=_attributes(embeddings, templates, pooling, found) | about,
        origin=f"templates of {embeddings.origin}",
    )
    missing = [
        MissingImage(
            int(templates.lines[place]),
            str(templates.templates.values[place]),
            str(templates.images.values[place]),
        )
        for place in found.missing
    ]
    return Pooled(made, missing, found.empty, found.rule, dropped, pooling)


def _check_names(templates: TemplateList) -> None:
    for name in _ADDED:
        if name in templates.groups:
            raise InputError(
                templates.origin,
                f"a column {name}, which pooling adds itself; expected another name",
                hint="rename the column",
            )


def _log_lid(source: LidSource, allow_overlap: bool, images: Embeddings) -> Floats:
    if isinstance(source, AnchorLid) and not allow_overlap:
        check_disjoint(images, source.anchors)
    return source.log_lid(images)


def _texts(counts: NDArray[np.int64]) -> Names:
    return as_names(counts.tolist())


def _normalised(
    vectors: Floats, templates: TemplateList, found: Found
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    lengths = row_lengths(vectors)
    bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
    if len(bad):
        place = found.places[np.flatnonzero(found.templates == bad[0])[0]]
        raise InputError(
            templates.origin,
            f"the images of template '{found.names[bad[0]]}' add up to a vector without "
            "direction; expected images that do not cancel out, and weights above 0",
            row=int(templates.lines[place]),
            hint="leave that template out of the list, or pool without weights",
        )
    return unit_rows(vectors, templates.origin, found.names)


def _attributes(
    embeddings: EmbeddingSource, templates: TemplateList, pooling: Pooling, found: Found
) -> dict[str, Any]:
    kept = {
        name: value
        for name, value in embeddings.attributes.items()
        if name != ROW_NUMBER_IDS and not name.startswith(POOLED)  # of templates pooled again
    }
    known = {
        "flip": flip_after(pooling, kept.pop("flip", None)),
        "pooled_from": embeddings.origin,
        "pooled_from_sha256": embeddings.digest,
        "templates": templates.origin,
        "templates_sha256": templates.digest,
    }
    return {
        **kept,
        **{name: value for name, value in known.items() if value is not None},
        POOLED: "mean per medium, sum over media, L2",
        "pooled_norm": "raw" if pooling.raw_norm else "unit",
        "pooled_weights": templates.weighted_by if pooling.weighted else "none",
        "pooled_halves": pooling.halves,
        "pooled_images": len(found.places),
        "missing_images": len(found.missing),
    }
