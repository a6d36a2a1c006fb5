"""Resizing: bit for bit where nothing is to do, and a slow oracle for the rest."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.sources.framing import CentreSquare, WholeImage
from tests.images import picture

SIDES = st.integers(1, 40)


def oracle(line: np.ndarray, size: int) -> np.ndarray:
    """Resize along the first axis with a triangle, as wide as the pixels that it merges."""
    scale = len(line) / size
    wide = max(scale, 1.0)
    out = []
    for at in range(size):
        centre = (at + 0.5) * scale
        weights = np.array([1 - abs(i + 0.5 - centre) / wide for i in range(len(line))]).clip(0)
        out.append(np.tensordot(weights / weights.sum(), line, axes=1))
    return np.array(out)


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    tall = oracle(image.astype(float), size[0])
    return oracle(tall.transpose(1, 0, 2), size[1]).transpose(1, 0, 2)


@given(SIDES, SIDES, SIDES, SIDES)
@settings(deadline=None, max_examples=60)
def test_whole_images_against_the_oracle(height, width, to_height, to_width):
    image = picture(0, height, width)
    found = WholeImage((to_height, to_width)).frame("a", "a.png", image).image
    assert found.shape == (to_height, to_width, 3)
    assert found.dtype == np.uint8
    assert np.abs(found - resized(image, (to_height, to_width))).max() <= 1.5  # rounded twice


@pytest.mark.parametrize("framing", [WholeImage, CentreSquare])
def test_the_right_size_passes_bit_by_bit(framing):
    image = picture(0, 30, 20)
    framed = framing((30, 20)).frame("a", "a.png", image)
    np.testing.assert_array_equal(framed.image, image)
    assert framed.landmarks is None
    assert framed.faces is None


@pytest.mark.parametrize(
    ("height", "width", "size", "rows", "columns"),
    [
        (20, 50, (20, 20), slice(0, 20), slice(15, 35)),
        (51, 20, (20, 20), slice(15, 35), slice(0, 20)),
        (40, 60, (20, 10), slice(0, 40), slice(20, 40)),
        (7, 1, (14, 14), slice(3, 4), slice(0, 1)),
    ],
)
def test_the_centre_is_cut_then_resized(height, width, size, rows, columns):
    image = picture(0, height, width)
    found = CentreSquare(size).frame("a", "a.png", image).image
    wanted = WholeImage(size).frame("a", "a.png", image[rows, columns]).image
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("height", "width", "size", "whole", "centre"),
    [
        (1, 1, (112, 112), True, True),
        (15, 60, (112, 112), True, True),
        (16, 64, (112, 112), False, False),  # a stretch of 4, exactly
        (16, 65, (112, 112), True, False),
        (65, 16, (112, 112), True, False),
        (2, 3000, (112, 112), True, True),
        (400, 99, (112, 28), False, False),  # long, as the crop is
        (400, 99, (28, 112), True, False),
        (8, 9, (8, 9), False, False),  # small, as the model takes it
        (7, 9, (8, 9), True, True),
        (64, 16, (16, 112), True, True),  # of which the centre is 2 rows
    ],
)
def test_small_and_stretched_images_are_odd(height, width, size, whole, centre):
    image = picture(0, height, width)
    assert WholeImage(size).frame("a", "a.png", image).is_odd == whole
    assert CentreSquare(size).frame("a", "a.png", image).is_odd == centre


def test_they_say_what_they_do():
    assert WholeImage((112, 96)).describe() == (
        "whole image resized to 112x96, bilinear, antialiased"
    )
    assert "central" in CentreSquare((112, 112)).describe()
