"""Flips are fair, colours are Pillow's by the formula, crops lie anywhere, nothing else moves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.errors import UserError
from damcli.training.augment import Augment, Variation
from damcli.training.order import generator_at
from tests.images import picture

WHOLE = {"side": 1.0, "corner": (0.0, 0.0)}


def drawn(augment: Augment, count: int = 4000) -> list[Variation]:
    return [augment.draw(generator_at(7, position)) for position in range(count)]


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.5, 1.0])
def test_flips_are_as_likely_as_asked(flip):
    share = np.mean([one.flipped for one in drawn(Augment(flip=flip))])
    assert abs(share - flip) <= 4 * (flip * (1 - flip) / 4000) ** 0.5


def test_by_default_an_image_is_flipped_or_stays():
    image = picture(1)
    for one in drawn(Augment(), 20):
        np.testing.assert_array_equal(one.cut(image), image)
        np.testing.assert_array_equal(one.recolour(image), image[:, ::-1] if one.flipped else image)


def test_switching_on_one_kind_leaves_the_others_as_they_were():
    plain = drawn(Augment(brightness=0.3), 50)
    for before, after in zip(plain, drawn(Augment(brightness=0.3, crop=0.5), 50), strict=True):
        assert (before.flipped, before.kept) == (after.flipped, after.kept)
        assert after.side < 1


def test_strengths_are_uniform_around_one():
    kept = np.array([one.kept for one in drawn(Augment(brightness=0.2, contrast=0.4))])
    assert (kept[:, 2] == 1).all()
    for column, strength in ((0, 0.2), (1, 0.4)):
        values = kept[:, column]
        assert abs(values.mean() - 1) < 4 * strength / (3 * 4000) ** 0.5
        assert 1 - strength <= values.min() < 1 - 0.99 * strength
        assert 1 + strength >= values.max() > 1 + 0.99 * strength
    assert abs(np.corrcoef(kept[:, 0], kept[:, 1])[0, 1]) < 4 / 4000**0.5


def test_the_sides_of_a_crop_are_uniform():
    sides = np.array([one.side for one in drawn(Augment(crop=0.4))])
    assert abs(sides.mean() - 0.8) < 4 * 0.4 / (12 * 4000) ** 0.5
    assert 0.6 <= sides.min() < 0.604
    assert 0.996 < sides.max() <= 1


def luma(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array([0.299, 0.587, 0.114])


@pytest.mark.parametrize("share", [0.6, 1.4])
@pytest.mark.parametrize("which", [0, 1, 2])
def test_colours_are_blended_with_black_the_mean_grey_or_their_own_grey(which, share):
    image = picture(3)
    pixels = image.astype(float)
    grey = [0.0, luma(pixels).mean(), luma(pixels)[:, :, None]][which]
    wanted = np.clip(grey + share * (pixels - grey), 0, 255)
    kept = [1.0, 1.0, 1.0]
    kept[which] = share
    found = Variation(False, tuple(kept), **WHOLE).recolour(image)
    assert np.abs(found - wanted).max() <= 1.5  # Pillow rounds the grey, then the pixel down


def test_brightness_comes_first_then_contrast():
    image = np.full((4, 4, 3), 200, dtype=np.uint8)
    image[:2] = 100
    found = Variation(False, (0.5, 0.5, 1.0), **WHOLE).recolour(image)
    np.testing.assert_array_equal(np.unique(found), [62, 87])  # 50 and 100 towards 75


def test_a_flipped_image_has_the_same_colours_flipped():
    image, kept = picture(4), (0.8, 1.3, 1.2)
    np.testing.assert_array_equal(
        Variation(True, kept, **WHOLE).recolour(image),
        Variation(False, kept, **WHOLE).recolour(image)[:, ::-1],
    )


@given(
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.floats(0, 1, exclude_min=True),
    st.tuples(*[st.floats(0, 1)] * 2),
)
def test_a_crop_keeps_the_proportions_and_lies_inside(shape, side, corner):
    image = np.arange(shape[0] * shape[1] * 3).reshape(*shape, 3).astype(np.uint8)
    part = Variation(False, (1, 1, 1), side, corner).cut(image)
    for got, whole in zip(part.shape[:2], shape, strict=True):
        assert got == max(1, round(side * whole))


def test_crops_lie_at_every_place_equally_often():
    image = np.arange(10)[:, None, None] * 10 + np.arange(10)[None, :, None]
    image = np.repeat(image, 3, axis=2).astype(np.uint8)
    corners = np.zeros((4, 4))
    for position in range(3200):
        x, y = generator_at(0, position).random(2)
        part = Variation(False, (1, 1, 1), 0.7, (float(x), float(y))).cut(image)
        assert part.shape == (7, 7, 3)
        corners[divmod(int(part[0, 0, 0]), 10)] += 1
    assert np.abs(corners - 200).max() < 4.5 * 200**0.5


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({"flip": 1.5}, "flip is 1.5; expected 0 to 1"),
        ({"flip": float("nan")}, "flip is nan"),
        ({"crop": 1.0}, "crop is 1.0; expected 0 to below 1"),
        ({"contrast": -0.1}, "contrast is -0.1; expected 0 to below 1"),
    ],
)
def test_what_cannot_be_asked_for(how, found):
    with pytest.raises(UserError, match=found):
        Augment(**how)
