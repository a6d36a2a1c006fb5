"""Which images make up which template: what lists say, and what is wrong with some."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import damcli
from damcli.errors import InputError
from damcli.protocols.templates import TemplateList, weighted
from damcli.storage.embeddings import Embeddings

FIVE = [("2", "7", "a.jpg"), ("2", "7", "b.jpg"), ("1", "7", "c.jpg"), ("1", "9", "a.jpg")]


def rows_of(found: TemplateList) -> list[tuple[str, int, str]]:
    """Give the rows back; media by the row in which each first stands."""
    media = [int(np.flatnonzero(found.media == medium)[0]) for medium in found.media]
    return list(zip(found.templates.values, media, found.images.values, strict=True))


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


EXPECTED = [("2", 0, "a.jpg"), ("2", 0, "b.jpg"), ("1", 2, "c.jpg"), ("1", 3, "a.jpg")]


def test_the_layouts_say_the_same(tmp_path: Path) -> None:
    comma = "".join(f"{t},{m},{i}\n" for t, m, i in FIVE)
    ijb = "".join(f"{i} {t} {m}\n" for t, m, i in FIVE)
    header = "id,note,media_id,template_id\n" + "".join(f"{i},x,{m},{t}\n" for t, m, i in FIVE)
    paths = [
        written(tmp_path / "a.csv", comma),
        written(tmp_path / "a.tsv", comma.replace(",", "\t")),
        written(tmp_path / "ijbc_face_tid_mid.txt", ijb),
        written(tmp_path / "header.csv", header),
        tmp_path / "a.csv.gz",
        tmp_path / "a.parquet",
    ]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(comma.encode()))
    columns = dict(zip(("template_id", "media_id", "id"), zip(*FIVE, strict=True), strict=True))
    numbers = {
        name: pa.array([int(cell) for cell in column] if name != "id" else column)
        for name, column in columns.items()
    }
    pq.write_table(pa.table(numbers), tmp_path / "a.parquet")
    for path in paths:
        found = damcli.read_templates(path)
        assert rows_of(found) == EXPECTED, path
        assert found.weights is None
    assert list(damcli.read_templates(tmp_path / "header.csv").groups["note"]) == ["x", "x"]


def test_a_list_without_media_has_one_an_image(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", "template,image\nt,a\nt,b\n")
    assert rows_of(damcli.read_templates(path)) == [("t", 0, "a"), ("t", 1, "b")]


def test_weights_and_what_is_said_of_templates(tmp_path: Path) -> None:
    text = "template_id,media_id,id,weight,subject_id,site\n"
    text += "t,1,a,0.5,Ann,north\n\nt,1,b,1,Ann,north\nu,1,a,0,Bob,south\n"
    found = damcli.read_templates(written(tmp_path / "a.csv", text))
    assert found.weights is not None
    assert list(found.weights) == [0.5, 1, 0]
    assert found.weighted_by == "column weight"
    assert found.subjects is not None
    assert list(found.subjects) == ["Ann", "Bob"]
    assert {name: list(column) for name, column in found.groups.items()} == {
        "site": ["north", "south"]
    }
    assert list(found.lines) == [2, 4, 5]
    by_place = damcli.read_templates(written(tmp_path / "b.csv", "t,1,a,.5\nt,1,b,2\n"))
    assert by_place.weights is not None
    assert list(by_place.weights) == [0.5, 2]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=30))
def test_media_are_those_of_their_template(pairs: list[tuple[int, int]]) -> None:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory() as folder:
        text = "".join(f"{t},{m},{i}.jpg\n" for i, (t, m) in enumerate(pairs))
        found = damcli.read_templates(written(Path(folder) / "a.csv", text))
    for one, mine in zip(pairs, found.media, strict=True):
        for other, theirs in zip(pairs, found.media, strict=True):
            assert (one == other) == (mine == theirs)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty; expected rows template_id,media_id,id"),
        ("template_id,media_id,id\n", "holds a header but no rows"),
        ("t,a\n", "row 1: 2 columns ('t a'); expected template_id,media_id,id[,weight]"),
        ("t,1,a,1,x\n", "row 1: 5 columns"),
        ("t,1,a\nt,1\n", "row 2: 2 columns"),
        ("t,1,a\nt,,b\n", "row 2: an empty media"),
        ("t,1,a\n,1,b\n", "row 2: an empty template"),
        ("template_id,id,subject\nt,a,Ann\nt,b,\n", "row 3: an empty subject"),
        ("t,1,a\nu,1,a\nt,1,a\n", "row 3: 'a' stands in that medium of template 't' already, in"),
        ("t,1,a,1\nt,1,b,-1\n", "row 2: weight '-1'; expected a number not below 0"),
        ("t,1,a,1\nt,1,b,nan\n", "row 2: weight 'nan'"),
        ("t,1,a,heavy\n", "row 1: weight 'heavy'"),
        ("template_id,id,id\nt,a,b\n", "two columns named 'id'"),
        (
            "template_id,id,site\nt,a,north\nu,a,south\nt,b,south\n",
            "row 4: site 'south' for template 't', which has 'north' above; expected one site",
        ),
        (
            "template_id,id,subject\nt,a,Ann\nt,b,Bob\n",
            "row 3: subject 'Bob' for template 't', which has 'Ann' above",
        ),
    ],
)
def test_what_is_wrong_is_named(text: str, said: str, tmp_path: Path) -> None:
    path = written(tmp_path / "list.csv", text)
    with pytest.raises(InputError) as caught:
        damcli.read_templates(path)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(path))


def test_no_file_no_list(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        damcli.read_templates(tmp_path / "none.csv")
    with pytest.raises(InputError, match="is a folder; expected a file of rows template_id"):
        damcli.read_templates(tmp_path)


def test_scores_become_weights(tmp_path: Path) -> None:
    listed = damcli.read_templates(written(tmp_path / "a.csv", "t,1,b\nt,1,a\nu,1,b\n"))
    found = weighted(listed, [0.25, 0.5], "scores.txt")
    assert found.weights is not None
    assert list(found.weights) == [0.25, 0.5, 0.25]
    with pytest.raises(InputError, match=r"scores\.txt: no score for 'a', .*a\.csv, row 2"):
        weighted(listed, [0.25, None], "scores.txt")
    with pytest.raises(InputError, match="the score -1 for 'b'"):
        weighted(listed, [-1, 0], "scores.txt")
    with pytest.raises(InputError, match="has weights of its own, detector scores; expected none"):
        weighted(found, [1, 1], "scores.txt")


def test_templates_of_the_embeddings_themselves() -> None:
    frames = Embeddings.from_arrays(np.eye(3), ["A/1/x.jpg", "A/2/x.jpg", "A/1/y.jpg"])
    videos = damcli.templates_by(frames, "video")
    assert rows_of(videos) == [
        ("A/1", 0, "A/1/x.jpg"),
        ("A/2", 1, "A/2/x.jpg"),
        ("A/1", 0, "A/1/y.jpg"),
    ]
    flat = Embeddings.from_arrays(np.eye(2), ["A/x.jpg", "y.jpg"])
    with pytest.raises(InputError, match=r"row 2: id 'y\.jpg' has no folder; expected those of f"):
        damcli.templates_by(flat, "video")
    with pytest.raises(InputError, match="does not say who is who; expected subjects"):
        damcli.templates_by(flat, "subject")


def test_a_list_of_pairs_is_no_list_of_templates(tmp_path: Path) -> None:
    path = written(tmp_path / "pairs.csv", "probe_id,reference_id,label\na.jpg,b.jpg,1\n")
    with pytest.raises(InputError, match=r"pairs\.csv, row 1: is a list of pairs") as caught:
        damcli.read_templates(path)
    assert "damcli score" in str(caught.value.hint)
