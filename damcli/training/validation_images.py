"""The images that a training run is validated on: read once, and kept where they are few."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from damcli.embedding.batches import Batch, batches
from damcli.errors import InputError, UserError
from damcli.models.preprocessing import Preprocessing
from damcli.sources.framing import WholeImage
from damcli.sources.source import Image, ImageSource
from damcli.storage.embeddings import Embeddings, Rows, Vectors
from damcli.storage.unit import fault, invalid_rows

KEEP_BYTES = 1 << 30
BATCH = 128
Embed = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""(B, 3, H, W) float32 as the preprocessing makes it -> (B, D) float32, of any length."""


class ValidationImages:
    """Some rows of a source, whole images resized to the model's size.

    All are decoded when it is made, so that a broken one is named before any training.

    Parameters
    ----------
    source
        The images.
    rows
        Which of them, int64, ascending.
    preprocessing
        What the model takes.
    flip
        Add the outputs for an image and its mirror image.
    keep_bytes
        Hold the resized images, uint8, if they are no larger than this; otherwise they are
        decoded anew each time.

    Attributes
    ----------
    digests
        64 bits of the resized pixels of each, by which the same picture is known elsewhere.
    subjects
        Whom each shows, or None.

    Raises
    ------
    InputError
        Some cannot be read; they are counted, and the first is named.
    """

    def __init__(
        self,
        source: ImageSource,
        rows: Rows,
        preprocessing: Preprocessing,
        *,
        flip: bool = False,
        keep_bytes: int = KEEP_BYTES,
    ) -> None:
        self._source, self._rows = source, rows
        self._preprocessing, self._flip = preprocessing, flip
        self._kept: NDArray[np.uint8] | None = None
        size = (len(rows), *preprocessing.size, 3)
        kept = np.empty(size, dtype=np.uint8) if np.prod(size) <= keep_bytes else None
        self.digests = np.empty(len(rows), dtype=np.uint64)
        self._ids = np.array([source.id_of(int(row)) for row in rows], dtype=object)
        self.subjects = np.empty(len(rows), dtype=object) if source.has_subjects else None
        rejects, done = [], 0
        for batch in self._decoded():
            rejects += batch.rejects
            for place, one in enumerate(batch.ready, start=done):
                self.digests[place] = pixel_digest(one.image)
                if kept is not None:
                    kept[place] = one.image
                if self.subjects is not None:
                    self.subjects[place] = one.subject
            done += len(batch.ready)
        if rejects:
            raise InputError(
                source.origin,
                f"{len(rejects):,} of {len(rows):,} images cannot be used; the first is "
                f"{rejects[0].place}: {rejects[0].reason}",
                hint="validation needs every image of its pairs: mend it, or take its pairs out",
            )
        self._kept = kept

    def __len__(self) -> int:
        return len(self._rows)

    def embed(self, embed: Embed) -> Embeddings:
        """Embed all images.

        Raises
        ------
        InputError
            An image is gone that was there before.
        UserError
            The network gives an image no direction.
        """
        outputs = [self._outputs(embed, pixels) for pixels in self._batches()]
        return self.as_embeddings(np.concatenate(outputs))

    def as_embeddings(self, vectors: Vectors) -> Embeddings:
        """Make embeddings of (N, D) outputs, one for each image; see `embed`."""
        bad = np.flatnonzero(invalid_rows(vectors))
        if len(bad):
            raise UserError(
                f"the network's output for {len(bad):,} of {len(self):,} validation images is no "
                f"direction; that for '{self._ids[bad[0]]}' is {fault(vectors[bad[0]])}",
                hint="the weights may have diverged: try a lower learning rate",
            )
        return Embeddings.from_arrays(vectors, self._ids, self.subjects, origin=self._source.origin)

    def _outputs(self, embed: Embed, pixels: Vectors) -> Vectors:
        if not self._flip:
            return embed(pixels)
        return embed(pixels) + embed(np.ascontiguousarray(pixels[..., ::-1]))

    def _batches(self) -> Iterator[Vectors]:
        if self._kept is None:
            for batch in self._decoded():
                for reject in batch.rejects:
                    raise InputError(reject.place, reject.reason)
                yield batch.pixels
            return
        for start in range(0, len(self), BATCH):
            yield self._preprocessing.apply(self._kept[start : start + BATCH])

    def _decoded(self) -> Iterator[Batch]:
        return framed_batches(self._source, self._rows, self._preprocessing)


def framed_batches(
    source: ImageSource, rows: Rows, preprocessing: Preprocessing
) -> Iterator[Batch]:
    """Decode some rows of a source and resize them, a batch at a time, ahead in threads."""
    groups = (rows[start : start + BATCH] for start in range(0, len(rows), BATCH))
    framing, workers = WholeImage(preprocessing.size), os.cpu_count() or 1
    with batches(source, framing, preprocessing, groups, workers=workers) as ready:
        yield from ready


def pixel_digest(image: Image) -> int:
    """Return 64 bits of an image's pixels."""
    pixels = np.ascontiguousarray(image).data
    return int.from_bytes(hashlib.blake2b(pixels, digest_size=8).digest(), "big")
