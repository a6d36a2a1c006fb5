"""Other people's layouts: read as they come, written so that nothing is lost, never unpickled."""

from __future__ import annotations

import tempfile
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import InputError, OutputError
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import open_embeddings, read_embeddings
from damcli.storage.foreign_output import write_foreign

NAMES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
SUFFIXES = [".npy", ".npz", ".parquet", ".pq", ".vectors.h5"]


def everything(source: Embeddings) -> np.ndarray:
    return np.arange(len(source), dtype=np.int64)


@pytest.mark.parametrize("suffix", SUFFIXES)
@given(st.data())
@settings(deadline=None, max_examples=25)
def test_each_layout_gives_back_what_it_says_it_holds(suffix, data):
    ids = data.draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    people = data.draw(st.lists(NAMES, min_size=len(ids), max_size=len(ids)))
    vectors = np.random.default_rng(len(ids)).normal(size=(len(ids), 3)) * 7
    wanted = Embeddings.from_arrays(vectors, ids, people)
    wanted = replace(wanted, groups={"race": wanted.subjects[::-1]})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        write_foreign(path, wanted, everything(wanted)[::-1], force=False)
        found = read_embeddings(path)
    assert found.ids.tolist() == ids[::-1]
    np.testing.assert_allclose(found.vectors, wanted.vectors[::-1], rtol=0, atol=2e-7)
    if suffix != ".vectors.h5":
        assert found.subjects.tolist() == people[::-1]
    if suffix in (".npz", ".parquet", ".pq"):
        np.testing.assert_array_equal(found.norms, wanted.norms[::-1])
        assert found.groups["race"].tolist() == people


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_existing_file_is_refused_without_force(tmp_path, make_embeddings, suffix):
    made = make_embeddings()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        write_foreign(path, made, everything(made), force=False)
    assert path.read_bytes() == b"mine"
    write_foreign(path, made, everything(made), force=True)
    assert read_embeddings(path).ids.tolist() == made.ids.tolist()


def test_an_unknown_suffix_is_refused_both_ways(tmp_path, make_embeddings):
    made = make_embeddings()
    with pytest.raises(OutputError, match=r"unknown kind of file '\.txt'"):
        write_foreign(tmp_path / "a.txt", made, everything(made), force=False)
    (tmp_path / "a.txt").write_text("1 2 3")
    with pytest.raises(InputError, match=r"unknown kind of file '\.txt'.*\.npy"):
        read_embeddings(tmp_path / "a.txt")


def test_npy_without_a_list_is_named_by_row_numbers(tmp_path, rng):
    np.save(tmp_path / "a.npy", rng.normal(size=(11, 3)))
    found = read_embeddings(tmp_path / "a.npy")
    assert found.ids.tolist() == [str(i) for i in range(11)]
    assert found.attributes["ids_are_row_numbers"] is True
    assert found.subjects is None


@pytest.mark.parametrize(
    ("text", "ids", "subjects"),
    [
        ("001\n1\n", ["001", "1"], None),
        ("a,p\nb,q\n", ["a", "b"], ["p", "q"]),
        ("id,subject\r\na,p\r\nb,q\r\n", ["a", "b"], ["p", "q"]),
        ('\ufeffid\n"a,""1"""\nb\n', ['a,"1"', "b"], None),
        ("a\n\nb", ["a", "b"], None),
    ],
)
@pytest.mark.parametrize("place", ["a.ids.csv", "a.ids.txt", "elsewhere.txt"])
def test_the_list_of_ids_beside_an_npy(tmp_path, place, text, ids, subjects):
    np.save(tmp_path / "a.npy", np.eye(2))
    (tmp_path / place).write_text(text, encoding="utf-8", newline="")
    given_list = tmp_path / place if place.startswith("else") else None
    found = open_embeddings(tmp_path / "a.npy", given_list)
    assert found.ids.tolist() == ids
    assert (None if found.subjects is None else found.subjects.tolist()) == subjects
    assert "ids_are_row_numbers" not in found.attributes


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"a\nb\nc\n", r"ids\.csv: 3 ids for 2 rows"),
        (b"id\nb\n", "1 ids for 2 rows"),
        (b"id\n", "is empty"),
        (b"a,p,x\nb,q,y\n", "row 1: 3 columns"),
        (b"a,p\nb\n", "row 2: 1 columns"),
        (b"caf\xe9\nb\n", "row 1: is not UTF-8: byte 0xe9 after 'caf'"),
        (b'"a\nb\n', "not a readable list of ids"),
        (b'a,p\n"",q\n', "row 2: id '' is empty"),
        (b"a,p\nb,\n", "row 2: subject '' is empty"),
    ],
)
def test_a_bad_list_of_ids_is_named(tmp_path, content, found):
    np.save(tmp_path / "a.npy", np.eye(2))
    (tmp_path / "a.ids.csv").write_bytes(content)
    with pytest.raises(InputError, match=found):
        open_embeddings(tmp_path / "a.npy")


