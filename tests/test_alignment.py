"""Alignment: the similarity against Umeyama's own formulas, the warp against OpenCV."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from damcli.errors import InputError
from damcli.sources.alignment import (
    ARCFACE_TEMPLATE,
    AlignByLandmarks,
    align,
    similarity,
    template,
    warp,
)
from damcli.sources.landmarks import Landmarks
from tests.images import picture

POINTS = arrays(np.float64, (5, 2), elements=st.floats(-500, 500, width=32))


CROSS = np.array([(1, 0), (0, 1), (-1, 0), (0, 0), (0, -1)])


def spread(points: np.ndarray) -> bool:
    return np.ptp(points, axis=0).max() > 1


def umeyama(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Eqs. 38 to 43 of Umeyama (TPAMI 1991), by singular values."""
    x, y = source - source.mean(0), target - target.mean(0)
    u, d, vt = np.linalg.svd(y.T @ x / len(x))
    s = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(vt))])
    rotation = u @ np.diag(s) @ vt
    scale = (d * s).sum() / (x**2).sum(1).mean()
    return np.column_stack([scale * rotation, target.mean(0) - scale * rotation @ source.mean(0)])


@given(POINTS.filter(spread), POINTS.filter(spread))
@settings(deadline=None)
def test_the_similarity_is_umeyamas(source, target):
    found = similarity(source, target)
    np.testing.assert_allclose(found, umeyama(source, target), atol=1e-6, rtol=1e-6)


@given(st.floats(-3, 3), st.floats(0.1, 9), st.floats(-99, 99), st.floats(-99, 99))
def test_a_similarity_is_found_again(angle, scale, dx, dy):
    a = scale * np.exp(1j * angle)
    wanted = np.array([[a.real, -a.imag, dx], [a.imag, a.real, dy]])
    moved = ARCFACE_TEMPLATE @ wanted[:, :2].T + wanted[:, 2]
    np.testing.assert_allclose(similarity(ARCFACE_TEMPLATE, moved), wanted, atol=1e-9)


def test_templates_of_other_sizes():
    np.testing.assert_array_equal(template((112, 112)), ARCFACE_TEMPLATE)
    np.testing.assert_allclose(template((224, 224)), ARCFACE_TEMPLATE * 2)
    np.testing.assert_allclose(template((128, 128)), np.add(ARCFACE_TEMPLATE, (8, 0)))
    np.testing.assert_allclose(template((256, 256)), ARCFACE_TEMPLATE * 2 + (16, 0))
    np.testing.assert_allclose(template((896, 896)), ARCFACE_TEMPLATE * 8)
    np.testing.assert_allclose(template((160, 160)), ARCFACE_TEMPLATE * 160 / 112)
    np.testing.assert_allclose(template((112, 96)), ARCFACE_TEMPLATE - (8, 0))


def smooth(height: int, width: int) -> np.ndarray:
    """Return a picture with the slopes of a photo, up to about 25 grey levels a pixel."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + y / b) for a, b in ((5, 7), (9, -4), (-6, 30))]
    return (127.5 + 127.5 * np.stack(waves, axis=2)).astype(np.uint8)


@given(
    st.floats(-3.1, 3.1),
    st.floats(0.2, 3),
    st.floats(-60, 60),
    st.floats(-60, 60),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
)
@settings(deadline=None, max_examples=80)
def test_the_warp_is_opencvs(angle, scale, dx, dy, shape):
    cv2 = pytest.importorskip("cv2")
    a = scale * np.exp(1j * angle)
    matrix = np.array([[a.real, -a.imag, dx], [a.imag, a.real, dy]])
    image = smooth(*shape)
    found = warp(image, matrix, (30, 40))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    theirs = cv2.warpAffine(image, matrix, (40, 30), flags=flags, borderValue=0)
    assert found.shape == theirs.shape
    difference = np.abs(found.astype(int) - theirs)
    # where OpenCV 4 rounds places to 1/32 pixel, the black rim has a slope of 255 a pixel
    assert difference.max() <= 1 + 2 * 255 / 32
    assert (difference > 2).mean() < 0.1


def slow_warp(image: np.ndarray, matrix: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    out = np.zeros((*size, 3))
    height, width, _ = image.shape
    for row in range(size[0]):
        for column in range(size[1]):
            x, y = matrix @ (column, row, 1)
            for i in (int(np.floor(x)), int(np.floor(x)) + 1):
                for j in (int(np.floor(y)), int(np.floor(y)) + 1):
                    if 0 <= i < width and 0 <= j < height:
                        share = (1 - abs(x - i)) * (1 - abs(y - j))
                        out[row, column] += share * image[j, i]
    return out


@given(arrays(np.float64, (2, 3), elements=st.floats(-20, 20)), st.integers(1, 9))
@settings(deadline=None, max_examples=60)
def test_the_warp_against_the_oracle(matrix, height):
    image = picture(1, height, 7)
    found = warp(image, matrix, (4, 5))
    assert np.abs(found - slow_warp(image, matrix, (4, 5))).max() < 0.51


def test_places_a_hair_from_a_pixel():
    for hair in (-1e-17, 1e-17, -1e-300):
        found = warp(picture(), np.array([[0, 0, hair], [0, 0, hair]]), (1, 1))
        np.testing.assert_array_equal(found, picture()[:1, :1])


def test_an_identity_changes_nothing():
    image = picture()
    np.testing.assert_array_equal(warp(image, np.eye(3)[:2], image.shape[:2]), image)


def test_a_face_lands_on_the_template():
    angle = np.exp(0.4j) * 1.7
    turn = np.array([[angle.real, angle.imag], [-angle.imag, angle.real]])
    points = ARCFACE_TEMPLATE @ turn + (30, 120)
    image = np.zeros((400, 300, 3), np.uint8)
    for number, (x, y) in enumerate(points.round().astype(int)):
        image[y - 2 : y + 3, x - 2 : x + 3] = 50 * (number + 1)
    crop = align(image, points, (112, 112), "a.png")
    for number, (x, y) in enumerate(ARCFACE_TEMPLATE.round().astype(int)):
        assert crop[y, x].tolist() == [50 * (number + 1)] * 3


def test_points_that_make_no_face_are_refused():
    with pytest.raises(InputError, match=r"a\.png: has its five landmarks all in one place"):
        align(picture(), np.full((5, 2), 3.0), (112, 112), "a.png")
    face, odd = ((points - points.mean(0)) @ (1, 1j) for points in (ARCFACE_TEMPLATE, CROSS))
    useless = odd - face * (np.vdot(face, odd) / np.vdot(face, face))  # at right angles to it
    points = np.column_stack([useless.real, useless.imag]) * 20 + 50
    with pytest.raises(InputError, match=r"a\.png: has five landmarks that no rotation"):
        align(picture(), points, (112, 112), "a.png")


def test_landmarks_by_id():
    points = np.stack([ARCFACE_TEMPLATE, ARCFACE_TEMPLATE + 1]).astype(np.float32)
    framing = AlignByLandmarks((112, 112), Landmarks("l.csv", ["a", "b"], points))
    assert framing.describe() == "aligned to 112x112 by the landmarks of l.csv"
    image = picture(0, 140, 130)
    framed = framing.frame("b", "b.png", image)
    np.testing.assert_array_equal(framed.image, image[1:113, 1:113])
    assert framed.landmarks is None
    with pytest.raises(InputError, match=r"c\.png: has no landmarks in l\.csv .*id 'c'"):
        framing.frame("c", "c.png", image)
