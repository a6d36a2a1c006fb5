"""Which tensor of a checkpoint becomes the class centres, and how it is turned."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from damcli.errors import InputError
from damcli.models.class_centres import mean_of_sub_centers, read_class_centres
from tests.checkpoints import BACKBONE, HEAD, WRITERS, write_checkpoint


@pytest.fixture(params=WRITERS)
def checkpoint(request, tmp_path):
    """Write tensors as a checkpoint of each kind; returns its path."""
    return partial(write_checkpoint, tmp_path / f"model{request.param}")


@pytest.fixture
def npz(tmp_path):
    return partial(write_checkpoint, tmp_path / "model.npz")


def test_single_matrix_needs_no_knowledge(checkpoint):
    path = checkpoint(weight=HEAD, bias=HEAD[0], steps=np.arange(12).reshape(3, 4))
    centres = read_class_centres(path)
    assert (centres.tensor, centres.transposed, centres.sub_centers) == ("weight", False, 1)
    assert centres.vectors.dtype == np.float32
    np.testing.assert_array_equal(centres.vectors, HEAD)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_become_float32(checkpoint, dtype):
    vectors = read_class_centres(checkpoint(weight=HEAD.astype(dtype))).vectors
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, HEAD.astype(dtype).astype(np.float32))


def test_transposed_layout_is_turned(checkpoint):
    centres = read_class_centres(checkpoint(kernel=np.ascontiguousarray(HEAD.T)), dim=8)
    assert centres.transposed
    assert centres.vectors.flags.c_contiguous
    np.testing.assert_array_equal(centres.vectors, HEAD)


def test_ambiguity_lists_both_and_classes_resolve_it(checkpoint):
    path = checkpoint(weight=HEAD, **{"fc.weight": BACKBONE})
    with pytest.raises(InputError, match="2 tensors could be the class centres") as caught:
        read_class_centres(path, dim=8)
    assert "  weight (30, 8) float32" in str(caught.value)
    assert "  fc.weight (8, 50) float32" in str(caught.value)
    assert "--tensor NAME" in caught.value.hint
    assert "--dim" not in caught.value.hint
    assert read_class_centres(path, dim=8, classes=30).tensor == "weight"
    assert read_class_centres(path, classes=30).tensor == "weight"
    turned = read_class_centres(path, tensor="fc.weight", dim=8)
    np.testing.assert_array_equal(turned.vectors, BACKBONE.T)


def test_infinite_after_overflow_is_kept_without_warning(npz):
    assert np.isinf(read_class_centres(npz(w=np.full((3, 2), 1e300))).vectors).all()


# --- choosing ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "expected", "transposed"),
    [
        ((300, 64), (300, 64), False),
        ((10, 64), (10, 64), False),
        ((64, 10), (10, 64), True),
        ((512, 1057), (1057, 512), True),
        ((30, 8), (30, 8), False),
        ((64, 64), (64, 64), False),
    ],
)
def test_a_usual_dimension_tells_how_a_matrix_lies(npz, shape, expected, transposed):
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    centres = read_class_centres(npz(w=values))
    assert (centres.vectors.shape, centres.transposed) == (expected, transposed)
    np.testing.assert_array_equal(centres.vectors, values.T if transposed else values)


@pytest.mark.parametrize(
    ("shape", "ways"),
    [
        ((128, 64), "128 classes of dimension 64 or 64 classes of dimension 128"),
        ((64, 128), "64 classes of dimension 128 or 128 classes of dimension 64"),
        ((8, 30), "8 classes of dimension 30 or 30 classes of dimension 8"),
    ],
)
def test_a_shape_that_does_not_tell_needs_the_dimension(npz, shape, ways):
    path = npz(w=np.ones(shape))
    with pytest.raises(InputError, match=f"may be {ways}; expected one of them") as caught:
        read_class_centres(path)
    assert f"--dim {shape[1]} or --dim {shape[0]}" in caught.value.hint
    assert read_class_centres(path, dim=shape[0]).vectors.shape == shape[::-1]
    assert read_class_centres(path, classes=shape[0]).vectors.shape == shape


def test_dim_decides_against_the_larger_axis(npz):
    centres = read_class_centres(npz(w=BACKBONE), dim=50)
    assert (centres.transposed, centres.vectors.shape) == (False, (8, 50))


def test_square_rows_are_classes(npz):
    square = HEAD[:8]
    centres = read_class_centres(npz(w=square), dim=8, classes=8)
    assert not centres.transposed
    np.testing.assert_array_equal(centres.vectors, square)


def test_ambiguous_list_is_cut_and_hints_all_ways(npz):
    path = npz(**{f"layer{n:02}": HEAD for n in range(25)})
    with pytest.raises(InputError, match="25 tensors could be the class centres") as caught:
        read_class_centres(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == 22
    assert lines[-1] == "  and 5 more"
    for way in ("--tensor NAME", "--dim D", "labels"):
        assert way in caught.value.hint


def test_wrong_name_lists_candidates_only(npz):
    with pytest.raises(InputError, match="holds no tensor 'head'; expected one of") as caught:
        read_class_centres(npz(weight=HEAD, bias=HEAD[0]), tensor="head")
    assert "weight (30, 8)" in str(caught.value)
    assert "bias" not in str(caught.value)
    assert "--tensor" in caught.value.hint


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (HEAD[0], r"float32 \(8,\)"),
        (np.ones((3, 4), dtype=np.int64), r"int64 \(3, 4\)"),
        (HEAD[:1], r"float32 \(1, 8\)"),
        (np.ones((3, 30, 8)), r"float64 \(3, 30, 8\)"),
    ],
)
def test_named_tensor_that_cannot_be_centres(npz, value, shown):
    with pytest.raises(InputError, match=f"'x' is {shown}; expected a 2-D float tensor"):
        read_class_centres(npz(x=value, w=HEAD), tensor="x")


def test_no_matrix_at_all(npz):
    with pytest.raises(InputError, match="1 tensors, none of them class centres") as caught:
        read_class_centres(npz(bias=HEAD[0]))
    assert "bias (8,) float32" in str(caught.value)
    assert "head in a file of its own" in caught.value.hint


def test_dim_and_classes_not_found(npz):
    path = npz(w=HEAD)
    with pytest.raises(InputError, match=r"expected one axis of 512 \(the dimension\); it holds"):
        read_class_centres(path, dim=512)
    with pytest.raises(InputError, match=r"one axis of 7 \(7 classes\) and one of 8 \(the dim"):
        read_class_centres(path, dim=8, classes=7)
    with pytest.raises(InputError, match=r"expected one axis of 14 \(7 classes × 2 sub-centres\)"):
        read_class_centres(path, classes=7, sub_centers=2)


# --- sub-centres -------------------------------------------------------------------------


def oracle_means(vectors, k):
    return [
        np.mean([v / np.sqrt(sum(v * v)) for v in vectors[i : i + k].astype(float)], axis=0)
        for i in range(0, len(vectors), k)
    ]


def test_sub_centres_all_rows_and_their_means(checkpoint):
    path = checkpoint(weight=HEAD)
    centres = read_class_centres(path, dim=8, classes=10, sub_centers=3)
    assert centres.sub_centers == 3
    np.testing.assert_array_equal(centres.vectors, HEAD)
    means = mean_of_sub_centers(centres.vectors, 3)
    assert means.dtype == np.float32
    np.testing.assert_allclose(means, oracle_means(HEAD, 3), rtol=1e-6)


def test_means_across_blocks(monkeypatch):
    monkeypatch.setattr("damcli.models.class_centres.BLOCK_CLASSES", 4)
    np.testing.assert_allclose(mean_of_sub_centers(HEAD, 3), oracle_means(HEAD, 3), rtol=1e-6)


def test_unsaid_sub_centres_are_pointed_out(npz):
    path = npz(weight=HEAD)
    for known in ({"classes": 10}, {"classes": 10, "dim": 8}):
        with pytest.raises(InputError, match=r"30 rows for 10 classes, .* 3 sub-centres") as caught:
            read_class_centres(path, **known)
        assert "--sub-centers 3" in caught.value.hint
    with pytest.raises(InputError, match="expected one axis of 10"):
        read_class_centres(path, classes=10, sub_centers=1)


def test_rows_not_divisible(npz):
    with pytest.raises(InputError, match=r"'w' has 30 rows.*; expected a multiple of 4") as caught:
        read_class_centres(npz(w=HEAD), sub_centers=4)
    assert "--sub-centers K" in caught.value.hint
    with pytest.raises(InputError, match=r"class centres: 30 rows .* multiple of 4"):
        mean_of_sub_centers(HEAD, 4)


def test_three_axes_are_classes_sub_centres_dim(checkpoint):
    path = checkpoint(w=HEAD.reshape(10, 3, 8))
    for known in ({}, {"dim": 8}, {"classes": 10}, {"sub_centers": 3}):
        centres = read_class_centres(path, **known)
        assert (centres.sub_centers, centres.transposed) == (3, False)
        np.testing.assert_array_equal(centres.vectors, HEAD)
    with pytest.raises(InputError, match=r"expected \(classes, 2 sub-centres, dimension\)"):
        read_class_centres(path, sub_centers=2)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_mean_of_a_centre_without_direction(value):
    bad = HEAD.copy()
    bad[4] = value
    with pytest.raises(InputError, match="model, row 5: the centre is all zeros or not finite"):
        mean_of_sub_centers(bad, 3, origin="model")
