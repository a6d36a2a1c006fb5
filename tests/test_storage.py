"""Embeddings in memory and in damcli's own HDF5: what goes in comes out, or is refused by name."""

from __future__ import annotations

import gc
import hashlib
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli import __version__
from damcli.errors import InputError
from damcli.storage import embeddings as memory
from damcli.storage import files
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import open_embeddings, read_anchors, read_embeddings
from damcli.storage.hdf5 import write_embeddings

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
COLUMN_NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
)


@st.composite
def sets_of_embeddings(draw: st.DrawFn) -> Embeddings:
    ids = draw(st.lists(NAMES, min_size=1, max_size=9, unique=True))
    column = st.lists(NAMES, min_size=len(ids), max_size=len(ids))
    vectors = np.random.default_rng(draw(st.integers(0, 99))).normal(size=(len(ids), 4))
    groups = draw(st.dictionaries(COLUMN_NAMES, column, max_size=2))
    made = Embeddings.from_arrays(
        vectors * draw(st.floats(1e-20, 1e20)),
        ids,
        draw(st.none() | column),
        attributes=draw(st.dictionaries(COLUMN_NAMES, VALUES, max_size=3)),
    )
    return replace(made, groups={name: memory.as_names(c) for name, c in groups.items()})


def assert_same(found: Embeddings, wanted: Embeddings, atol: float = 2e-7) -> None:
    assert found.ids.tolist() == wanted.ids.tolist()
    assert (found.subjects is None) == (wanted.subjects is None)
    if wanted.subjects is not None:
        assert found.subjects.tolist() == wanted.subjects.tolist()
    assert {n: c.tolist() for n, c in found.groups.items()} == {
        n: c.tolist() for n, c in wanted.groups.items()
    }
    np.testing.assert_allclose(found.vectors, wanted.vectors, rtol=0, atol=atol)
    np.testing.assert_array_equal(found.norms, wanted.norms)
    assert found.vectors.dtype == np.float32


@settings(deadline=None, max_examples=60)
@given(sets_of_embeddings())
def test_hdf5_keeps_every_id_subject_group_norm_and_attribute(wanted):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        write_embeddings(path, wanted, **{"how-chosen": "here"})
        found = read_embeddings(path)
        assert_same(found, wanted)
        added = {"how-chosen": "here", "damcli_version": __version__}
        assert found.attributes == {**wanted.attributes, **added}
        assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_float16_halves_the_file_and_rows_are_of_unit_length_again(tmp_path, make_embeddings):
    wanted = make_embeddings(300, 64)
    for dtype in ("float32", "float16"):
        write_embeddings(tmp_path / f"{dtype}.h5", wanted, dtype=dtype)
    half = open_embeddings(tmp_path / "float16.h5")
    assert half.dtype == "float16"
    assert_same(half.load(), wanted, atol=1e-3)
    lengths = np.linalg.norm(half.load().vectors.astype(np.float64), axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-6)
    sizes = [(tmp_path / f"{d}.h5").stat().st_size for d in ("float32", "float16")]
    assert sizes[0] - sizes[1] >= 300 * 64 * 2


@given(st.data())
@settings(deadline=None, max_examples=30)
def test_take_from_a_file_equals_take_from_memory(data):
    rows = 23
    wanted = Embeddings.from_arrays(
        np.random.default_rng(1).normal(size=(rows, 3)), [f"n{i}" for i in range(rows)]
    )
    indices = st.lists(st.integers(-rows, rows - 1), max_size=40)
    chosen = data.draw(
        indices.map(lambda order: np.array(order, dtype=np.int64))
        | st.slices(rows)
        | st.lists(st.booleans(), min_size=rows, max_size=rows).map(np.array)
    )
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "BLOCK_ROWS", 5)
        write_embeddings(Path(folder) / "a.h5", wanted)
        assert_same(open_embeddings(f"{folder}/a.h5").take(chosen), wanted.take(chosen))


def test_a_file_stays_open_for_reading_as_long_as_it_is_needed(tmp_path, make_embeddings):
    wanted = make_embeddings()
    write_embeddings(tmp_path / "a.h5", wanted)
    source = open_embeddings(tmp_path / "a.h5")
    gc.collect()
    write_embeddings(tmp_path / "a.h5", source, rows=np.array([3]), force=True)
    assert_same(source.load(), wanted)
    assert read_embeddings(tmp_path / "a.h5").ids.tolist() == [wanted.ids[3]]


def test_lengths_are_divided_out_and_kept(rng):
    raw = rng.normal(size=(40, 8)) * np.logspace(-30, 30, 40)[:, None]
    made = Embeddings.from_arrays(raw)
    np.testing.assert_allclose(made.norms, np.linalg.norm(raw, axis=1), rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(made.vectors.astype(float), axis=1), 1, atol=1e-6)
    assert made.ids.tolist() == [str(i) for i in range(40)]
    assert made.attributes["ids_are_row_numbers"] is True


def test_rows_of_finds_rows_in_any_order_and_says_what_is_missing(make_embeddings):
    made = make_embeddings()
    asked = np.array([made.ids[4], "nobody", made.ids[0]], dtype=object)
    assert made.rows_of(asked).tolist() == [4, -1, 0]


