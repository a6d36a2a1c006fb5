from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from damcli.storage.embeddings import Embeddings
from damcli.storage.files import read_anchors
from damcli.storage.hdf5 import write_embeddings
from tests.cli import Outcome, damcli, failed
from tests.faces import faces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_embeddings(tmp_path / "train.h5", faces(20, 4))
    return tmp_path


def build(folder: Path, *options: object, source: str = "train.h5") -> Outcome:
    return damcli("build-anchors", folder / source, "-o", folder / "anchors.h5", *options)


def test_one_sample_a_subject_by_default_and_a_count_of_the_rest(folder: Path) -> None:
    done = build(folder, "--json")
    found = read_anchors(folder / "anchors.h5")
    assert sorted(found.subjects) == sorted(set(faces(20, 4).subjects))
    assert found.kind == "real-db"
    assert "1 per subject: 60 left out" in done.err
    assert "all that is left of 50,000 asked for: 20 anchors" in done.err
    summary = json.loads(done.out)
    assert summary["anchors"] == 20
    assert summary["dropped"][0]["count"] == 60


@pytest.mark.parametrize(("per_subject", "expected"), [("2", 40), ("all", 80), ("9", 80)])
def test_samples_per_subject(folder: Path, per_subject: str, expected: int) -> None:
    build(folder, "--per-subject", per_subject)
    assert len(read_anchors(folder / "anchors.h5")) == expected


def test_the_draw_depends_on_the_seed_alone(folder: Path) -> None:
    drawn = []
    for seed in (1, 1, 2):
        build(folder, "--size", 7, "--seed", seed, "--force")
        drawn.append(read_anchors(folder / "anchors.h5").ids.tolist())
    assert len(drawn[0]) == 7
    assert drawn[0] == drawn[1] != drawn[2]


def test_exclusions_from_lists_and_from_embeddings(folder: Path) -> None:
    (folder / "people.txt").write_text("p000\np001\nnobody\n")
    done = build(folder, "--exclude-subjects", folder / "people.txt")
    assert "2 of 3 subjects found to exclude" in done.err
    assert "'nobody'" in done.err
    assert not {"p000", "p001"} & set(read_anchors(folder / "anchors.h5").subjects)
    write_embeddings(folder / "test.h5", faces(5, 4))
    build(folder, "--exclude-subjects", folder / "test.h5", "--force")
    assert len(read_anchors(folder / "anchors.h5")) == 15
    (folder / "ids.txt").write_text("p010/0\n")
    build(folder, "--exclude-ids", folder / "ids.txt", "--per-subject", "all", "--force")
    assert "p010/0" not in read_anchors(folder / "anchors.h5").ids


def test_near_duplicates_of_the_evaluation_set_go_and_are_recorded(folder: Path) -> None:
    people = faces(20, 4)
    write_embeddings(folder / "test.h5", people.take(np.arange(0, 8)))
    done = build(
        folder, "--per-subject", "all", "--max-similarity-to", f"{folder / 'test.h5'}:0.999"
    )
    assert "similarity above 0.999" in done.err
    assert "8 left out" in done.err
    assert "was looked at" in done.err
    found = read_anchors(folder / "anchors.h5")
    assert not set(people.ids[:8]) & set(found.ids)
    assert found.attributes["looked_at_evaluation_set"] == str(folder / "test.h5")


def test_short_embeddings_go(folder: Path) -> None:
    vectors = np.eye(6)[:, :5] + 0.1
    vectors[:3] *= 0.01
    write_embeddings(
        folder / "n.h5", Embeddings.from_arrays(vectors, list("abcdef"), list("abcdef"))
    )
    done = build(folder, "--min-norm", "0.5", source="n.h5")
    assert "norm below 0.5: 4 left out" in done.err
    assert read_anchors(folder / "anchors.h5").ids.tolist() == ["d", "e"]


def test_generated_faces_have_no_subjects(folder: Path) -> None:
    done = build(folder, "--kind", "fake-db")
    found = read_anchors(folder / "anchors.h5")
    assert (found.kind, found.subjects, len(found)) == ("fake-db", None, 80)
    assert "subjects are left out" in done.err


def test_class_centres_with_labels_and_sub_centres(folder: Path) -> None:
    rng = np.random.default_rng(0)
    np.save(folder / "w.npy", rng.normal(size=(5 * 3, 8)).astype(np.float32).T)
    (folder / "labels.txt").write_text("ann\nbob\ncy\ndee\neve\n")
    options = ("--kind", "fc-weights", "--dim", 8, "--labels", folder / "labels.txt")
    done = build(folder, *options, "--sub-centers", 3, source="w.npy")
    assert done.code == 0, done.err
    assert "transposed" in done.err
    found = read_anchors(folder / "anchors.h5")
    assert found.subjects.tolist() == ["ann", "bob", "cy", "dee", "eve"]
    weights = np.load(folder / "w.npy").T.reshape(5, 3, 8)
    mean = (weights / np.linalg.norm(weights, axis=2, keepdims=True)).mean(axis=1)
    expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
    assert np.allclose(found.vectors, expected, atol=1e-6)
    build(folder, *options, "--sub-centers", 3, "--per-subject", "all", "--force", source="w.npy")
    kept = read_anchors(folder / "anchors.h5")
    assert len(kept) == 15
    assert kept.ids[:3].tolist() == ["ann#0", "ann#1", "ann#2"]
    assert kept.subjects[:3].tolist() == ["ann"] * 3


