from __future__ import annotations

import csv
import io
import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from damcli.storage.files import read_embeddings
from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed
from tests.faces import anchors, faces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_embeddings(tmp_path / "emb.h5", faces(8, 3))
    return tmp_path


@pytest.mark.parametrize("name", ["e.npz", "e.parquet", "e.npy", "e.h5"])
def test_there_and_back_keeps_ids_subjects_and_vectors(folder: Path, name: str) -> None:
    assert damcli("convert", folder / "emb.h5", "-o", folder / name).code == 0
    assert damcli("convert", folder / name, "-o", folder / "back.h5").code == 0
    before, after = read_embeddings(folder / "emb.h5"), read_embeddings(folder / "back.h5")
    assert after.ids.tolist() == before.ids.tolist()
    assert after.subjects.tolist() == before.subjects.tolist()
    assert np.allclose(after.vectors, before.vectors, atol=1e-7)


def test_bad_rows_are_dropped_counted_and_named(folder: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(5, 4))
    vectors[1], vectors[3, 2] = 0, np.nan
    np.savez(folder / "x.npz", embedding=vectors, id=np.array(["a", "b", "c", "d", "a"]))
    failed(damcli("convert", folder / "x.npz", "-o", folder / "y.h5"), "x.npz")
    done = damcli(
        *("convert", folder / "x.npz", "-o", folder / "y.h5"),
        *("--drop-invalid", "--drop-duplicates"),
    )
    assert "2 rows without a direction left out: 'b' (row 2), 'd' (row 4)" in done.err
    assert "1 rows of an id that came before left out: 'a' (row 5)" in done.err
    assert read_embeddings(folder / "y.h5").ids.tolist() == ["a", "c"]


def test_subjects_from_ids(folder: Path) -> None:
    np.savez(folder / "x.npz", embedding=np.eye(3), id=np.array(["ann/1", "ann/2", "bob/1"]))
    command = ("convert", folder / "x.npz", "-o", folder / "y.h5", "--subject-from-id")
    assert damcli(*command, "^([^/]+)/").code == 0
    assert read_embeddings(folder / "y.h5").subjects.tolist() == ["ann", "ann", "bob"]
    failed(damcli(*command, "^(a[^/]+)/", "--force"), "x.npz, row 3: id 'bob/1' does not match")
    assert damcli(*command, "^a", "--force").code == 2
    assert damcli(*command, "(", "--force").code == 2


def test_info_tells_what_a_file_is_and_what_is_wrong_with_it(folder: Path) -> None:
    write_embeddings(folder / "anchors.h5", anchors())
    about = json.loads(damcli("info", folder / "anchors.h5", "--json").out)
    assert about["format"] == "damcli/anchors"
    assert (about["embeddings"], about["dim"], about["subjects"]) == (40, 16, 40)
    assert about["attributes"]["kind"] == "real-db"
    np.savez(
        folder / "x.npz",
        embedding=np.array([[1, 0], [0, 0], [0, 1.0]]),
        id=np.array(["a", "b", "a"]),
    )
    found = json.loads(damcli("info", folder / "x.npz", "--json").out)
    assert (found["invalid_rows"], found["duplicate_ids"]) == ([2], ["a"])
    text = damcli("info", folder / "emb.h5").out
    assert "damcli/embeddings" in text
    assert "min 3, median 3, max 3" in text


def pair_rows(text: str) -> list[tuple[str, str, str]]:
    return [tuple(row.values()) for row in csv.DictReader(io.StringIO(text))]  # type: ignore[misc]


def test_all_pairs_of_the_subjects(folder: Path) -> None:
    people = faces(8, 3)
    rows = pair_rows(damcli("pairs", folder / "emb.h5", "--all", "-o", "-").out)
    expected = {
        (people.ids[a], people.ids[b], str(int(people.subjects[a] == people.subjects[b])))
        for a, b in itertools.combinations(range(len(people)), 2)
    }
    assert len(rows) == len(expected)
    assert set(rows) == expected