def test_an_id_that_stands_twice_is_named_with_both_rows(tmp_path, make_embeddings):
    with pytest.raises(InputError, match=r"row 4: id 'b' was already given to row 2") as caught:
        Embeddings.from_arrays(np.ones((4, 2)), ["a", "b", "c", "b"])
    assert "--drop-duplicates" in caught.value.hint
    np.savez(tmp_path / "a.npz", embedding=np.ones((4, 2)), id=["a", "b", "c", "b"])
    source = open_embeddings(tmp_path / "a.npz")
    assert source.duplicates().tolist() == [3]
    with pytest.raises(InputError, match="row 4: id 'b'"):
        source.load()
    with pytest.raises(InputError, match="row 4: id 'b'"):
        write_embeddings(tmp_path / "b.h5", source)
    assert not (tmp_path / "b.h5").exists()


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("", "is empty"),
        (None, "is of type NoneType"),
        (1.5, "is of type float"),
        (True, "is of type bool"),
        ("a\0b", "holds a NUL"),
        ("caf\udce9", "is not UTF-8"),
        (b"\xff", "is not UTF-8"),
    ],
)
@pytest.mark.parametrize("column", ["id", "subject"])
def test_a_value_that_names_nothing_is_an_error_with_its_row(column, value, found):
    names = {"ids": ["x", "y"], "subjects": ["p", "p"]}
    names[column + "s"][1] = value
    with pytest.raises(InputError, match=rf"row 2: {column} .* {found}"):
        Embeddings.from_arrays(np.ones((2, 2)), **names)


def test_an_empty_id_of_numpy_is_called_empty_and_not_by_its_type():
    with pytest.raises(InputError, match="row 2: id '' is empty"):
        Embeddings.from_arrays(np.ones((2, 2)), ids=np.array(["x", ""]))


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (np.nan, "not finite"),
        (np.inf, "not finite"),
        (0.0, "all zeros"),
        (1e300, "float32 cannot hold"),
        (1e-300, "float32 cannot hold"),
    ],
)
def test_a_row_without_direction_is_named_with_file_row_id_and_hint(tmp_path, value, found):
    raw = np.ones((20_000, 2))
    raw[17_000] = value
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["vectors"] = raw
        file["image_names"] = [f"n{i}" for i in range(20_000)]
    source = open_embeddings(path)
    assert source.invalid().tolist() == [17_000]
    with pytest.raises(InputError, match=rf"a\.h5, row 17001: .*'n17000' is .*{found}") as caught:
        read_embeddings(path)
    assert "--drop-invalid" in caught.value.hint
    # The rows beside it can be used, and written, in spite of it.
    write_embeddings(tmp_path / "b.h5", source, rows=np.array([16_999, 17_001]))
    assert read_embeddings(tmp_path / "b.h5").norms.tolist() == pytest.approx([2**0.5] * 2)


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf])
def test_a_stored_norm_that_is_no_length_is_named(tmp_path, bad):
    np.savez(tmp_path / "a.npz", X=np.ones((3, 2)), id=["a", "b", "c"], norm=[1.0, bad, 2.0])
    with pytest.raises(InputError, match=r"row 2: the norm of 'b'"):
        read_embeddings(tmp_path / "a.npz")
    assert open_embeddings(tmp_path / "a.npz").take(np.array([2, 0])).norms.tolist() == [2, 1]


@pytest.mark.parametrize("shape", [(4,), (0, 4), (4, 0), (2, 2, 2)])
def test_a_wrong_shape_is_refused(shape):
    with pytest.raises(InputError, match=r"expected \(N, D\)"):
        Embeddings.from_arrays(np.ones(shape))


def test_vectors_that_are_no_real_numbers_are_refused():
    for dtype in ("U3", "complex64", "bool", object):
        with pytest.raises(InputError, match="expected real numbers"):
            Embeddings.from_arrays(np.ones((2, 2)).astype(dtype))


def test_writing_no_rows_is_refused(tmp_path, make_embeddings):
    with pytest.raises(InputError, match="no rows are left"):
        write_embeddings(tmp_path / "a.h5", make_embeddings(), rows=np.array([], dtype=np.int64))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "a/b"])
def test_a_group_name_that_hdf5_would_take_for_a_path_is_refused(tmp_path, make_embeddings, name):
    made = make_embeddings()
    with pytest.raises(InputError, match="expected a name without a slash"):
        write_embeddings(tmp_path / "a.h5", replace(made, groups={name: made.ids}))


def test_attributes_can_be_long_and_cannot_pass_for_the_format(tmp_path, make_embeddings):
    made = make_embeddings(
        attributes={"format": "mine", "format_version": 9, "damcli_version": "0"}
    )
    write_embeddings(tmp_path / "a.h5", made, command="x" * 100_000, file="caf\udce9\0")
    source = open_embeddings(tmp_path / "a.h5")
    assert source.format == "damcli/embeddings"
    assert source.attributes["damcli_version"] != "0"
    assert len(source.attributes["command"]) == 100_000
    assert source.attributes["file"] == r"caf\udce9\0"


def test_anchors_stay_anchors_and_nothing_else_is_taken_for_them(tmp_path, make_embeddings):
    wanted = Anchors.of(make_embeddings(), kind="fake-db", seed=3)
    write_embeddings(tmp_path / "a.h5", wanted)
    write_embeddings(tmp_path / "b.h5", open_embeddings(tmp_path / "a.h5"), dtype="float16")
    for name in ("a.h5", "b.h5"):
        found = read_anchors(tmp_path / name)
        assert_same(found, wanted, atol=1e-3)
        assert (found.kind, found.attributes["seed"]) == ("fake-db", 3)
        assert found.digest == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    write_embeddings(tmp_path / "c.h5", make_embeddings())
    with pytest.raises(InputError, match="holds damcli/embeddings; expected an anchor set"):
        read_anchors(tmp_path / "c.h5")
    write_embeddings(tmp_path / "d.h5", Anchors.of(make_embeddings(), kind="odd"))
    with pytest.raises(InputError, match="anchors of kind odd; expected one of real-db"):
        read_anchors(tmp_path / "d.h5")