def test_doubt_lists_the_candidates(folder: Path) -> None:
    np.savez(folder / "w.npz", fc=np.ones((30, 8)), head=np.ones((50, 8)))
    done = build(folder, "--kind", "fc-weights", "--dim", 8, source="w.npz")
    failed(done, "fc", "head", "--tensor")
    assert not (folder / "anchors.h5").exists()


@pytest.mark.parametrize(
    "options",
    [
        ("--dim", "8"),
        ("--kind", "fc-weights", "--min-norm", "3"),
        ("--kind", "fake-db", "--per-subject", "2"),
        ("--per-subject", "0"),
        ("--per-subject", "some"),
        ("--max-similarity-to", "emb.h5"),
        ("--kind", "gan"),
    ],
)
def test_options_that_do_not_go_together(folder: Path, options: tuple[str, ...]) -> None:
    done = build(folder, *options)
    assert done.code == 2, done.err
    assert not (folder / "anchors.h5").exists()


def test_no_subjects_to_choose_by(folder: Path) -> None:
    np.savez(folder / "x.npz", embedding=np.eye(3), id=np.array(["a", "b", "c"]))
    failed(build(folder, source="x.npz"), "carries no subjects", "--per-subject all")


def test_a_rule_that_leaves_nothing(folder: Path) -> None:
    failed(build(folder, "--min-norm", "1e9"), "no sample is left after norm below 1e+09")


def test_an_existing_output_stays(folder: Path) -> None:
    (folder / "anchors.h5").write_text("precious")
    failed(build(folder), "exists already", "--force")
    assert (folder / "anchors.h5").read_text() == "precious"


@pytest.mark.parametrize("name", ["a.npz", "a.parquet", "a", "a.h5.gz"])
def test_a_name_that_could_not_be_read_again_is_refused_before_any_work(
    folder: Path, name: str
) -> None:
    failed(
        damcli("build-anchors", folder / "not there.h5", "-o", folder / name),
        f"{name}: unknown ending",
        "expected .h5 or .hdf5",
    )
    assert not (folder / name).exists()


def test_endings_in_capitals_are_endings(folder: Path) -> None:
    assert damcli("build-anchors", folder / "train.h5", "-o", folder / "A.HDF5").code == 0
    assert len(read_anchors(folder / "A.HDF5")) == 20


def test_json_tells_what_the_file_records_and_a_copy_keeps_it(folder: Path) -> None:
    assert damcli("convert", folder / "train.h5", "-o", folder / "copy.h5").code == 0
    done = build(folder, "--json", source="copy.h5")
    recorded = json.loads(done.out)["attributes"]
    assert recorded == dict(read_anchors(folder / "anchors.h5").attributes)
    assert recorded["command"].startswith("damcli build-anchors")
    assert recorded["source_command"].startswith("damcli convert")
    assert damcli("convert", folder / "anchors.h5", "-o", folder / "x.h5").code == 0
    copied = dict(read_anchors(folder / "x.h5").attributes)
    assert copied["command"].startswith("damcli convert")
    first, second = copied["source_command"].split(" && ")
    assert (first, second) == (recorded["source_command"], recorded["command"])
    assert copied["source_sha256"] == recorded["source_sha256"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_row_without_direction_is_refused_whether_drawn_or_not(folder: Path, seed: int) -> None:
    vectors = faces(20, 4).vectors.copy()
    vectors[17] = np.nan
    np.savez(folder / "x.npz", embedding=vectors, id=faces(20, 4).ids.astype(str))
    done = build(folder, "--per-subject", "all", "--size", 3, "--seed", seed, source="x.npz")
    failed(done, "x.npz, row 18: the embedding of 'p004/1' is not finite", "--drop-invalid")
    assert not (folder / "anchors.h5").exists()


def test_an_evaluation_set_of_another_model_is_refused(folder: Path) -> None:
    for name in ("one", "two"):
        write_embeddings(folder / f"{name}.h5", faces(5, 2), model_sha256=name * 20)
    near = ("--max-similarity-to", f"{folder / 'two.h5'}:0.5")
    done = build(folder, *near, source="one.h5")
    failed(done, "two.h5: made with model twotwo", "--allow-mixed-models")
    assert not (folder / "anchors.h5").exists()
    done = build(folder, "--max-similarity-to", f"{folder / 'two.h5'}:0.9", source="train.h5")
    assert done.code == 0, done.err
    write_embeddings(folder / "two.h5", faces(5, 2, seed=9), model_sha256="two", force=True)
    insisted = ("--max-similarity-to", f"{folder / 'two.h5'}:0.999", "--allow-mixed-models")
    assert build(folder, *insisted, "--force", source="one.h5").code == 0


@pytest.mark.parametrize("value", [0, np.nan])
@pytest.mark.parametrize("sub_centers", [1, 3])
def test_a_class_centre_without_direction_is_named(
    folder: Path, value: float, sub_centers: int
) -> None:
    weights = np.random.default_rng(0).normal(size=(30, 8))
    weights[6] = value
    np.savez(folder / "w.npz", fc=weights)
    done = build(folder, "--kind", "fc-weights", "--sub-centers", sub_centers, source="w.npz")
    failed(done, "w.npz, row 7: this class centre of 'fc' is ", "--tensor", "np.save")
    assert "damcli convert" not in done.err


def test_sub_centres_that_cancel_out_are_named(folder: Path) -> None:
    rows = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    rows[3] = -rows[2]
    np.savez(folder / "w.npz", fc=rows)
    done = build(folder, "--kind", "fc-weights", "--sub-centers", 2, source="w.npz")
    failed(done, "w.npz, row 2: this class centre of 'fc' is all zeros", "--tensor")
