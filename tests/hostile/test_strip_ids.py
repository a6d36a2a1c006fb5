"""Anchors that name no one: by their file, and by what scoring makes of it."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from damcli.storage.files import read_anchors
from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed
from tests.faces import faces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    training = faces(30, 2, seed=1, prefix="Ada-Lovelace-")
    training.groups["race"] = training.subjects  # type: ignore[index]
    write_embeddings(tmp_path / "training.h5", training)
    write_embeddings(tmp_path / "emb.h5", faces(8, 2))
    return tmp_path


def build(folder: Path, *options: object, name: str = "anchors.h5", source: str = "training.h5"):
    out = folder / name
    return damcli("build-anchors", folder / source, "-o", out, "--kind", "real-db", *options)


def scores(folder: Path, anchors: str, *options: object) -> bytes:
    output = folder / f"{anchors}.csv"
    sides = ["-e", folder / "emb.h5", "-a", folder / anchors, "-o", output]
    done = damcli("score", "--all-pairs", *sides, *options)
    assert done.code == 0, done.err
    return output.read_bytes()


def test_the_file_names_no_one_and_scores_the_same(folder: Path) -> None:
    assert build(folder, name="named.h5").code == 0
    done = build(folder, "--strip-ids")
    assert done.code == 0
    assert "warning: " in done.err
    assert "no anchor of a scored person can be told" in done.err
    assert b"Ada" in (folder / "named.h5").read_bytes()
    assert b"Ada" not in (folder / "anchors.h5").read_bytes()
    named, nameless = read_anchors(folder / "named.h5"), read_anchors(folder / "anchors.h5")
    np.testing.assert_array_equal(named.vectors, nameless.vectors)
    with h5py.File(folder / "anchors.h5") as file:
        assert {"subject", "group"}.isdisjoint(file)
        assert list(file["id"].asstr()) == [str(row) for row in range(30)]
    assert scores(folder, "named.h5") == scores(folder, "anchors.h5")


def test_numbers_in_the_place_of_ids_are_compared_with_none(folder: Path) -> None:
    own = faces(8, 2)
    numbered = type(own).from_arrays(own.vectors, [str(row) for row in range(16)], own.subjects)
    write_embeddings(folder / "emb.h5", numbered, force=True)
    assert build(folder, "--strip-ids").code == 0
    first = scores(folder, "anchors.h5")
    write_embeddings(folder / "emb.h5", own, force=True)
    second = scores(folder, "anchors.h5", "--force")
    assert [row.split(b",")[4:] for row in first.splitlines()] == [
        row.split(b",")[4:] for row in second.splitlines()
    ]


def test_scoring_warns_and_an_overlap_cannot_be_seen(folder: Path) -> None:
    assert build(folder, source="emb.h5", name="own.h5").code == 0
    sides = ["score", "--all-pairs", "-e", folder / "emb.h5", "-o", folder / "s.csv", "-q"]
    failed(damcli(*sides, "-a", folder / "own.h5"), "stand among the anchors")
    assert build(folder, "--strip-ids", source="emb.h5", name="none.h5").code == 0
    done = damcli(*sides, "-a", folder / "none.h5")
    assert done.code == 0
    told = f"warning: {folder / 'none.h5'}: its ids and subjects were stripped"
    assert told in done.err


def test_labels_of_class_centres_are_names_too(folder: Path) -> None:
    np.save(folder / "w.npy", np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32))
    (folder / "labels.txt").write_text("".join(f"Ada {row}\n" for row in range(5)))
    how = ["--kind", "fc-weights", "--labels", folder / "labels.txt", "--strip-ids"]
    done = damcli("build-anchors", folder / "w.npy", "-o", folder / "c.h5", *how)
    assert done.code == 0, done.err
    assert b"Ada" not in (folder / "c.h5").read_bytes()
