"""What the data commands refuse, record and say, so that no file tells less than it should."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from damcli.anchors import build_anchors
from damcli.errors import UserError
from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed
from tests.faces import faces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_embeddings(tmp_path / "emb.h5", faces(10, 3))
    return tmp_path


def test_a_row_is_known_as_its_own_anchor_through_any_number_of_copies(tmp_path: Path) -> None:
    np.save(tmp_path / "raw.npy", faces(20, 2).vectors)
    rows = "".join(f"{i},{i + 1},{int(i % 2 == 0)}\n" for i in range(39))
    (tmp_path / "pairs.csv").write_text(rows)
    for one, other in (("raw.npy", "a.h5"), ("a.h5", "b.h5"), ("raw.npy", "c.h5")):
        assert damcli("convert", tmp_path / one, "-o", tmp_path / other).code == 0
    for source in ("raw.npy", "a.h5"):
        anchors = tmp_path / "anchors.h5"
        every = ("--per-subject", "all", "--force")
        assert damcli("build-anchors", tmp_path / source, "-o", anchors, *every).code == 0
        for copy in ("raw.npy", "a.h5", "b.h5", "c.h5"):
            done = damcli("score", tmp_path / "pairs.csv", "-e", tmp_path / copy, "-a", anchors)
            failed(done, "anchors.h5", "ids stand among the anchors", "--allow-overlap")


@pytest.mark.parametrize("name", ["anchors.npz", "anchors", "anchors.txt"])
def test_anchors_under_a_name_that_would_not_be_found(folder: Path, name: str) -> None:
    done = damcli("build-anchors", folder / "emb.h5", "-o", folder / name)
    failed(done, name, "expected .h5 or .hdf5")
    assert not (folder / name).exists()


def test_suffixes_in_capitals(folder: Path) -> None:
    assert damcli("convert", folder / "emb.h5", "-o", folder / "COPY.H5").code == 0
    assert damcli("info", folder / "COPY.H5").code == 0


def test_a_link_stays_a_link(folder: Path) -> None:
    (folder / "real").mkdir()
    (folder / "link.h5").symlink_to(folder / "real" / "target.h5")
    assert damcli("convert", folder / "emb.h5", "-o", folder / "link.h5").code == 0
    assert (folder / "link.h5").is_symlink()
    assert (folder / "real" / "target.h5").is_file()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"id": "x"}, ["id 'x' was already given to row 1", "--drop-duplicates"]),
        ({"embedding": np.nan}, ["row 2", "not finite", "--drop-invalid"]),
        ({"embedding": 0}, ["row 2", "all zeros", "--drop-invalid"]),
    ],
)
@pytest.mark.parametrize("command", ["pairs", "build-anchors"])
def test_bad_rows_are_refused_whether_they_would_be_drawn_or_not(
    tmp_path: Path, change: dict[str, object], parts: list[str], command: str
) -> None:
    people = faces(6, 2)
    columns = {"embedding": people.vectors, "id": people.ids, "subject": people.subjects}
    columns = {
        name: np.array(c) if name == "embedding" else c.astype(str) for name, c in columns.items()
    }
    for name, value in change.items():
        columns[name][:2] = value
        if name == "embedding":
            columns[name][0] = 1
    np.savez(tmp_path / "bad.npz", **columns)
    options = {"pairs": ("--all", "-o", tmp_path / "o.csv")}.get(
        command, ("-o", tmp_path / "o.h5", "--size", "1")
    )
    failed(damcli(command, tmp_path / "bad.npz", *options), "bad.npz", *parts)
    assert {path.name for path in tmp_path.iterdir()} == {"bad.npz"}


def test_files_say_which_command_made_them_and_what_made_their_source(folder: Path) -> None:
    assert damcli("convert", folder / "emb.h5", "-o", folder / "copy.h5").code == 0
    out = folder / "anchors.h5"
    done = damcli("build-anchors", folder / "copy.h5", "-o", out, "--json")
    assert json.loads(done.out)["attributes"]["command"].startswith("damcli build-anchors")
    assert damcli("convert", out, "-o", folder / "again.h5").code == 0
    found = json.loads(damcli("info", folder / "again.h5", "--json").out)["attributes"]
    assert found["command"].startswith("damcli convert")
    first, second = found["source_command"].split(" && ")
    assert first.startswith("damcli convert")
    assert second.startswith("damcli build-anchors")


def test_files_of_two_models_are_refused_together(folder: Path) -> None:
    for name in ("one", "two"):
        (folder / f"{name}.onnx").write_text(name)
        copy = ("-o", folder / f"{name}.h5", "--model", folder / f"{name}.onnx")
        assert damcli("convert", folder / "emb.h5", *copy).code == 0
    near = ("--max-similarity-to", f"{folder / 'two.h5'}:0.999999")
    build = ("build-anchors", folder / "one.h5", "-o", folder / "a.h5", *near)
    failed(damcli(*build), "two.h5: made with model", "--allow-mixed-models")
    failed(
        damcli("convert", folder / "emb.h5", "-o", folder / "x.h5", "--model", "no"), "no: no such"
    )


@pytest.mark.parametrize(
    "options",
    [("--min-norm", "-1"), ("--max-similarity-to", "emb.h5:2"), ("--max-similarity-to", "emb.h5")],
)
def test_options_of_build_anchors_out_of_range(folder: Path, options: tuple[str, ...]) -> None:
    done = damcli("build-anchors", folder / "emb.h5", "-o", folder / "a.h5", *options)
    assert done.code == 2, done.err
    assert not (folder / "a.h5").exists()


def test_a_kind_that_there_is_not() -> None:
    with pytest.raises(UserError, match="kind 'gan'; expected one of real-db, fake-db, fc-weights"):
        build_anchors(faces(), "gan")  # type: ignore[arg-type]


def test_a_table_of_scores_is_called_that(folder: Path) -> None:
    scores = folder / "scores.parquet"
    assert damcli("score", "--all-pairs", "-e", folder / "emb.h5", "-o", scores).code == 0
    failed(damcli("info", scores), "is a table of pairs", "damcli evaluate")


@pytest.mark.parametrize("parent", ["a_file", "x" * 5000])
def test_inputs_in_impossible_places(folder: Path, parent: str) -> None:
    (folder / "a_file").write_text("")
    there = folder / parent / "x.csv"
    anchors = ("build-anchors", folder / "emb.h5", "-o", folder / "a.h5", "--exclude-ids", there)
    for command in (("score", there, "-e", folder / "emb.h5"), ("evaluate", there), anchors):
        failed(damcli(*command), "x.csv")
    failed(damcli("demo", "--keep", folder / "a_file", "--resamples", "0"), "a_file")
