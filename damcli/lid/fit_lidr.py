"""Fitting the LIDR regressor to the LIDs of training embeddings (Eq. 7)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from damcli.errors import UserError
from damcli.lid.neighbours import Progress
from damcli.lid.own_photographs import suspect_similarity
from damcli.lid.recipes import RECIPES, Recipe
from damcli.lid.regressor import forward
from damcli.lid.training import Check, Trained, choose_device, require_torch, train
from damcli.lid.training_set import Split, TrainingSet, hold_out, training_set
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import MODEL_DIGEST, EmbeddingSource
from damcli.storage.lidr import Lidr
from damcli.storage.space import check_same_space

MAX_BYTES = 4 << 30


class Diverged(UserError):  # noqa: N818 - reads as what it is
    """The loss was not finite.

    Attributes
    ----------
    lidr
        The last weights that were good, or None where there were none yet.
    """

    def __init__(self, trained: Trained, recipe: Recipe, lidr: Lidr | None) -> None:
        kept = (
            "before any weights could be kept"
            if lidr is None
            else f"the weights of iteration {trained.kept} are kept"
        )
        super().__init__(
            f"the loss was not finite at iteration {trained.diverged_at}; {kept}",
            hint=f"learn more slowly than --lr {recipe.lr:g}",
        )
        self.lidr = lidr


def fit_lidr(
    embeddings: EmbeddingSource,
    anchors: Anchors,
    *,
    recipe: str | Recipe = "tuned",
    k: int = 10,
    s: float = 1.0,
    holdout: float = 0.1,
    seed: int = 0,
    device: str = "auto",
    max_bytes: int = MAX_BYTES,
    max_anchor_similarity: float | Literal["auto"] | None = "auto",
    allow_mixed_models: bool = False,
    searching: Progress | None = None,
    on_check: Callable[[Check], None] | None = None,
) -> Lidr:
    """Fit a regressor that gives the LID of an embedding without anchors (Eq. 7).

    Parameters
    ----------
    embeddings
        N training embeddings, from `damcli.read_embeddings` or `damcli.open_embeddings`:
        other people than those to be scored. The anchors' own pool will do, since anchors
        of an embedding's own id or subject are left out of its LID.
    anchors
        Where the LIDs to learn come from.
    recipe
        ``tuned``, ``paper``, or a `damcli.lid.recipes.Recipe`.
    k, s
        Neighbours (>= 1) and scale (> 0) of the LID.
    holdout
        Share of the subjects that are not learnt from: how well the regressor does is
        measured on them, and ``tuned`` stops where they say so.
    seed
        Of the subjects held out, the first weights and the batches.
    device
        ``auto``, ``cpu`` or ``cuda``.
    max_bytes
        Vectors beyond this are kept in a temporary file.
    max_anchor_similarity
        Anchors of a higher cosine to a training embedding are taken for its own subject, and
        skipped unless they are k or more; None for no such limit. ``auto`` sets none where
        the subjects of both sides are known, else that of
        `damcli.lid.own_photographs.suspect_similarity`.
    allow_mixed_models
        Let the embeddings and the anchors come from different models.
    searching
        Called with the embeddings whose LID was taken since the last call.
    on_check
        Called with the losses every 50 iterations.

    Returns
    -------
    Lidr
        With ``attributes`` that say how it was fitted and ``heldout_r2``,
        ``heldout_spearman`` (both of log G) and ``heldout_relative_error`` (median, of G).

    Raises
    ------
    MissingExtra
        PyTorch is not installed.
    InputError
        The files do not belong together, or hold too little.
    Diverged
        The loss was not finite.
    UserError
        A GPU was asked for and there is none.
    """
    chosen = RECIPES[recipe] if isinstance(recipe, str) else recipe
    torch = require_torch("fitting a lidr")
    place = choose_device(torch, device)
    check_same_space(embeddings, anchors, allow_mixed_models=allow_mixed_models)
    split = hold_out(embeddings, holdout, seed)
    ceiling = _ceiling(max_anchor_similarity, embeddings, anchors)
    data = training_set(
        embeddings,
        anchors,
        k=k,
        s=s,
        max_bytes=max_bytes,
        ceiling=ceiling,
        progress=searching,
    )
    trained = train(data, split, chosen, seed=seed, device=place, on_check=on_check)
    about = {
        "recipe": recipe if isinstance(recipe, str) else "custom",
        **{name: value for name, value in asdict(chosen).items() if value is not None},
        "seed": seed,
        "holdout": holdout,
        "device": place,
        "max_anchor_similarity": "none" if ceiling is None else ceiling,
        "skipped_rows": data.skipped_rows,
        **_sources(embeddings, anchors),
    }
    if trained.layers is None:
        raise Diverged(trained, chosen, None)
    lidr = Lidr(
        layers=trained.layers,
        k=k,
        s=s,
        anchor_count=len(anchors),
        target=chosen.target,
        curve=np.array(trained.checks),
        attributes={**about, "kept_iteration": trained.kept},
    )
    lidr = replace(lidr, attributes={**lidr.attributes, **_measured(lidr, data, split)})
    if trained.diverged_at is not None:
        raise Diverged(trained, chosen, lidr)
    return lidr


def _ceiling(
    wanted: float | Literal["auto"] | None, embeddings: EmbeddingSource, anchors: Anchors
) -> float | None:
    if wanted != "auto":
        return wanted
    if embeddings.subjects is not None and anchors.subjects is not None:
        return None
    return suspect_similarity(embeddings, anchors)


def _sources(embeddings: EmbeddingSource, anchors: Anchors) -> dict[str, Any]:
    """Say what the regressor was fitted to, as far as that is known."""
    known = {
        "anchors": anchors.origin,
        "anchors_sha256": anchors.digest,
        "anchor_kind": anchors.kind,
        "embeddings": embeddings.origin,
        "embeddings_sha256": embeddings.digest,
        MODEL_DIGEST: embeddings.attributes.get(MODEL_DIGEST)
        or anchors.attributes.get(MODEL_DIGEST),
    }
    return {name: value for name, value in known.items() if value is not None}


def _measured(lidr: Lidr, data: TrainingSet, split: Split) -> dict[str, Any]:
    """Say how well the LIDs of the held-out rows are told."""
    rows = split.heldout
    true, found = data.log_lids[rows], forward(lidr, data.vectors[rows])
    measured = {
        "heldout_r2": _r2(true, found),
        "heldout_spearman": _spearman(true, found),
        "heldout_relative_error": float(np.median(np.abs(np.expm1(found - true)))),
        "heldout_rows": len(rows),
        "trained_rows": len(split.train),
    }
    return {name: value for name, value in measured.items() if np.isfinite(value)}


def _r2(true: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    variance = float(true.var())
    return 1 - float(np.mean((true - found) ** 2)) / variance if variance else np.nan


def _spearman(true: NDArray[np.float64], found: NDArray[np.float64]) -> float:
    import pandas as pd

    one, other = (pd.Series(values).rank() for values in (true, found))
    return float(one.corr(other)) if one.std() and other.std() else np.nan
