"""The preprocessing contract: the formula, the record, and what is never guessed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from damcli.errors import InputError, UserError
from damcli.models.network import InputSpec
from damcli.models.preprocessing import (
    Preprocessing,
    parse_size,
    resolve_preprocessing,
    same_contract,
)
from damcli.models.presets import KNOWN, PRESETS

OPEN = InputSpec("input", layout="NCHW")
FACE = InputSpec("input", layout="NCHW", channels=3, height=112, width=112)

images = arrays(
    np.uint8, st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4), st.just(3))
)
means = st.tuples(*[st.floats(0, 255)] * 3)
stds = st.tuples(*[st.floats(0.25, 300)] * 3)


def by_hand(image, row, column, contract):
    """Return one pixel's values by the formula, in float64."""
    pixel = [float(value) for value in image[row, column]]
    order = pixel if contract.color == "rgb" else pixel[::-1]
    return [(x - m) / s for x, m, s in zip(order, contract.mean, contract.std, strict=True)]


@given(images, st.sampled_from(["rgb", "bgr"]), means, stds, st.sampled_from(["NCHW", "NHWC"]))
def test_apply_is_the_formula(batch, color, mean, std, layout):
    contract = Preprocessing(batch.shape[1:3], color, mean, std, layout)
    result = contract.apply(batch)
    assert result.dtype == np.float32 and result.flags.c_contiguous
    if layout == "NCHW":
        result = result.transpose(0, 2, 3, 1)
    assert result.shape == batch.shape
    for n, row, column in np.ndindex(batch.shape[:3]):
        expected = by_hand(batch[n], row, column, contract)
        within = [1e-6 * max(1.0, 255 / s) for s in std]
        assert np.all(np.abs(result[n, row, column] - expected) <= within)


@given(images, st.sampled_from(["NCHW", "NHWC"]))
def test_grey_is_what_pillow_calls_l(batch, layout):
    result = Preprocessing(batch.shape[1:3], "grey", (127.5,), (2.0,), layout).apply(batch)
    pillow = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in batch])
    axis = 1 if layout == "NCHW" else 3
    np.testing.assert_array_equal(result, np.expand_dims((pillow - 127.5) / 2, axis))


def test_views_are_taken_as_they_are(rng):
    whole = rng.integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    contract = PRESETS["imagenet"]
    mirrored = whole[:, ::2, ::-1]
    np.testing.assert_array_equal(contract.apply(mirrored), contract.apply(mirrored.copy()))


# --- the record ----------------------------------------------------------------------------


@given(means, stds, st.sampled_from(["rgb", "bgr"]), st.sampled_from(["NCHW", "NHWC"]))
def test_record_survives(mean, std, color, layout):
    contract = Preprocessing((112, 96), color, mean, std, layout)
    assert Preprocessing.from_json(contract.as_json()) == contract


@pytest.mark.parametrize(
    ("damaged", "says"),
    [
        ("{", "cannot be read"),
        ("[1]", r"it is \[1\]"),
        ('{"size": [1, 1], "color": "rgb", "mean": [0, 0, 0]}', "lacks 'std'"),
        (PRESETS["arcface"].as_json().replace("112", "0", 1), r"size is \[0, 112\]"),
        (PRESETS["arcface"].as_json().replace("rgb", "rbg"), "color is 'rbg', not rgb, bgr, grey"),
        (PRESETS["arcface"].as_json().replace("NCHW", "CHWN"), "layout is 'CHWN', not NCHW or"),
        (PRESETS["arcface"].as_json().replace("rgb", "grey"), "3 and 3 values, not 1"),
        (PRESETS["sface"].as_json().replace("1.0", "0.0"), r"std is \(0.0, 0.0, 0.0\)"),
        (PRESETS["sface"].as_json().replace("1.0", "NaN"), "nan"),
        (PRESETS["sface"].as_json().replace("size", "syze"), "'syze' is unknown"),
    ],
)
def test_damaged_record(damaged, says):
    with pytest.raises(InputError, match=f"m.onnx: states a preprocessing .*{says}"):
        Preprocessing.from_json(damaged, "m.onnx")


