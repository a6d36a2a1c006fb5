"""Lists of landmarks, in every layout in use, and what is wrong with others."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from damcli.errors import InputError, OutputError
from damcli.sources.alignment import ARCFACE_TEMPLATE
from damcli.sources.detection import write_landmarks
from damcli.sources.landmarks import Landmarks, read_landmarks

FACE = [30, 50, 70, 51, 50, 70, 35, 90, 66, 91]
PARTS = ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
NAMES = [f"{part}_{axis}" for part in PARTS for axis in "xy"]


def row(name: str, mark: str = ",", shift: int = 0, *more: object) -> str:
    return mark.join(map(str, [name, *(number + shift for number in FACE), *more])) + "\n"


def read(tmp_path, text: str, name: str = "l.csv") -> Landmarks:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return read_landmarks(tmp_path / name)


@pytest.mark.parametrize(
    "head",
    [
        "",
        "id,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n",
        f"\ufeffimage_id,{','.join(NAMES)}\n",
        "File,leftEye_x,leftEye_y,rightEye_x,rightEye_y,Nose_x,Nose_y,"
        "mouth_left_x,mouth_left_y,mouth_right_x,mouth_right_y\n",
    ],
)
def test_csv(tmp_path, head):
    found = read(tmp_path, head + row("a/1.jpg") + "\n" + row('"b, c"', ",", 1))
    assert found.ids == ["a/1.jpg", "b, c"]
    np.testing.assert_array_equal(found.points[0].ravel(), FACE)
    np.testing.assert_array_equal(found.of("b, c").ravel(), np.add(FACE, 1))
    assert found.points.shape == (2, 5, 2)
    assert found.scores is None


def test_named_columns_may_stand_in_any_order(tmp_path):
    columns = dict(zip(NAMES, FACE, strict=True)) | {"extra": "?", "id": "a", "score": 0.75}
    names = sorted(columns)
    found = read(tmp_path, ",".join(names) + "\n" + ",".join(str(columns[n]) for n in names))
    np.testing.assert_array_equal(found.of("a").ravel(), FACE)
    assert found.scores.tolist() == [0.75]


def test_the_list_of_celeba(tmp_path):
    text = "2\n" + " ".join(NAMES) + " \n" + row("1.jpg", "   ") + row("2.jpg", " ", 1)
    found = read(tmp_path, text, "list_landmarks_align_celeba.txt")
    assert found.ids == ["1.jpg", "2.jpg"]
    np.testing.assert_array_equal(found.points[1].ravel(), np.add(FACE, 1))


def test_the_list_of_ijb(tmp_path):
    text = row("1.jpg", " ", 0, 0.99991) + row("2.jpg", " ", 1, 0.5)
    found = read(tmp_path, text, "ijbc_name_5pts_score.txt")
    assert found.ids == ["1.jpg", "2.jpg"]
    np.testing.assert_allclose(found.scores, [0.99991, 0.5])
    (tmp_path / "l.txt.gz").write_bytes(gzip.compress(text.encode()))
    np.testing.assert_array_equal(read_landmarks(tmp_path / "l.txt.gz").points, found.points)


def of_ids(*ids: str) -> Landmarks:
    return Landmarks("l.csv", ids, np.zeros((len(ids), 5, 2), np.float32))


def test_ids_first_then_file_names_that_are_unique():
    found = of_ids("p/1.jpg", "q/1.jpg", "r/2.jpg", "3.jpg", "1.jpg")
    assert found.row_of("q/1.jpg") == 1
    assert found.row_of("1.jpg") == 4
    assert found.row_of("other/1.jpg") is None
    assert found.row_of("any/where/2.jpg") == 2
    assert found.row_of("x/3.jpg") == 3
    assert found.row_of("3.png") is None
    assert of_ids("a/1", "b/1", "c/1").row_of("1") is None


def test_one_row_is_not_given_to_two_images():
    found = of_ids("1.jpg", "2.jpg")
    found.check(["p/1.jpg", "q/2.jpg", "q/3.jpg"])
    with pytest.raises(InputError, match=r"'1\.jpg' fits two images .* 'p/1\.jpg' and 'q/1\.jpg'"):
        found.check(["p/1.jpg", "q/1.jpg"])
    with pytest.raises(InputError, match=r"none of its 2 ids, such as '1\.jpg', is that of"):
        found.check(["p/1.png"])


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "is empty; expected five landmarks"),
        ("2\n", "is empty"),
        ("id,x1,y1,x2,y2,x3,y3,x4,y4,x5,y5\n", "holds no row"),
        ("id,x1,y1\na,1,2\n", "row 1: columns id, x1, y1; expected id,x1,y1,"),
        ("a,1,2\n", "row 1: 3 columns; expected 11 or 12"),
        (row("a") + "b,1,2\n", "row 2: 3 columns; expected 11"),
        (row("a") + row("b").replace("70", "?", 1), r"row 2: '\?'; expected a number of pixels"),
        (row("a").replace("70", "nan", 1), "row 1: 'nan'; expected a number"),
        (row("a").replace("70", "1e30", 1), "row 1: '1e30'; expected a number"),
        (row("a") + row("b") + row("a"), "row 3: id 'a' stands in row 1 already"),
        (row("a") + row(""), "row 2: an empty id"),
        (row('"a'), "is no well-formed CSV"),
    ],
)
def test_bad_lists_are_named_by_row(tmp_path, text, found):
    with pytest.raises(InputError, match=found) as caught:
        read(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "l.csv"))
    with pytest.raises(InputError, match="no such file"):
        read_landmarks(tmp_path / "gone.csv")


@pytest.mark.parametrize("angle", [0, 1.5, 3])
def test_swapped_sides_are_noticed_however_the_faces_are_turned(tmp_path, angle):
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    faces = np.repeat((ARCFACE_TEMPLATE @ turn)[None], 5, axis=0)
    swapped = faces[:, [1, 0, 2, 4, 3]]
    faces[:2] = swapped[:2]
    write_landmarks(tmp_path / "l.csv", list("abcde"), faces)
    assert len(read_landmarks(tmp_path / "l.csv")) == 5
    write_landmarks(tmp_path / "l.csv", list("abcde"), swapped, force=True)
    with pytest.raises(InputError, match="left and right look swapped in 5 of 5 rows"):
        read_landmarks(tmp_path / "l.csv")


IDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1)


@given(
    st.lists(IDS, min_size=1, max_size=5, unique=True),
    arrays(np.float32, (5, 2), elements=st.floats(-4, 4, width=32)),
)
@settings(deadline=None, max_examples=50)
def test_what_is_written_is_read_bit_by_bit(tmp_path_factory, ids, noise):
    faces = np.stack([(ARCFACE_TEMPLATE + noise + i) for i in range(len(ids))]).astype(np.float32)
    path = tmp_path_factory.mktemp("l") / "l.csv"
    write_landmarks(path, ids, faces)
    found = read_landmarks(path)
    assert found.ids == ids
    np.testing.assert_array_equal(found.points, faces)


def test_landmarks_are_not_written_over(tmp_path):
    (tmp_path / "l.csv").write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write_landmarks(tmp_path / "l.csv", ["a"], np.zeros((1, 5, 2)))
    assert (tmp_path / "l.csv").read_text() == "mine"
