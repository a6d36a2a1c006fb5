"""How images become a template: raw lengths, weights, and what of their mirror images."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, get_args

import numpy as np

from damcli.errors import InputError, UserError
from damcli.protocols.templates import TemplateList
from damcli.storage.embeddings import Embeddings, EmbeddingSource, Rows
from damcli.storage.unit import unit_rows

Halves = Literal["whole", "sum", "first"]
MODE = "N([01])D([01])F([01])"
_FLIP = "flip"
# What damcli embed wrote, and which halves the two settings of F take of that.
_OF_FLIP: dict[str, dict[str, Halves]] = {
    "concat": {"0": "first", "1": "sum"},
    "sum": {"1": "whole"},
    "none": {"0": "whole"},
}


@dataclass(frozen=True)
class Pooling:
    """How images become a template.

    Attributes
    ----------
    raw_norm
        Pool embeddings of the length that the network gave them, not of unit length.
    weighted
        Multiply each by its weight, such as a detector's score.
    halves
        Of embeddings that were joined from an image and its mirror image: both as they are,
        their sum, or the first half alone.
    """

    raw_norm: bool = False
    weighted: bool = False
    halves: Halves = "whole"


class Switches(NamedTuple):
    """What a mode sets; None for what is not said."""

    raw_norm: bool | None
    weighted: bool | None
    flip: str | None


def pooling_of(
    embeddings: EmbeddingSource,
    templates: TemplateList,
    *,
    mode: str | None = None,
    raw_norm: bool | None = None,
    weighted: bool | None = None,
    halves: Halves | None = None,
) -> Pooling:
    """Settle how to pool; see `damcli.pool` for the parameters.

    Raises
    ------
    InputError
        The list has no weights, or the embeddings no halves, that were asked for.
    UserError
        There is no such mode.
    """
    of_mode = switches(mode)
    raw_norm = of_mode.raw_norm if raw_norm is None else raw_norm
    weighted = of_mode.weighted if weighted is None else weighted
    if weighted is None:
        weighted = templates.weights is not None
    if weighted and templates.weights is None:
        raise InputError(
            templates.origin,
            "has no weights; expected a column weight, or detector scores beside it",
            hint="give the detector's scores, as IJB's *_name_5pts_score.txt has them, with "
            "--detector-scores FILE",
        )
    if halves is None:
        halves = "whole" if of_mode.flip is None else _of_flip(embeddings, of_mode.flip)
    _check_halves(embeddings, halves)
    return Pooling(bool(raw_norm), weighted, halves)


def switches(mode: str | None) -> Switches:
    """Read a mode, ``N1D1F1`` for one; without one, nothing is set.

    Raises
    ------
    UserError
        There is no such mode.
    """
    if mode is None:
        return Switches(None, None, None)
    found = re.fullmatch(MODE, mode.upper())
    if found is None:
        raise UserError(f"mode {mode}; expected N0 or N1, D0 or D1, F0 or F1, as in N1D1F1")
    return Switches(found[1] == "1", found[2] == "1", found[3])


def _of_flip(embeddings: EmbeddingSource, flipped: str) -> Halves:
    flip = embeddings.attributes.get(_FLIP)
    if flip is None:
        raise InputError(
            embeddings.origin,
            f"does not say what of the mirror images it holds, which F{flipped} asks for",
            hint="say it with --halves: sum or first of images joined with their mirror images, "
            "whole where each is one vector already",
        )
    if flipped not in _OF_FLIP.get(str(flip), {}):
        raise InputError(
            embeddings.origin,
            f"was embedded with --flip {flip}; expected --flip concat for F{flipped}",
            hint="embed the images with --flip concat, which does for F0 and F1",
        )
    return _OF_FLIP[str(flip)][flipped]


def _check_halves(embeddings: EmbeddingSource, halves: Halves) -> None:
    if halves not in get_args(Halves):
        raise UserError(f"halves {halves}; expected one of {', '.join(get_args(Halves))}")
    if halves == "whole":
        return
    flip = embeddings.attributes.get(_FLIP, "concat")
    if flip != "concat" or embeddings.dim % 2:
        found = f"--flip {flip}" if flip != "concat" else f"dimension {embeddings.dim}"
        raise InputError(
            embeddings.origin,
            f"embeddings of {found}; expected an image's and its mirror image's joined, of "
            f"which to take the {halves}",
            hint="embed the images with --flip concat",
        )


def flip_after(pooling: Pooling, before: str | None) -> str | None:
    """Say what ``flip`` is of the vectors that `take_halves` gives."""
    return {"whole": before, "sum": "sum", "first": "none"}[pooling.halves]


def take_halves(embeddings: Embeddings, halves: Halves, rows: Rows) -> Embeddings:
    """Return the embeddings, which stand in these rows of their file, with one half of each.

    Raises
    ------
    InputError
        What is left of one is zero.
    """
    if halves == "whole":
        return embeddings
    first, second = np.split(embeddings.vectors.astype(np.float64), 2, axis=1)
    taken = first + second if halves == "sum" else first
    unit, lengths = unit_rows(taken, embeddings.origin, embeddings.ids, rows)
    norms = None if embeddings.norms is None else embeddings.norms * lengths
    return replace(embeddings, vectors=unit, norms=norms)
