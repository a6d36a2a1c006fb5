"""Images and models in memory, for tests of what goes on between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from damcli.errors import InputError
from damcli.models.network import InputSpec
from damcli.models.preprocessing import Preprocessing
from damcli.sources.framing import Framed
from damcli.sources.source import Sample

SIZE = (8, 6)
PREPROCESSING = Preprocessing(SIZE, "rgb", (127.5, 127.5, 127.5), (127.5, 127.5, 127.5))


class Pictures:
    """N random pictures, of which some are broken."""

    origin = "pictures"
    unit = "image"
    notes: tuple[str, ...] = ()
    group_names = ("camera",)

    def __init__(
        self, count: int = 20, *, broken: Sequence[int] = (), subjects: bool = True, seed: int = 0
    ) -> None:
        self.has_subjects = subjects
        self.names = [f"{row % 5}/é{row}.png" for row in range(count)]
        self.broken = set(broken)
        self.read_names: list[str] = []
        rng = np.random.default_rng(seed)
        self.images = rng.integers(0, 256, (count, *SIZE, 3), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self.names)

    def id_of(self, row: int) -> str:
        return self.names[row]

    def place_of(self, row: int) -> str:
        return f"pictures/{self.names[row]}"

    def subject_of(self, row: int) -> str | None:
        return self.names[row].split("/")[0] if self.has_subjects else None

    def read(self, row: int) -> Sample:
        self.read_names.append(self.names[row])
        if row in self.broken:
            raise InputError(self.place_of(row), "is broken")
        return Sample(self.images[row], self.subject_of(row), {"camera": f"c{row % 2}"})


class Plain:
    """Takes every picture as it is."""

    size = SIZE

    def __init__(self, note: str = "as it is", faces: int | None = None) -> None:
        self.note = note
        self.faces = faces

    def describe(self) -> str:
        return self.note

    def frame(self, sample_id: str, place: str, image: np.ndarray) -> Framed:
        if self.faces is None:
            return Framed(image)
        points = np.full((5, 2), float(image[0, 0, 0]), dtype=np.float32)
        return Framed(image, points / 3, self.faces)


class Projection:
    """A random projection of the pixels, row by row, so that no batch changes a bit."""

    name = "projection.onnx"
    runtime = "numpy, CPU"
    notes: tuple[str, ...] = ()

    def __init__(
        self,
        dim: int = 7,
        *,
        digest: str = "d1",
        before: Callable[[int], None] | None = None,
    ) -> None:
        self.digest = digest
        self.input = InputSpec("input", "NCHW", 3, *SIZE)
        self.weights = np.random.default_rng(5).normal(size=(3 * SIZE[0] * SIZE[1], dim))
        self.batches: list[int] = []
        self.before = before

    def run(self, batch: np.ndarray) -> np.ndarray:
        if self.before is not None:
            self.before(len(self.batches))
        self.batches.append(len(batch))
        rows = [image.astype(np.float64).ravel() @ self.weights for image in batch]
        return np.array(rows, dtype=np.float32)
