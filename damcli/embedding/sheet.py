"""A contact sheet of the first faces, so that a person sees what the anchors are."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.sources.framing import Framed, Framing
from damcli.sources.source import Image, ImageSource
from damcli.storage.atomic import atomic_output

SHEET_FACES = 64
TILE = 112
_PAPER = 255


class SheetFraming:
    """A framing that cuts as another does, and draws the first images while they pass.

    Each has two tiles of 112 × 112 pixels side by side: the whole image, and the crop that
    the model looks at. The second stays white where there is none, say for want of a face.

    Parameters
    ----------
    framing
        What cuts.
    source
        Where the images come from.
    path
        The picture to write; it appears as soon as the last of its faces is there.
    faces
        How many of the source's first images it shows, >= 1.
    force
        Replace a picture that stands there already.
    """

    def __init__(
        self,
        framing: Framing,
        source: ImageSource,
        path: Path,
        *,
        faces: int = SHEET_FACES,
        force: bool = False,
    ) -> None:
        self.size = framing.size
        self._framing = framing
        self._source = source
        self._path = path
        self._force = force
        count = min(faces, len(source))
        self._places = {source.id_of(row): row for row in range(count)}
        self._missing = set(self._places)
        self._columns = min(8, math.ceil(math.sqrt(count)))
        height = math.ceil(count / self._columns) * TILE
        self._sheet = np.full((height, self._columns * 2 * TILE, 3), _PAPER, dtype=np.uint8)
        self._lock = threading.Lock()

    def describe(self) -> str:
        """Say how the framing cuts."""
        return self._framing.describe()

    def frame(self, sample_id: str, place: str, image: Image) -> Framed:
        """Cut one image, and draw it if it is one of the first."""
        if sample_id not in self._missing:
            return self._framing.frame(sample_id, place, image)
        crop = None
        try:
            framed = self._framing.frame(sample_id, place, image)
            crop = framed.image
        finally:
            self._draw(sample_id, image, crop)
        return framed

    def finish(self) -> None:
        """Draw what did not pass, since an earlier run had embedded it already.

        Raises
        ------
        OutputError
            The picture cannot be written.
        """
        for sample_id in sorted(self._missing):
            row = self._places[sample_id]
            try:
                image = self._source.read(row).image
                self.frame(sample_id, self._source.place_of(row), image)
            except InputError:  # the run has counted and named it
                with self._lock:
                    self._tick(sample_id)

    def _draw(self, sample_id: str, image: Image, crop: Image | None) -> None:
        whole, cut = _tile(image), None if crop is None else _tile(crop)
        line, column = divmod(self._places[sample_id], self._columns)
        with self._lock:
            top, left = line * TILE, column * 2 * TILE
            self._sheet[top : top + TILE, left : left + TILE] = whole
            if cut is not None:
                self._sheet[top : top + TILE, left + TILE : left + 2 * TILE] = cut
            self._tick(sample_id)

    def _tick(self, sample_id: str) -> None:
        """Count an image as seen; write the picture after the last."""
        if sample_id not in self._missing:
            return
        self._missing.remove(sample_id)
        if not self._missing:
            from PIL import Image as Pictures

            with atomic_output(self._path, force=self._force) as draft:
                Pictures.fromarray(self._sheet).save(draft)


def _tile(image: Image) -> NDArray[np.uint8]:
    """Scale an image to the height or width of a tile, in its middle on white."""
    from PIL import Image as Pictures

    picture = Pictures.fromarray(np.ascontiguousarray(image))
    picture.thumbnail((TILE, TILE))
    tile = Pictures.new("RGB", (TILE, TILE), (_PAPER, _PAPER, _PAPER))
    tile.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return np.asarray(tile)
