"""From rows of a source to batches that a model takes; decoding runs ahead in threads."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.models.preprocessing import Preprocessing
from damcli.sources.framing import Framing
from damcli.sources.source import Image, ImageSource
from damcli.storage.embeddings import Rows

_SHARE = 8  # images that a thread takes at once


class Reject(NamedTuple):
    """An image that gave no embedding."""

    id: str
    place: str
    """Where it lies."""
    reason: str
    """What was wrong."""
    row: int
    """In its source, counted from 0."""


class Odd(NamedTuple):
    """An image that is embedded, though its crop can hardly show a face."""

    id: str
    place: str
    """Where it lies."""
    width: int
    """In pixels."""
    height: int
    row: int
    """In its source, counted from 0."""


class Ready(NamedTuple):
    """An image cut to size, and what its source and its framing say of it."""

    row: int
    id: str
    place: str
    image: Image
    subject: str | None
    groups: Mapping[str, str]
    landmarks: NDArray[np.float32] | None
    faces: int | None
    odd: Odd | None


class Batch(NamedTuple):
    """The images of some rows of a source, in their order."""

    ready: list[Ready]
    pixels: NDArray[np.float32]
    """As the model takes them, one for each that is ready; of length 0 where none is."""
    rejects: list[Reject]


def groups_of(missing: NDArray[np.bool_], size: int, rank: int, ranks: int) -> list[Rows]:
    """Part the rows of a source into groups, and take those of a rank.

    Which rows come together depends on the source and the size alone, so that neither an
    interrupt nor the number of ranks changes the batches, whose size may move the last
    bit of a runtime's result.

    Parameters
    ----------
    missing
        (N,) which rows are to be done.
    size
        Rows in a group.
    rank, ranks
        Which of how many takers.

    Returns
    -------
    list of ndarray
        int64 rows; groups without a missing row are left out.
    """
    starts = range(rank * size, len(missing), ranks * size)
    found = (np.flatnonzero(missing[start : start + size]) + start for start in starts)
    return [rows.astype(np.int64) for rows in found if len(rows)]


@contextmanager
def batches(
    source: ImageSource,
    framing: Framing,
    preprocessing: Preprocessing,
    groups: Iterable[Rows],
    *,
    workers: int,
) -> Iterator[Iterator[Batch]]:
    """Give the groups as batches, in order, while threads work on the next ones.

    Parameters
    ----------
    source, framing, preprocessing
        What makes the pixels.
    groups
        The rows of each batch.
    workers
        How many threads decode.

    Yields
    ------
    iterator of Batch
        At most two batches, or two shares a thread, wait in memory.
    """
    decoders = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    assembler = ThreadPoolExecutor(1, thread_name_prefix="assemble")

    def submit(rows: Rows) -> tuple[int, Future[Batch]]:
        # several at a time: handing a single small image to a thread costs half its decoding
        shares = np.array_split(rows, -(-len(rows) // _SHARE))
        images = [decoders.submit(_prepare, source, framing, share) for share in shares]
        return len(shares), assembler.submit(_assemble, images, preprocessing)

    def run() -> Iterator[Batch]:
        left = iter(groups)
        waiting = deque(submit(rows) for rows in islice(left, 2))
        while waiting:
            _, batch = waiting.popleft()
            done = batch.result()
            while len(waiting) < 2 or sum(shares for shares, _ in waiting) < 2 * workers:
                following = next(left, None)
                if following is None:
                    break
                waiting.append(submit(following))
            yield done

    try:
        yield run()
    finally:
        decoders.shutdown(cancel_futures=True)
        assembler.shutdown(cancel_futures=True)


def _prepare(source: ImageSource, framing: Framing, rows: Rows) -> list[Ready | Reject]:
    return [_prepare_one(source, framing, int(row)) for row in rows]


def _prepare_one(source: ImageSource, framing: Framing, row: int) -> Ready | Reject:
    name, place = source.id_of(row), source.place_of(row)
    try:
        sample = source.read(row)
        framed = framing.frame(name, place, sample.image)
    except InputError as error:
        return Reject(name, place, error.found, row)
    height, width = sample.image.shape[:2]
    return Ready(
        row,
        name,
        place,
        framed.image,
        sample.subject,
        sample.groups,
        framed.landmarks,
        framed.faces,
        Odd(name, place, width, height, row) if framed.is_odd else None,
    )


def _assemble(images: list[Future[list[Ready | Reject]]], preprocessing: Preprocessing) -> Batch:
    done = [image for share in images for image in share.result()]
    ready = [one for one in done if isinstance(one, Ready)]
    pixels = np.empty(0, dtype=np.float32)
    if ready:
        # All at once: numpy would spend as long on the overhead of single images.
        pixels = preprocessing.apply(np.stack([one.image for one in ready]))
    return Batch(ready, pixels, [one for one in done if isinstance(one, Reject)])
