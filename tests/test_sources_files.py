"""Folders, patterns and lists: which images, under which ids, and what was left out."""

from __future__ import annotations

import gzip
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from damcli.errors import InputError
from damcli.sources.opening import open_source
from tests.images import picture, png, save


def ids(source) -> list[str]:
    return [source.id_of(row) for row in range(len(source))]


def subjects(source) -> list[str | None]:
    return [source.read(row).subject for row in range(len(source))]


def listed(tmp_path: Path, text: str, name: str = "list.csv", **how):
    (tmp_path / name).write_text(text)
    return open_source(str(tmp_path / name), **how)


def test_a_folder_tree_in_order_with_subjects(tmp_path):
    for seed, name in enumerate(["b/2.png", "b/10.PNG", "a/deep/er/x.Jpg", "a/é, 写真.webp"]):
        save(tmp_path / name, seed)
    source = open_source(str(tmp_path))
    assert ids(source) == ["a/deep/er/x.Jpg", "a/é, 写真.webp", "b/10.PNG", "b/2.png"]
    assert subjects(source) == ["a", "a", "b", "b"]
    assert source.has_subjects
    assert source.group_names == source.notes == ()
    assert source.origin == str(tmp_path)
    assert source.place_of(3) == str(tmp_path / "b/2.png")
    np.testing.assert_array_equal(source.read(3).image, picture(0))


def test_images_directly_in_a_folder_have_no_subjects(tmp_path):
    save(tmp_path / "b.png"), save(tmp_path / "a.png")
    source = open_source(str(tmp_path))
    assert ids(source) == ["a.png", "b.png"]
    assert not source.has_subjects
    assert subjects(source) == [None, None]
    assert source.notes == ()
    save(tmp_path / "p/c.png")
    mixed = open_source(str(tmp_path))
    assert not mixed.has_subjects
    assert subjects(mixed) == [None] * 3
    assert mixed.notes == ("no subjects: 2 of 3 images lie in no folder, such as a.png",)


def test_one_folder_that_holds_all_is_told(tmp_path):
    save(tmp_path / "images/a.png"), save(tmp_path / "images/b.png")
    (note,) = open_source(str(tmp_path)).notes
    assert note == "one subject: all images lie in the folder 'images'"


def test_what_is_left_out_is_counted_and_named(tmp_path):
    save(tmp_path / "p/a.png"), save(tmp_path / "q/a.png")
    save(tmp_path / "p/.hidden.png"), save(tmp_path / ".cache/a.png")
    for number in range(5):
        (tmp_path / f"q/{number}.txt").write_text("no image")
    source = open_source(str(tmp_path))
    assert ids(source) == ["p/a.png", "q/a.png"]
    assert source.notes == (
        "2 left out, hidden: .cache/, p/.hidden.png",
        "5 left out, not images by their suffix: q/0.txt, q/1.txt, q/2.txt, …",
    )


def test_links_are_followed_but_no_loop(tmp_path):
    save(tmp_path / "far/x/1.png")
    save(tmp_path / "near/a/1.png"), save(tmp_path / "near/b/1.png")
    (tmp_path / "near/linked").symlink_to(tmp_path / "far/x")
    (tmp_path / "near/a/up").symlink_to(tmp_path / "near")
    (tmp_path / "near/b/across").symlink_to(tmp_path / "near/a")
    source = open_source(str(tmp_path / "near"))
    assert ids(source) == ["a/1.png", "b/1.png", "b/across/1.png", "linked/1.png"]
    assert source.notes == ("2 left out, links to a folder that they lie in: a/up/, b/across/up/",)


def test_a_name_that_is_not_utf8_is_left_out(tmp_path):
    save(tmp_path / "p/a.png")
    odd = os.fsencode(tmp_path) + b"/p/caf\xe9.png"
    try:
        Path(os.fsdecode(odd)).write_bytes(png())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    source = open_source(str(tmp_path))
    assert ids(source) == ["p/a.png"]
    assert source.notes[0] == r"1 left out, of a name that is not UTF-8: p/caf\udce9.png"


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    with pytest.raises(InputError, match="no image") as caught:
        open_source(str(tmp_path))
    assert ".webp" in caught.value.hint
    (tmp_path / "train.rec").write_bytes(b"")
    with pytest.raises(InputError, match=r"1 left out, .*: train\.rec") as caught:
        open_source(str(tmp_path))
    assert caught.value.hint == f"give the packed file: {tmp_path / 'train.rec'}"


