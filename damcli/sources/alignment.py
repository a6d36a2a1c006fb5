"""Faces brought to one place: the similarity from five landmarks to the standard template."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.sources.framing import Framed
from damcli.sources.landmarks import Landmarks
from damcli.sources.source import Image

ARCFACE_TEMPLATE = np.array(
    [
        (38.2946, 51.6963),  # the eye on the left of the image
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),  # the corner of the mouth on the left of the image
        (70.7299, 92.2041),
    ]
)
"""Where the five landmarks of a 112 × 112 crop lie (ArcFace, SphereFace, SFace)."""

Points = NDArray[np.floating]


class AlignByLandmarks:
    """Crops aligned by landmarks that are known already.

    Parameters
    ----------
    size
        Height and width of the crop.
    landmarks
        The landmarks of every image, by its id.
    """

    def __init__(self, size: tuple[int, int], landmarks: Landmarks) -> None:
        self.size = size
        self._landmarks = landmarks

    def describe(self) -> str:
        """Say in a few words how it cuts, for the record."""
        height, width = self.size
        return f"aligned to {height}x{width} by the landmarks of {self._landmarks.origin}"

    def frame(self, sample_id: str, place: str, image: Image) -> Framed:
        """Cut one image; see `damcli.sources.framing.Framing.frame`."""
        points = self._landmarks.of(sample_id)
        if points is None:
            raise InputError(
                place,
                f"has no landmarks in {self._landmarks.origin} (looked for id '{sample_id}', then "
                "for its file name)",
                hint="its first column must hold the ids of the images",
            )
        return Framed(align(image, points, self.size, place))


def template(size: tuple[int, int]) -> NDArray[np.float64]:
    """Return where the five landmarks shall lie in a crop.

    Square crops follow insightface: a multiple of 112 scales the template, a multiple of 128
    scales it as the middle of 128 columns. Any other crop scales it by its height over 112
    and keeps it in the middle of its width, which gives the usual 112 × 96.

    Returns
    -------
    NDArray[np.float64]
        (5, 2), x and y in pixels, whole numbers being the centres of pixels.
    """
    height, width = size
    square_of_128 = height == width and height % 112 != 0 and height % 128 == 0
    base = 128 if square_of_128 else 112
    scale = height / base
    moved = 8 * scale if square_of_128 else (width - height) / 2
    return ARCFACE_TEMPLATE * scale + (moved, 0)


def similarity(source: Points, target: Points) -> NDArray[np.float64]:
    """Find the rotation, scale and shift that bring points nearest to others.

    Least squares without reflection (Umeyama, TPAMI 1991, in two dimensions): with points
    as complex numbers, the map is ``z -> a z + b``.

    Parameters
    ----------
    source, target
        (K, 2), x and y; K >= 2, not all in one place.

    Returns
    -------
    NDArray[np.float64]
        (2, 3), the matrix that takes ``(x, y, 1)`` of the source to x and y of the target.
    """
    z, w = (
        points[:, 0] + 1j * points[:, 1] for points in (source.astype(float), target.astype(float))
    )
    centred = z - z.mean()
    a = np.vdot(centred, w - w.mean()) / np.vdot(centred, centred).real
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align(image: Image, points: Points, size: tuple[int, int], place: str) -> Image:
    """Cut a face so that its landmarks lie as near to the `template` as a similarity allows.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    points
        (5, 2), x and y in pixels of the image, whole numbers being the centres of pixels;
        eyes, nose, corners of the mouth, each pair from left to right in the image.
    size
        Height and width of the crop.
    place
        Where the image lies, for messages.

    Raises
    ------
    InputError
        The landmarks lie all in one place, or so that no rotation makes them a face.
    """
    if np.ptp(points, axis=0).max() < 1e-3:
        raise InputError(place, "has its five landmarks all in one place; expected a face")
    onto_crop = np.vstack([similarity(points, template(size)), (0, 0, 1)])
    if abs(np.linalg.det(onto_crop)) < 1e-12:
        raise InputError(place, "has five landmarks that no rotation makes a face")
    return warp(image, np.linalg.inv(onto_crop)[:2], size)


def warp(image: Image, onto_image: NDArray[np.float64], size: tuple[int, int]) -> Image:
    """Sample an image bilinearly at the places of the crop's pixels, black outside of it.

    As ``cv2.warpAffine`` with ``INTER_LINEAR`` and a border of 0, but for OpenCV 4's
    rounding of places to 1/32 pixel. Nothing is smoothed: of a large face, the pixels between
    two samples are passed over.

    Parameters
    ----------
    image
        (H, W, 3) uint8.
    onto_image
        (2, 3), takes ``(x, y, 1)`` of the crop to x and y of the image.
    size
        Height and width of the crop.
    """
    (a, b, c), (d, e, f) = onto_image
    rows, columns = np.ogrid[: size[0], : size[1]]
    # beyond a rim of one black pixel all is black, so nothing changes by coming nearer
    x = np.clip(a * columns + (b * rows + c), -1, image.shape[1])
    y = np.clip(d * columns + (e * rows + f), -1, image.shape[0])
    column, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    right, down = (
        (place - whole).astype(np.float32)[:, :, None] for place, whole in ((x, column), (y, row))
    )
    part, left, top = _with_black_rim(image, column, row)
    width = part.shape[1]
    pixels, corner = part.reshape(-1, image.shape[2]), (row - top) * width + column - left
    upper_left, upper_right, lower_left, lower_right = (
        pixels.take(corner + step, axis=0).astype(np.float32) for step in (0, 1, width, width + 1)
    )
    upper = upper_left + (upper_right - upper_left) * right
    lower = lower_left + (lower_right - lower_left) * right
    return np.asarray(upper + (lower - upper) * down + np.float32(0.5)).astype(np.uint8)


def _with_black_rim(
    image: Image, column: NDArray[np.int64], row: NDArray[np.int64]
) -> tuple[Image, int, int]:
    """Copy the part that is looked at, and where its first pixel lies in the image."""
    left, top = int(column.min()), int(row.min())
    width, height = int(column.max()) + 2 - left, int(row.max()) + 2 - top
    part = np.zeros((height, width, image.shape[2]), np.uint8)
    inside = image[max(top, 0) : top + height, max(left, 0) : left + width]
    part[
        max(-top, 0) : max(-top, 0) + len(inside),
        max(-left, 0) : max(-left, 0) + inside.shape[1],
    ] = inside
    return part, left, top
