"""The loop: batches through the model, each kept as soon as it is there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal, NamedTuple

import numpy as np

from damcli.embedding.batches import Batch, Odd, Ready, Reject
from damcli.errors import InputError
from damcli.models.network import Layout, Network
from damcli.storage.embeddings import Vectors, as_names
from damcli.storage.partial import UNKNOWN_FACES, PartialWriter, Piece
from damcli.storage.unit import fault, invalid_rows, unit_rows

Flip = Literal["none", "sum", "concat"]


class Progress(NamedTuple):
    """How far a run is."""

    done: int
    """Images embedded or rejected since it began."""
    total: int
    """Images that it has to do."""
    rejected: int


class Done(NamedTuple):
    """What came of a batch."""

    piece: Piece | None
    """The embeddings; None where no image gave one."""
    rejects: list[Reject]
    odd: list[Odd]


class Run:
    """Keeps what comes of batches, and counts it.

    Parameters
    ----------
    strict
        Raise at the first image that gives no embedding.
    progress
        Called after every batch.
    """

    def __init__(
        self, *, strict: bool = False, progress: Callable[[Progress], None] | None = None
    ) -> None:
        self._strict = strict
        self._progress = progress
        self.computed = 0
        self.rejects: list[Reject] = []
        self.odd: list[Odd] = []
        self.seconds = 0.0

    def over(self, done: Iterable[Done], total: int, keep: PartialWriter) -> None:
        """Keep what comes of so many images.

        Raises
        ------
        InputError
            The model does not take the images, or one gives no embedding and ``strict``.
        """
        start = time.monotonic()
        self._tell(total)
        for piece, rejects, odd in done:
            self._reject(rejects)
            if piece is not None:
                keep.append(piece)
                self.computed += len(piece.ids)
            self.odd += odd
            self.seconds = time.monotonic() - start
            self._tell(total)

    def _reject(self, rejects: list[Reject]) -> None:
        if rejects and self._strict:
            raise InputError(
                rejects[0].place,
                rejects[0].reason,
                hint="mend or remove it and go on with --resume; without --strict such images "
                "are listed and left out",
            )
        self.rejects += rejects

    def _tell(self, total: int) -> None:
        if self._progress is not None:
            done = self.computed + len(self.rejects)
            self._progress(Progress(done, total, len(self.rejects)))


class Embedder:
    """Runs a model on batches.

    Parameters
    ----------
    network
        The model.
    layout
        Of its input.
    flip
        What to do with mirror images.
    """

    def __init__(self, network: Network, layout: Layout, flip: Flip) -> None:
        self.network = network
        self._width_axis = 3 if layout == "NCHW" else 2
        self._flip = flip

    def embed(self, batch: Batch) -> Done:
        """Embed a batch.

        Raises
        ------
        InputError
            The model does not take the images.
        """
        ready = batch.ready
        if not ready:
            return Done(None, batch.rejects, [])
        vectors = self.outputs(batch.pixels)
        bad = invalid_rows(vectors)
        rejects = [_invalid(ready[i], fault(vectors[i])) for i in np.flatnonzero(bad)]
        ready = [one for one, gone in zip(ready, bad, strict=True) if not gone]
        piece = _piece(ready, vectors[~bad]) if ready else None
        odd = [one.odd for one in ready if one.odd is not None]
        return Done(piece, batch.rejects + rejects, odd)

    def outputs(self, pixels: Vectors) -> Vectors:
        """Return the model's outputs for a batch and its mirror images, not normalised."""
        straight = self.network.run(pixels)
        if self._flip == "none":
            return straight
        mirrored = self.network.run(np.ascontiguousarray(np.flip(pixels, self._width_axis)))
        if self._flip == "sum":
            return straight + mirrored
        return np.concatenate([straight, mirrored], axis=1)


def _invalid(image: Ready, what: str) -> Reject:
    return Reject(image.id, image.place, f"the model's output for it is {what}", image.row)


def _piece(ready: list[Ready], vectors: Vectors) -> Piece:
    unit, norms = unit_rows(vectors, "embeddings", as_names([one.id for one in ready]))
    landmarks = np.full((len(ready), 5, 2), np.nan, dtype=np.float32)
    faces = np.full(len(ready), UNKNOWN_FACES, dtype=np.int32)
    for place, one in enumerate(ready):
        if one.landmarks is not None:
            landmarks[place] = one.landmarks
        if one.faces is not None:
            faces[place] = one.faces
    return Piece(
        vectors=unit,
        norms=norms,
        ids=[one.id for one in ready],
        subjects=None if ready[0].subject is None else [str(one.subject) for one in ready],
        groups={name: [one.groups[name] for one in ready] for name in ready[0].groups},
        landmarks=landmarks,
        faces=faces,
    )