def test_a_pattern(tmp_path):
    for name in ("set/p/x/1.png", "set/p/2.png", "set/q/1.png", "set/0.png", "set/q/n.txt"):
        save(tmp_path / name)
    every = open_source(f"{tmp_path}/set/**/*.png")
    assert ids(every) == ["0.png", "p/2.png", "p/x/1.png", "q/1.png"]
    assert not every.has_subjects
    below = open_source(f"{tmp_path}/set/*/*")
    assert ids(below) == ["p/2.png", "q/1.png"]
    assert subjects(below) == ["p", "q"]
    assert below.notes == ("1 left out, not images by their suffix: q/n.txt",)
    flat = open_source(f"{tmp_path}/set/p/[0-9].png")
    assert ids(flat) == ["2.png"]
    assert flat.place_of(0) == str(tmp_path / "set/p/2.png")
    with pytest.raises(InputError, match="no image"):
        open_source(f"{tmp_path}/set/*.jpg")


def test_a_relative_pattern_and_a_name_with_brackets(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Path("p/1.png")), save(Path("[p]/3.png"))
    assert ids(open_source("*/*.png")) == ["[p]/3.png", "p/1.png"]
    assert ids(open_source("[p]")) == ["3.png"]


def test_one_image(tmp_path):
    source = open_source(str(save(tmp_path / "face.png", 4)))
    assert ids(source) == ["face.png"]
    assert not source.has_subjects
    np.testing.assert_array_equal(source.read(0).image, picture(4))


@pytest.mark.parametrize(
    ("text", "wanted_ids", "wanted_subjects"),
    [
        ("p/1.png\nq/2.png\n", ["p/1.png", "q/2.png"], None),
        ("p/1.png,one\nq/2.png,two\n", ["one", "two"], None),
        ("p/1.png,one,P\nq/2.png,two,Q\n", ["one", "two"], ["P", "Q"]),
        ("\ufeffsubject,path\r\nP,p/1.png\r\nQ,q/2.png\r\n", ["p/1.png", "q/2.png"], ["P", "Q"]),
        ("p/1.png\tone\tP\n\nq/2.png\ttwo\tQ", ["one", "two"], ["P", "Q"]),
        ('\n\nimage,label\n"p/1.png","Doe, Jane"\nq/2.png, Q\n', None, ["Doe, Jane", "Q"]),
    ],
)
@pytest.mark.parametrize("name", ["list.csv", "list.txt", "list.LST", "list.csv.gz", "l.txt.zst"])
def test_lists(tmp_path, text, wanted_ids, wanted_subjects, name):
    save(tmp_path / "p/1.png", 1), save(tmp_path / "q/2.png", 2)
    with pa.output_stream(tmp_path / name, compression="detect") as file:
        file.write(text.encode())
    source = open_source(str(tmp_path / name))
    assert ids(source) == (wanted_ids or ["p/1.png", "q/2.png"])
    assert source.has_subjects == (wanted_subjects is not None)
    assert subjects(source) == (wanted_subjects or [None, None])
    assert source.place_of(1) == str(tmp_path / "q/2.png")
    np.testing.assert_array_equal(source.read(1).image, picture(2))


def test_a_list_with_groups(tmp_path):
    save(tmp_path / "1.png")
    source = listed(tmp_path, "race,path,subject,Age\nX,1.png,P,30\n")
    assert source.group_names == ("race", "Age")
    assert source.read(0).groups == {"race": "X", "Age": "30"}


def test_a_tsv_keeps_commas_and_a_list_of_paths_keeps_spaces(tmp_path):
    save(tmp_path / "a, b.png"), save(tmp_path / "a b.png")
    assert ids(listed(tmp_path, "a, b.png\n", "l.tsv")) == ["a, b.png"]
    spaced = listed(tmp_path, "a b.png\n", "l.txt")
    assert ids(spaced) == ["a b.png"]
    assert spaced.read(0).image.shape == (12, 10, 3)


