"""Which images make up which template."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, UserError
from damcli.protocols.pairs import Coded
from damcli.storage.digests import file_digest
from damcli.storage.embeddings import EmbeddingSource, Names, Rows

By = Literal["video", "subject"]


@dataclass(frozen=True, eq=False)
class TemplateList:
    """P images in T templates; an image may stand in several.

    Attributes
    ----------
    origin
        What to call the list in messages.
    templates
        The template of each of the P, numbered in order of appearance.
    media
        (P,) int64, its medium (a photograph, or a video of many frames): one number for each
        medium of each template.
    images
        Their ids.
    lines
        (P,) int64, the row of the list, for messages.
    weights
        (P,) float64, finite and not below 0; or None.
    weighted_by
        Where the weights come from.
    subjects
        (T,) whom each template shows, as the list says, or None.
    groups
        Further columns of T values each.
    path
        The file, where there is one.
    """

    origin: str
    templates: Coded
    media: Rows
    images: Coded
    lines: Rows
    weights: NDArray[np.float64] | None = None
    weighted_by: str = "none"
    subjects: Names | None = None
    groups: Mapping[str, Names] = field(default_factory=dict)
    path: Path | None = None

    def __len__(self) -> int:
        return len(self.media)

    @property
    def digest(self) -> str | None:
        """SHA-256 of the file, where there is one."""
        return None if self.path is None else file_digest(self.path)


def templates_by(embeddings: EmbeddingSource, by: By) -> TemplateList:
    """Make templates of what the embeddings say themselves.

    Parameters
    ----------
    embeddings
        With ids or subjects.
    by
        ``video``: the frames of a folder, as YouTube Faces has them, are one medium of the
        template ``Name/video``. ``subject``: the images of a person, each a medium of its own.

    Raises
    ------
    InputError
        An id has no folder, or there are no subjects.
    UserError
        ``by`` is neither.
    """
    if by not in get_args(By):
        raise UserError(f"by {by}; expected one of {', '.join(get_args(By))}")
    names = _folders(embeddings) if by == "video" else embeddings.subjects
    if names is None:
        raise InputError(
            embeddings.origin,
            "does not say who is who; expected subjects, of which to make templates",
            hint="damcli convert IN -o OUT --subject-from-id REGEX",
        )
    values, codes = np.unique(names, return_inverse=True)
    rows = np.arange(len(names), dtype=np.int64)
    return TemplateList(
        origin=embeddings.origin,
        templates=Coded(codes.astype(np.int64), values),
        media=codes.astype(np.int64) if by == "video" else rows,
        images=Coded(rows, embeddings.ids),
        lines=rows + 1,
    )


def weighted(templates: TemplateList, scores: Sequence[float | None], source: str) -> TemplateList:
    """Give each image a weight.

    Parameters
    ----------
    templates
        The list.
    scores
        One for each of ``templates.images.names``; None where there is none.
    source
        Where they come from.

    Raises
    ------
    InputError
        An image has no score, or one below 0; or the list has weights already.
    """
    if templates.weights is not None:
        raise InputError(
            templates.origin,
            f"has weights of its own, {templates.weighted_by}; expected none beside {source}",
            hint="leave out one of the two",
        )
    for place, score in enumerate(scores):
        if score is None or not (math.isfinite(score) and score >= 0):
            row = int(templates.lines[np.flatnonzero(templates.images.codes == place)[0]])
            found = "no score" if score is None else f"the score {score:g}"
            raise InputError(
                source,
                f"{found} for '{templates.images.names[place]}', which stands in "
                f"{templates.origin}, row {row}; expected a number not below 0",
                hint="leave scores out, or give one for every image",
            )
    values = np.array(scores, dtype=np.float64)[templates.images.codes]
    return replace(templates, weights=values, weighted_by="detector scores")


def _folders(embeddings: EmbeddingSource) -> Names:
    folders = np.empty(len(embeddings.ids), dtype=object)
    for row, name in enumerate(embeddings.ids):
        folder, slash, _ = name.rpartition("/")
        if not slash:
            raise InputError(
                embeddings.origin,
                f"id '{name}' has no folder; expected those of frames, Name/video/frame.jpg",
                row=row + 1,
                hint="give a list of template_id,media_id,id instead",
            )
        folders[row] = folder
    return folders
