"""Subjects become classes: in natural order, from every kind of source, nothing lost in silence."""

from __future__ import annotations

import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import InputError
from damcli.sources.opening import open_source
from damcli.training.classes import UNKNOWN, classes_of, natural
from tests.images import MAGIC, png, record, save, write_recordio
from tests.pictures import Pictures


def records(tmp_path: Path, labels) -> Path:
    made = {key: record(label, png(key)) for key, label in enumerate(labels)}
    return write_recordio(tmp_path / "train.rec", made)


def test_labels_with_gaps_become_numbers_in_natural_order(tmp_path):
    classes = classes_of(open_source(str(records(tmp_path, [10, 2.0, 10, 700, [2, 0.5], 4.5]))))
    assert classes.labels == ("2", "4.5", "10", "700")
    np.testing.assert_array_equal(classes.of_row, [2, 0, 2, 3, 0, 1])
    np.testing.assert_array_equal(classes.counts, [2, 1, 2, 1])
    assert classes.of_row.dtype == np.int64
    assert classes.notes == ("2 of 4 subjects with a single image",)


def test_a_folder_and_a_list_of_it_give_the_same_classes(tmp_path):
    names = ["s10/a.png", "s10/b.png", "s2/a.png", "s2/b.png"]
    for name in names:
        save(tmp_path / "faces" / name)
    rows = "".join(f"faces/{name},{name[:-6]}\n" for name in names)
    (tmp_path / "list.csv").write_text("path,subject\n" + rows)
    for source in (tmp_path / "faces", tmp_path / "list.csv"):
        classes = classes_of(open_source(str(source)))
        assert classes.labels == ("s2", "s10")
        np.testing.assert_array_equal(classes.of_row, [1, 1, 0, 0])
        assert classes.notes == ()


def test_subjects_of_arrays(tmp_path):
    pixels = np.zeros((3, 6, 5, 3), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=pixels, y=[7, 3, 7])
    assert classes_of(open_source(str(tmp_path / "a.npz"))).labels == ("3", "7")


def test_no_image_is_decoded():
    source = Pictures(broken=range(20))
    assert len(classes_of(source).labels) == 5
    assert source.read_names == []


def test_numbers_of_any_length_and_with_zeros_before_them_have_a_place():
    names = ["a10", "a9", "a09", "a", "b1", "9", "10", "a" + "1" * 9999, "a1b2", "a1b10", ""]
    assert sorted(names, key=natural) == [
        *("", "9", "10", "a", "a1b2", "a1b10", "a09", "a9", "a10"),
        *("a" + "1" * 9999, "b1"),
    ]


@given(st.lists(st.text("ab019 -.é²٣"), unique=True))
def test_every_order_of_the_names_sorts_to_one(names):
    turned = names[::-1]
    assert sorted(names, key=natural) == sorted(turned, key=natural)


@pytest.mark.parametrize(
    ("subjects", "found"),
    [
        (False, "pictures: does not say whom its images show; expected a subject for each"),
        (True, "pictures: all 1 images show one subject, '0'; expected two or more"),
    ],
)
def test_a_source_that_teaches_nothing(subjects, found):
    with pytest.raises(InputError) as caught:
        classes_of(Pictures(1, subjects=subjects))
    assert str(caught.value) == found
    assert "a folder of its own" in caught.value.hint


def test_pairs_have_no_subjects(tmp_path):
    import pickle

    (tmp_path / "lfw.bin").write_bytes(pickle.dumps(([png(0), png(1)], [True])))
    with pytest.raises(InputError, match=r"lfw\.bin: does not say whom"):
        classes_of(open_source(str(tmp_path / "lfw.bin")))


def damage(path: Path, key: int) -> None:
    """Write over the magic of a record."""
    offset = int(path.with_suffix(".idx").read_text().splitlines()[key].split()[1])
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(b"\0\0\0\0")


def test_records_of_which_the_label_is_broken_are_counted_and_named(tmp_path):
    path = records(tmp_path, [1, 1, 2, 2, 3, 3])
    damage(path, 2), damage(path, 4)
    classes = classes_of(open_source(str(path)))
    np.testing.assert_array_equal(classes.of_row, [0, 0, UNKNOWN, 1, UNKNOWN, 2])
    np.testing.assert_array_equal(classes.counts, [2, 1, 1])
    left_out, single = classes.notes
    assert left_out.startswith("2 left out, for it cannot be read whom they show; the first: ")
    assert "train.rec, record 2 (offset" in left_out
    assert single == "2 of 3 subjects with a single image"


def test_records_that_are_all_broken(tmp_path):
    path = records(tmp_path, [1, 1, 2])
    index = path.with_suffix(".idx")
    lines = index.read_text().splitlines()
    for line in lines:
        with path.open("r+b") as file:
            file.seek(int(line.split()[1]) + 8)
            file.write(b"\xff\xff\0\0")  # how many labels the record says it has
    # from key 1 on, for record 0 is looked at on opening
    index.write_text(index.read_text().replace("0\t", "7\t", 1))
    with pytest.raises(InputError, match=r"of none of its 3 images .*; the first: .*record 1 "):
        classes_of(open_source(str(path)))


LABELS = st.floats(width=32) | st.just(struct.unpack("<f", MAGIC)[0])


@given(
    st.lists(LABELS | st.lists(LABELS, min_size=1, max_size=3), min_size=1, max_size=9),
    st.sampled_from([b"", b"abc", MAGIC * 2]),
)
@settings(deadline=None, max_examples=60)
def test_a_label_is_what_the_whole_record_says_it_is(labels, image):
    made = {key: record(label, image, key=0x23D7CE) for key, label in enumerate(labels, start=1)}
    with tempfile.TemporaryDirectory() as folder:
        source = open_source(str(write_recordio(Path(folder) / "a.rec", made)))
        for row, label in enumerate(labels):
            first = label if isinstance(label, float) else label[0]
            wanted = str(int(first)) if first.is_integer() else str(first)
            assert source.subject_of(row) == wanted
