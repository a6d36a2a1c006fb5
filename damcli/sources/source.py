"""What every source of images has in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""(H, W, 3), RGB."""


class Sample(NamedTuple):
    """One decoded image and what its source says of it."""

    image: Image
    subject: str | None
    groups: Mapping[str, str]


class ImageSource(Protocol):
    """N images that are read one by one, in any order and from several threads."""

    @property
    def origin(self) -> str:
        """The source, as the user named it."""
        ...

    @property
    def unit(self) -> str:
        """What one of them is called in messages: ``image``, or ``face`` where it is generated."""
        ...

    @property
    def has_subjects(self) -> bool:
        """Whether every sample says whom it shows."""
        ...

    @property
    def group_names(self) -> tuple[str, ...]:
        """The further columns that every sample has."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should hear of: what was left out, and what was taken for granted."""
        ...

    def __len__(self) -> int: ...

    def id_of(self, row: int) -> str:
        """Return the id of an image, without reading it; the ids are unique."""
        ...

    def place_of(self, row: int) -> str:
        """Return where an image lies, for messages: a path, or a file and a number in it."""
        ...

    def subject_of(self, row: int) -> str | None:
        """Return whom an image shows, without decoding it; None where none has a subject.

        Raises
        ------
        InputError
            What says so is broken; the error names its place.
        """
        ...

    def read(self, row: int) -> Sample:
        """Read and decode an image.

        Raises
        ------
        InputError
            It is not there or broken; the error names its place. Other images can
            still be read.
        """
        ...