def test_difference_between_records():
    arcface, adaface, facenet = (PRESETS[n].as_json() for n in ("arcface", "adaface", "facenet"))
    assert same_contract(arcface, arcface) is None
    assert same_contract(arcface, adaface) == "color rgb against bgr"
    difference = "size 112x112 against 160x160, std 127.5 against 128"
    assert same_contract(arcface, facenet) == difference


# --- what is settled, and from where -------------------------------------------------------


def test_options_alone():
    contract = resolve_preprocessing(
        size="112x96", color="BGR", mean="127.5", std="1,2,3", layout="nhwc", stated=InputSpec("x")
    )
    assert contract == Preprocessing((112, 96), "bgr", (127.5,) * 3, (1.0, 2.0, 3.0), "NHWC")


def test_numbers_and_pairs_do_as_well():
    contract = resolve_preprocessing(size=(8, 9), color="rgb", mean=0, std=(1, 2, 3), stated=OPEN)
    assert contract == Preprocessing((8, 9), "rgb", (0.0,) * 3, (1.0, 2.0, 3.0))


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_settles_an_open_model(name):
    assert resolve_preprocessing(preset=name.upper(), stated=OPEN) == PRESETS[name]
    assert KNOWN[name].source and KNOWN[name].models
    assert Preprocessing.from_json(PRESETS[name].as_json()) == PRESETS[name]


def test_option_goes_before_preset_and_layout_is_the_models():
    spec = InputSpec("x", "NHWC", 3, 128, 128)
    contract = resolve_preprocessing(preset="arcface", size="128", std="128", stated=spec)
    assert contract == Preprocessing((128, 128), "rgb", (127.5,) * 3, (128.0,) * 3, "NHWC")


def test_mean_stays_with_its_channel_when_color_turns():
    contract = resolve_preprocessing(preset="imagenet", color="bgr", stated=OPEN)
    assert contract.mean == PRESETS["imagenet"].mean[::-1]
    assert contract.std == PRESETS["imagenet"].std[::-1]
    given_mean = resolve_preprocessing(preset="imagenet", color="bgr", mean="1,2,3", stated=OPEN)
    assert given_mean.mean == (1.0, 2.0, 3.0)


def test_what_the_file_states_fills_in():
    stated = InputSpec("x", "NCHW", 3, 112, 112, preprocessing=PRESETS["magface"].as_json())
    assert resolve_preprocessing(stated=stated) == PRESETS["magface"]
    assert resolve_preprocessing(preset="magface", stated=stated) == PRESETS["magface"]
    assert resolve_preprocessing(std="1", stated=stated).std == (1.0,) * 3


def test_size_of_the_record_fills_an_open_graph():
    stated = InputSpec("x", "NCHW", 3, preprocessing=PRESETS["magface"].as_json())
    assert resolve_preprocessing(stated=stated).size == (112, 112)


def test_one_channel_and_plain_pixels_say_something_too():
    grey = InputSpec("x", "NCHW", 1, 128, 128)
    assert resolve_preprocessing(preset="lightcnn", stated=grey) == PRESETS["lightcnn"]
    assert resolve_preprocessing(mean="0", std="255", stated=grey).color == "grey"
    pixels = InputSpec("x", "NHWC", 3, 8, 8, dtype="uint8")
    contract = resolve_preprocessing(color="rgb", stated=pixels)
    assert (contract.mean, contract.std) == ((0.0,) * 3, (1.0,) * 3)