def test_paths_are_relative_to_a_root_or_absolute(tmp_path):
    save(tmp_path / "elsewhere/1.png", 1), save(tmp_path / "2.png", 2)
    text = f"elsewhere/1.png\n{tmp_path}/2.png\nelsewhere/../2.png\n"
    (tmp_path / "lists").mkdir()
    source = listed(tmp_path, text, "lists/l.csv", root=tmp_path)
    assert ids(source) == text.split()
    assert source.place_of(2) == str(tmp_path / "2.png")
    for row, seed in enumerate([1, 2, 2]):
        np.testing.assert_array_equal(source.read(row).image, picture(seed))


def test_paths_on_stdin(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save(Path("1.png"), 1)
    source = open_source("-", listed=iter(["1.png\n", "\n", "gone.png\n"]))
    assert source.origin == "stdin"
    assert ids(source) == ["1.png", "gone.png"]
    np.testing.assert_array_equal(source.read(0).image, picture(1))
    assert open_source("-", listed=["1.png"], root=Path("..")).place_of(0) == "../1.png"
    for nothing in ([], ["\n"], None):
        with pytest.raises(InputError, match="stdin: names no image"):
            open_source("-", listed=nothing)


def test_a_missing_or_broken_file_shows_when_it_is_read(tmp_path):
    save(tmp_path / "good.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    source = listed(tmp_path, "gone.png\nempty.png\nfolder.png\ngood.png\n")
    for row, found in enumerate(["no such file", "is empty", "Is a directory"]):
        with pytest.raises(InputError, match=found) as caught:
            source.read(row)
        assert str(caught.value).startswith(f"{source.place_of(row)}: ")
    assert source.read(3).image.shape == (12, 10, 3)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "names no image"),
        ("path,subject\n", "names no image"),
        ("a.png,1\nb.png\n", r"row 2: 1 column \('b\.png'\); expected 2"),
        ("path,id\na.png,\n", "row 2: an empty id"),
        ("path,subject\na.png,\n", "row 2: an empty subject"),
        ("a.png,1\n,2\n", "row 2: an empty path"),
        ("a.png\nb.png\na.png\n", r"row 3: 'a\.png' stands in row 1 already"),
        (
            "a.png,x\nb.png,y\nc.png,x\n",
            r"row 3: id 'x' of c\.png was already given to a\.png in row 1",
        ),
        ("a.png,1,P,X\n", r"row 1: 'a\.png, 1, P, X' without a header"),
        ("0\t17.0\ta.png\n", r"row 1: '0, 17\.0, a\.png' without a header"),
        ("a.png 17\nb.png 17\n", r"row 1: 'a\.png 17' has columns separated by spaces"),
        ("image;subject\na.png;P\n", r"row 1: 'image;subject' has columns separated by semicolons"),
        ("a.png;P\nb.png;Q\n", r"row 1: 'a\.png;P' has columns separated by semicolons"),
        ("path,x,x\na.png,1,2\n", "row 1: columns path, x, x; expected each name once"),
        ('"a.png\n', "is no well-formed list"),
    ],
)
def test_bad_lists_are_named_by_row(tmp_path, text, found):
    with pytest.raises(InputError, match=found) as caught:
        listed(tmp_path, text)
    assert str(caught.value).startswith(str(tmp_path / "list.csv"))


def test_unreadable_lists(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"caf\xe9.png\n")
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"a.png\n" * 999)[:-9])
    (tmp_path / "c.csv.gz").write_bytes(b"a.png\n")
    for name, found in {
        "a.csv": ", row 1: is not UTF-8: byte 0xe9 after 'caf'",
        "b.csv.gz": ": cannot be read",
        "c.csv.gz": ": cannot be read",
    }.items():
        with pytest.raises(InputError, match=name + found):
            open_source(str(tmp_path / name))


def test_unknown_sources(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        open_source(str(tmp_path / "gone"))
    (tmp_path / "a.parquet").touch()
    with pytest.raises(InputError, match=r"unknown kind of source '\.parquet'"):
        open_source(str(tmp_path / "a.parquet"))
    with pytest.raises(InputError, match="is no list, so a root"):
        open_source(str(tmp_path), root=tmp_path)


def test_threads_may_read_at_once(tmp_path):
    for seed in range(30):
        save(tmp_path / f"p/{seed:02d}.png", seed)
    source = open_source(str(tmp_path))
    with ThreadPoolExecutor(8) as pool:
        for seed, sample in enumerate(pool.map(source.read, range(30))):
            np.testing.assert_array_equal(sample.image, picture(seed))
