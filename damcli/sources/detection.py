"""Faces found by OpenCV's detector, aligned, and their landmarks kept for the next time."""

from __future__ import annotations

import csv
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError, MissingExtra
from damcli.sources.alignment import align
from damcli.sources.framing import Framed
from damcli.sources.landmarks import POINT_COLUMNS
from damcli.sources.source import Image
from damcli.storage.atomic import atomic_output

LONGEST_SIDE = 640
"""Larger images are shrunk to this many pixels for detection."""
_OVERLAP, _CANDIDATES = 0.3, 5000  # OpenCV's own defaults
_ERRORS_ONLY = 2  # OpenCV's LOG_LEVEL_ERROR
_LOG_LEVEL = threading.Lock()  # OpenCV has one for all threads


class AlignByDetector:
    """Crops aligned by the landmarks that OpenCV's ``FaceDetectorYN`` finds.

    Of several faces the one with the largest box is taken. Images with a side beyond
    `LONGEST_SIDE` are shrunk for detection, for YuNet finds faces of about 10 to 300 pixels;
    the crop is always cut from the whole image.

    Parameters
    ----------
    size
        Height and width of the crop.
    model
        The detector, such as OpenCV's ``face_detection_yunet_2023mar.onnx``.
    score
        The least score of a face, in (0, 1).

    Raises
    ------
    MissingExtra
        OpenCV is not installed.
    InputError
        The model is missing, or OpenCV cannot run it.
    """

    def __init__(self, size: tuple[int, int], model: Path, *, score: float = 0.6) -> None:
        self.size = size
        self._model = model
        self._score = score
        self._mine = threading.local()  # a detector must not be shared by threads
        if not model.is_file():
            raise InputError(str(model), "no such file; expected a YuNet model in ONNX")
        try:
            _raw_faces(self._detector(), np.zeros((64, 64, 3), np.uint8))
        except Exception as error:
            if isinstance(error, MissingExtra):
                raise
            # what OpenCV says are lines of its own source
            raise InputError(
                str(model),
                "OpenCV cannot run it as a face detector; expected a YuNet model in ONNX",
                hint="such as face_detection_yunet_2023mar.onnx of OpenCV's model zoo",
            ) from error

    def describe(self) -> str:
        """Say in a few words how it cuts, for the record."""
        height, width = self.size
        return (
            f"aligned to {height}x{width} by the largest face of {self._model.name}, score at "
            f"least {self._score:g}, found at {LONGEST_SIDE} pixels or less"
        )

    def frame(self, sample_id: str, place: str, image: Image) -> Framed:
        """Cut one image; see `damcli.sources.framing.Framing.frame`."""
        found = self._detect(image)
        if len(found) == 0:
            raise InputError(place, f"no face found (with a score of at least {self._score:g})")
        largest = found[np.argmax(found[:, 2] * found[:, 3])]
        landmarks = largest[4:14].reshape(5, 2).astype(np.float32)
        return Framed(align(image, landmarks, self.size, place), landmarks, len(found))

    def _detect(self, image: Image) -> NDArray[np.float64]:
        """Return (F, 15): box, five landmarks, score; in pixels of the image."""
        height, width = image.shape[:2]
        scale = min(1.0, LONGEST_SIDE / max(height, width))
        small = _shrunk(image, scale) if scale < 1 else image
        faces = _raw_faces(self._detector(), small)
        ratio = np.array([width, height]) / small.shape[1::-1]
        # whole numbers are the centres of pixels, so the grids meet half a pixel before 0
        faces[:, 4:14] = (faces[:, 4:14] + 0.5) * np.tile(ratio, 5) - 0.5
        faces[:, :4] *= np.tile(ratio, 2)
        return faces

    def _detector(self) -> Any:
        if not hasattr(self._mine, "detector"):
            self._mine.detector = _new_detector(self._model, self._score)
        return self._mine.detector


def _new_detector(model: Path, score: float) -> Any:
    try:
        import cv2
    except ImportError as error:
        raise MissingExtra("Finding faces", "detect") from error
    # OpenCV 5 has moved it
    set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel
    # it warns on stderr that it ignores which device is wanted, though none is
    with _LOG_LEVEL:
        before = set_log_level(_ERRORS_ONLY)
        try:
            return cv2.FaceDetectorYN.create(str(model), "", (64, 64), score, _OVERLAP, _CANDIDATES)
        finally:
            set_log_level(before)


def _raw_faces(detector: Any, image: Image) -> NDArray[np.float64]:
    detector.setInputSize(image.shape[1::-1])
    _, faces = detector.detect(np.ascontiguousarray(image[:, :, ::-1]))  # it wants BGR
    return np.empty((0, 15)) if faces is None else np.asarray(faces, dtype=np.float64)


def _shrunk(image: Image, scale: float) -> Image:
    import cv2

    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def write_landmarks(
    path: Path, ids: Sequence[str], landmarks: NDArray[np.floating], *, force: bool = False
) -> None:
    """Write landmarks as the CSV that `damcli.sources.landmarks.read_landmarks` reads.

    Parameters
    ----------
    path
        Where the file shall appear.
    ids
        N ids.
    landmarks
        (N, 5, 2), x and y in pixels of the whole image; written in full float32 precision.
    force
        Replace a file that stands there already.

    Raises
    ------
    OutputError
        As `damcli.storage.atomic.atomic_output`.
    """
    rows = np.asarray(landmarks, dtype=np.float32).reshape(len(ids), 10)
    with (
        atomic_output(path, force=force) as draft,
        draft.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", *POINT_COLUMNS))
        for name, row in zip(ids, rows, strict=True):
            writer.writerow((name, *(str(number) for number in row)))
