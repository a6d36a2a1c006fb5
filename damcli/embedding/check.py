"""Is it the right preprocessing? A few images embedded in each of the usual ways."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.embedding.batches import Reject
from damcli.embedding.run import Embedder, Flip
from damcli.errors import InputError
from damcli.models.network import Network
from damcli.models.preprocessing import Preprocessing
from damcli.models.presets import PRESETS
from damcli.sources.framing import Framing
from damcli.sources.source import ImageSource
from damcli.storage.embeddings import Embeddings
from damcli.storage.unit import invalid_rows

_TOGETHER = 4  # neighbours that are drawn together, and images of a subject at most
_BATCH = 32
_HINT = "give a folder for each subject, or a list with a column 'subject', sorted by it"


class Drawn(NamedTuple):
    """Images with their subjects."""

    images: NDArray[np.uint8]
    """(N, H, W, 3)."""
    ids: list[str]
    subjects: list[str]
    rejects: list[Reject]
    """Those that could not be read or cut."""


class Way(NamedTuple):
    """One way to prepare images."""

    name: str
    preprocessing: Preprocessing


def draw(source: ImageSource, framing: Framing, count: int, seed: int) -> Drawn:
    """Draw images so that subjects have about as many each, and most of them several.

    Only reading an image tells whom it shows, so neighbours are drawn together: in most
    sources the images of one subject stand together.

    Parameters
    ----------
    source, framing
        What makes the images.
    count
        How many, at most.
    seed
        Of the draw.

    Raises
    ------
    InputError
        Subjects are not known, or no two subjects have two images each.
    """
    if not source.has_subjects:
        raise InputError(
            source.origin, "carries no subjects; a check needs them to tell identities", hint=_HINT
        )
    drawn = Drawn(np.empty(0, np.uint8), [], [], [])
    images: list[NDArray[np.uint8]] = []
    sizes: dict[str, int] = {}
    starts = np.random.default_rng(seed).permutation(range(0, len(source), _TOGETHER))
    for row in (row for start in starts for row in range(start, start + _TOGETHER)):
        if len(images) >= count or row >= len(source):
            continue
        name, place = source.id_of(row), source.place_of(row)
        try:
            sample = source.read(row)
            framed = framing.frame(name, place, sample.image)
        except InputError as error:
            drawn.rejects.append(Reject(name, place, error.found, row))
            continue
        subject = str(sample.subject)
        if sizes.get(subject, 0) < _TOGETHER:
            sizes[subject] = sizes.get(subject, 0) + 1
            images.append(framed.image)
            drawn.ids.append(name)
            drawn.subjects.append(subject)
    if sum(size > 1 for size in sizes.values()) < 2:
        raise InputError(
            source.origin,
            f"{len(images)} images of {len(sizes)} subjects drawn; expected two subjects with two "
            "images each",
            hint=f"check more images, or {_HINT}",
        )
    return drawn._replace(images=np.stack(images))


def usual_ways(chosen: Preprocessing) -> list[Way]:
    """List the chosen way, then every other usual colour order and normalisation."""
    ways = {_key(chosen): Way(_name(chosen), chosen)}
    usual = [preset for preset in PRESETS.values() if len(preset.mean) == 3]
    usual += [replace(usual[0], mean=(0.0,) * 3, std=(std,) * 3) for std in (1.0, 255.0)]
    for way in usual:
        for prepared in _orders(way, chosen):
            ways.setdefault(_key(prepared), Way(_name(prepared), prepared))
    return list(ways.values())


def _orders(way: Preprocessing, chosen: Preprocessing) -> list[Preprocessing]:
    """Return both channel orders of a way, at the size of the chosen one."""
    fitting = replace(way, size=chosen.size, layout=chosen.layout)
    if chosen.color == "grey":
        same = len(set(way.mean)) == len(set(way.std)) == 1
        grey = replace(fitting, color="grey", mean=way.mean[:1], std=way.std[:1])
        return [grey] if same else []
    other = replace(
        fitting,
        color="bgr" if way.color == "rgb" else "rgb",
        mean=way.mean[::-1],
        std=way.std[::-1],
    )
    return sorted((fitting, other), key=lambda one: one.color != chosen.color)


def _key(way: Preprocessing) -> tuple[object, ...]:
    return way.color, way.mean, way.std


def _name(way: Preprocessing) -> str:
    return f"{way.color}, mean {_numbers(way.mean)}, std {_numbers(way.std)}"


def _numbers(values: tuple[float, ...]) -> str:
    return f"{values[0]:g}" if len(set(values)) == 1 else ",".join(f"{v:g}" for v in values)


def embed_ways(
    drawn: Drawn,
    network: Network,
    ways: list[Way],
    flip: Flip,
    progress: Callable[[int], None],
) -> list[Embeddings | None]:
    """Embed the same images in each way; None where the outputs have no direction.

    Parameters
    ----------
    drawn
        The images.
    network, flip
        The model, and what to do with mirror images.
    ways
        How to prepare them.
    progress
        Called with the number of images embedded since the last call.
    """
    made: list[Embeddings | None] = []
    for way in ways:
        embedder = Embedder(network, way.preprocessing.layout, flip)
        outputs = []
        for start in range(0, len(drawn.images), _BATCH):
            images = drawn.images[start : start + _BATCH]
            outputs.append(embedder.outputs(way.preprocessing.apply(images)))
            progress(len(images))
        vectors = np.concatenate(outputs)
        fails = invalid_rows(vectors).any()
        made.append(None if fails else Embeddings.from_arrays(vectors, drawn.ids, drawn.subjects))
    return made