@pytest.mark.parametrize(("impostor", "expected"), [("100", 100), ("250", 250), ("all", 252)])
def test_drawn_pairs_do_not_repeat(folder: Path, impostor: str, expected: int) -> None:
    command = ("pairs", folder / "emb.h5", "--genuine", "10", "--impostor", impostor, "-o", "-")
    done = damcli(*command, "--seed", "3")
    rows = pair_rows(done.out)
    assert done.out == damcli(*command, "--seed", "3").out
    assert len({row[:2] for row in rows}) == len(rows) == 10 + expected
    for probe, reference, label in rows:
        assert (probe.split("/")[0] == reference.split("/")[0]) == (label == "1")


def test_more_pairs_than_there_are(folder: Path) -> None:
    done = damcli(
        *("pairs", folder / "emb.h5", "--genuine", "99", "--impostor", "0"),
        *("-o", folder / "p.csv"),
    )
    failed(done, "99 genuine pairs asked for, but the subjects make only 24")
    assert not (folder / "p.csv").exists()


@pytest.mark.parametrize(
    "options",
    [(), ("--all", "--genuine", "1"), ("--genuine", "1"), ("--genuine", "x", "--impostor", "1")],
)
def test_pairs_usage(folder: Path, options: tuple[str, ...]) -> None:
    assert damcli("pairs", folder / "emb.h5", "-o", folder / "p.csv", *options).code == 2


@pytest.mark.parametrize("name", ["z.h5", "z.npz", "z.parquet", "z.npy", "half.h5"])
def test_a_converted_row_is_still_known_among_its_anchors(folder: Path, name: str) -> None:
    vectors = faces(8, 3).vectors.copy()
    vectors[0] = 0
    np.save(folder / "n.npy", vectors)
    options = ("--drop-invalid", *(("--dtype", "float16") if name == "half.h5" else ()))
    assert damcli("convert", folder / "n.npy", "-o", folder / name, *options).code == 0
    assert read_embeddings(folder / name).ids.tolist() == [str(row) for row in range(1, 24)]
    vectors[0] = 1
    np.save(folder / "n.npy", vectors)
    built = damcli(
        *("build-anchors", folder / "n.npy", "-o", folder / "a.h5", "--per-subject", "all")
    )
    assert built.code == 0, built.err
    (folder / "p.csv").write_text("1,2,1\n5,9,0\n")
    done = damcli("score", folder / "p.csv", "-e", folder / name, "-a", folder / "a.h5")
    failed(done, "4 ids stand among the anchors", "--allow-overlap")


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("x.npy", "norms, 1 groups (set), 1 attributes (model_name)"),
        ("x.npz", "1 attributes (model_name)"),
        ("x.PARQUET", "1 attributes (model_name)"),
        ("x.vectors.H5", "8 subjects, norms, 1 groups (set), 1 attributes (model_name)"),
        ("x.H5", None),
    ],
)
def test_what_a_layout_cannot_hold_is_named(folder: Path, name: str, lost: str | None) -> None:
    people = faces(8, 3)
    rich = replace(people, groups={"set": people.subjects}, attributes={"model_name": "m"})
    write_embeddings(folder / "rich.h5", rich)
    done = damcli("convert", folder / "rich.h5", "-o", folder / name, "--quiet")
    assert done.code == 0
    expected = f"warning: {folder / name} has no place for {lost}: left out\n" if lost else ""
    assert done.err == expected
    assert read_embeddings(folder / name).ids.tolist() == people.ids.tolist()


def test_an_unknown_layout_is_refused_before_the_source_is_read(folder: Path) -> None:
    failed(
        damcli("convert", folder / "not there.h5", "-o", folder / "x.txt"),
        "x.txt: unknown kind of file '.txt'; expected .h5",
    )