@pytest.mark.parametrize(
    ("options", "stated", "says"),
    [
        ({}, FACE, "m: does not state .* expected --color, --mean, --std, or a preset"),
        ({"color": "rgb", "mean": "0"}, OPEN, "expected --size, --std, or a preset"),
        ({"preset": "facenet"}, FACE, r"takes images of 112x112, not 160x160 \(preset facenet\)"),
        (
            {"preset": "arcface", "color": "grey"},
            FACE,
            "m: takes 3 channels, and images in grey have 1; expected",
        ),
        ({"preset": "arcface", "size": "96"}, FACE, "takes images of 112x112, not 96x96"),
        (
            {"preset": "lightcnn", "size": "112"},
            FACE,
            "takes 3 channels, and images in grey have 1",
        ),
        (
            {"preset": "sface"},
            InputSpec("x", "NCHW", 1, 112, 112),
            "states color grey, and the preset sface has color rgb",
        ),
        (
            {"preset": "sface", "size": "9"},
            InputSpec("x", "NCHW", 4, 9, 9),
            "takes 4 channels, and images in rgb have 3",
        ),
        ({"preset": "sface", "layout": "NHWC"}, FACE, "takes NCHW, not NHWC"),
        (
            {"preset": "arcface"},
            InputSpec("x", preprocessing=PRESETS["facenet"].as_json()),
            "states std 128, and the preset arcface has std 127.5",
        ),
        (
            {"preset": "arcface"},
            InputSpec("x", dtype="uint8"),
            "states mean 0, and the preset arcface has mean 127.5",
        ),
        (
            {"size": "9", "color": "rgb", "mean": "127.5"},
            InputSpec("x", dtype="uint8"),
            r"takes plain pixels \(uint8\), not mean 127.5 and std 1; expected mean 0 and std 1",
        ),
        ({}, InputSpec("x", preprocessing="?"), "m: states a preprocessing that cannot be read"),
    ],
)
def test_contradictions_and_gaps(options, stated, says):
    with pytest.raises(InputError, match=says):
        resolve_preprocessing(**options, stated=stated, origin="m")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"preset": "arcfase"}, "--preset is 'arcfase'; expected one of arcface, "),
        ({"size": "112x"}, "--size is '112x'; expected HEIGHTxWIDTH"),
        ({"size": "0"}, "--size is '0'"),
        ({"color": "gbr"}, "--color is 'gbr'; expected rgb, bgr, grey"),
        ({"layout": "CHW"}, "--layout is 'CHW'; expected NCHW, NHWC"),
        ({"mean": "1,2"}, "--mean is '1,2'; expected one number, or three"),
        ({"mean": "a"}, "--mean is 'a'"),
        ({"mean": "nan"}, "--mean is 'nan'"),
        ({"std": "1,0,1"}, "--std is '1,0,1'; expected numbers above 0"),
        ({"std": -1.0}, "--std is '-1.0'; expected numbers above 0"),
        ({"preset": "lightcnn", "mean": "1,2,3"}, "--mean has 3 values, and images in grey have 1"),
        (
            {"preset": "arcface", "color": "grey"},
            "mean of --preset arcface has 3 values, and images in grey have 1; expected one",
        ),
        (
            {"preset": "arcface", "color": "grey", "mean": "0"},
            "std of --preset arcface has 3 values, and images in grey have 1; expected one",
        ),
    ],
)
def test_unreadable_options(options, says):
    with pytest.raises(UserError, match=says):
        resolve_preprocessing(**options, stated=OPEN)


def test_values_that_the_file_states_do_not_fit_another_color():
    stated = InputSpec("x", preprocessing=PRESETS["sface"].as_json())
    with pytest.raises(
        UserError, match=r"^the mean of the model's file has 3 values, and"
    ) as caught:
        resolve_preprocessing(color="grey", stated=stated)
    assert caught.value.hint == "say it for images in grey: --mean and --std"


def test_missing_options_name_the_presets():
    with pytest.raises(InputError) as caught:
        resolve_preprocessing(stated=FACE)
    assert all(name in str(caught.value.hint) for name in PRESETS)


@given(st.integers(1, 99999), st.integers(1, 99999))
def test_sizes(height, width):
    assert parse_size(f"{height}x{width}") == parse_size(f" {height} X {width} ") == (height, width)
    assert parse_size(str(height)) == (height, height)
