"""What stands at a position of a run: an image, ready but for its scale, and its class."""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from damcli.errors import InputError
from damcli.models.backbones import PREPROCESSING
from damcli.sources.framing import Framing, WholeImage
from damcli.sources.source import Image, ImageSource
from damcli.training.augment import Augment
from damcli.training.classes import UNKNOWN, Classes
from damcli.training.order import Order, generator_at

PATIENCE = 100
"""After so many broken images in a row it is not the images that are broken."""


class Reject(NamedTuple):
    """An image that could not be read."""

    place: str
    """Where it lies."""
    reason: str
    """What was wrong."""


class Example(NamedTuple):
    """What stands at a position."""

    image: Image | None
    """(112, 112, 3) uint8, RGB; None where `PATIENCE` candidates were broken."""
    label: int
    """Its class."""
    reject: Reject | None
    """The image that should have stood here, where it is broken."""


class TrainingSet:
    """The positions of a run as a map-style data set, for ``torch.utils.data.DataLoader``.

    Parameters
    ----------
    source, classes
        The images, and whom they show.
    order
        Which image stands where.
    augment
        How far it is varied.
    seed
        Of the variations; >= 0.
    """

    def __init__(
        self,
        source: ImageSource,
        classes: Classes,
        order: Order,
        augment: Augment,
        seed: int,
    ) -> None:
        self._source = source
        self._classes = classes
        self._order = order
        self._augment = augment
        self._seed = seed
        self._framing: Framing = WholeImage(PREPROCESSING.size)

    def __getitem__(self, position: int) -> Example:
        """Read the image at a position, or the first that can be read in its stead."""
        reject: Reject | None = None
        for row in islice(self._order.candidates(position), PATIENCE):
            try:
                return Example(self._read(row, position), int(self._classes.of_row[row]), reject)
            except InputError as error:
                reject = reject or Reject(self._source.place_of(row), error.found)
        return Example(None, UNKNOWN, reject)

    def all_broken(self, rejects: list[Reject]) -> InputError:
        """Return what to say where no image came."""
        count = min(PATIENCE, len(self._source))
        return InputError(
            self._source.origin,
            f"{count} images one after another cannot be read, among them {rejects[0].place}: "
            f"{rejects[0].reason}",
            hint="is the disk still there that they lie on?",
        )

    def _read(self, row: int, position: int) -> Image:
        if self._classes.of_row[row] == UNKNOWN:
            self._source.subject_of(row)  # says what is wrong
        image = self._source.read(row).image
        variation = self._augment.draw(generator_at(self._seed, position))
        place = self._source.place_of(row)
        framed = self._framing.frame(self._source.id_of(row), place, variation.cut(image))
        return variation.recolour(framed.image)