def test_a_list_of_ids_that_is_missing_or_not_asked_for(tmp_path):
    np.save(tmp_path / "a.npy", np.eye(2))
    np.savez(tmp_path / "a.npz", embedding=np.eye(2))
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        open_embeddings(tmp_path / "a.npy", tmp_path / "none.txt")
    with pytest.raises(InputError, match=r"goes with an \.npy"):
        open_embeddings(tmp_path / "a.npz", tmp_path / "none.txt")


class Payload:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_pickled_payloads_are_refused_and_never_run(tmp_path):
    mark = tmp_path / "ran"
    objects = np.array([[Payload(mark), 1.0]], dtype=object)
    np.save(tmp_path / "a.npy", objects)
    np.savez(tmp_path / "a.npz", embedding=objects)
    np.savez(tmp_path / "b.npz", embedding=np.eye(2), id=np.array([Payload(mark), "b"]))
    (tmp_path / "b.npy").write_bytes(objects.dumps())
    for name in ("a.npy", "a.npz", "b.npz", "b.npy"):
        with pytest.raises(InputError, match=rf"{name}: not a readable .np. ?"):
            read_embeddings(tmp_path / name)
    assert not mark.exists()
    np.load(tmp_path / "a.npy", allow_pickle=True)
    assert mark.exists(), "the payload works, so its silence above means something"


@pytest.mark.parametrize("shape", [(3,), (0, 4), (4, 0), (), (2, 2, 2)])
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_wrong_shapes_are_refused(tmp_path, suffix, shape):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, np.ones(shape))
    elif suffix == ".npz":
        np.savez(path, embedding=np.ones(shape))
    else:
        with h5py.File(path, "w") as file:
            file["embedding"] = np.ones(shape)
    with pytest.raises(InputError, match=r"expected \(N, D\)"):
        open_embeddings(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5", ".parquet"])
def test_text_is_no_vector_and_whole_numbers_are(tmp_path, suffix):
    for dtype in ("S3", np.int64):
        path = tmp_path / f"{np.dtype(dtype).kind}{suffix}"
        values = np.array([[3, 4], [0, 2]]).astype(dtype)
        if suffix == ".npy":
            np.save(path, values)
        elif suffix == ".npz":
            np.savez(path, features=values)
        elif suffix == ".h5":
            with h5py.File(path, "w") as file:
                file["features"] = values
        else:
            pq.write_table(pa.table({"features": values.tolist()}), path)
    with pytest.raises(InputError, match=r"vectors of type .*; expected"):
        open_embeddings(tmp_path / f"S{suffix}")
    found = read_embeddings(tmp_path / f"i{suffix}")
    np.testing.assert_allclose(found.vectors, [[0.6, 0.8], [0, 1]], atol=1e-7)


@pytest.mark.parametrize(
    ("columns", "found"),
    [
        ({"id": ["a", "b", "c"]}, "3 ids for 2 embeddings"),
        ({"subject": ["a"]}, "1 subjects for 2 embeddings"),
        ({"norm": [1.0]}, "1 norms for 2 embeddings"),
        ({"norm": ["a", "b"]}, "norms that are not numbers"),
        ({"norm": [[1.0], [1.0]]}, "norms that are not numbers"),
        ({"id": [[1, 2], [3, 4]]}, "expected one text or whole number a row"),
        ({"id": 5}, "expected one text or whole number a row"),
        ({"label": [0.0, np.nan]}, "subject column of type float64"),
    ],
)
def test_columns_that_do_not_fit_the_vectors_are_named(tmp_path, columns, found):
    np.savez(tmp_path / "a.npz", embedding=np.eye(2), **columns)
    with pytest.raises(InputError, match=found):
        read_embeddings(tmp_path / "a.npz")


def test_an_npz_without_vectors_says_what_it_holds(tmp_path):
    np.savez(tmp_path / "a.npz", weights=np.eye(2), bias=np.ones(2))
    with pytest.raises(InputError, match="holds weights, bias; expected the vectors under"):
        read_embeddings(tmp_path / "a.npz")


def test_a_damaged_or_misnamed_archive_is_refused(tmp_path):
    np.savez(tmp_path / "good.npz", embedding=np.ones((50, 8)))
    whole = (tmp_path / "good.npz").read_bytes()
    (tmp_path / "a.npy").write_bytes(whole)
    with pytest.raises(InputError, match=r"is an \.npz, though its name says \.npy"):
        read_embeddings(tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", np.eye(2))
    (tmp_path / "b.npy").rename(tmp_path / "b.npz")
    (tmp_path / "cut.npz").write_bytes(whole[:-40])
    (tmp_path / "flip.npz").write_bytes(whole.replace(np.ones(9).tobytes(), b"\xff" * 72, 1))
    with zipfile.ZipFile(tmp_path / "text.npz", "w") as archive:
        archive.writestr("embedding.npy", "no array")
    for name in ("b.npz", "cut.npz", "flip.npz", "text.npz"):
        with pytest.raises(InputError, match=rf"{name}: "):
            read_embeddings(tmp_path / name)
