from __future__ import annotations

import csv
import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from damcli.lid.recipes import Recipe
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.lidr import read_lidr, write_lidr
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.lidrs import lidr
from tests.test_scoring import write_pairs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = faces(12, 3)
    write_embeddings(tmp_path / "emb.h5", people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    write_embeddings(tmp_path / "pool.h5", faces(40, 3, seed=5, prefix="pool"))
    write_lidr(tmp_path / "lidr.h5", lidr())
    write_pairs(tmp_path / "pairs.csv", people)
    return tmp_path


def fit(folder: Path, *options: object, source: str = "pool.h5") -> Outcome:
    return damcli(
        *("fit-lidr", folder / source, "-a", folder / "anchors.h5", "-o", folder / "new.h5"),
        *("--iterations", "100", "--hidden", "8", *options),
    )


def score(folder: Path, *options: object) -> Outcome:
    return damcli(
        *("score", folder / "pairs.csv", "-e", folder / "emb.h5", "--far", "0.1"),
        *("--resamples", "20", *options),
    )


def test_fit_tells_and_writes_then_score_needs_no_anchors(folder: Path) -> None:
    pytest.importorskip("torch")
    done = fit(folder)
    assert done.code == 0, done.err
    for word in ("iteration 50: loss", "iteration 100: loss", "held-out embeddings: R²"):
        assert word in done.err
    for metric in ("cosine", "DAM-R", "DAM-L"):
        assert metric in done.out
    written = read_lidr(folder / "new.h5")
    assert written.hidden == 8
    assert written.attributes["recipe"] == "custom"
    assert str(written.attributes["command"]).startswith("damcli fit-lidr")
    scored = score(folder, "--lidr", folder / "new.h5", "-o", folder / "s.csv", "--json")
    document = json.loads(scored.out)
    assert [metric["name"] for metric in document["metrics"]] == ["cosine", "DAM-L"]
    assert document["inputs"]["lidr"] == written.digest
    assert "anchors" not in document["inputs"]
    assert document["settings"]["k"] == 10
    rows = list(csv.DictReader(io.StringIO((folder / "s.csv").read_text())))
    assert list(rows[0])[-2:] == ["cosine", "score"]


def test_fit_in_json(folder: Path) -> None:
    pytest.importorskip("torch")
    document = json.loads(fit(folder, "--json", "--quiet").out)
    assert [metric["name"] for metric in document["metrics"]] == ["cosine", "DAM-R", "DAM-L"]
    assert set(document["inputs"]) == {"embeddings", "anchors", "lidr"}
    assert document["settings"]["heldout_rows"] == 12
    people = faces(40, 3, seed=5)
    write_embeddings(folder / "pool.h5", Embeddings.from_arrays(people.vectors), force=True)
    nameless = fit(folder, "--json", "--force")
    assert json.loads(nameless.out)["schema"] == "damcli/fit-lidr"
    assert "without subjects" in nameless.err


def test_anchors_of_perhaps_the_same_person_are_told(folder: Path) -> None:
    pytest.importorskip("torch")
    people = faces(40, 3, seed=5)
    ids = [f"n{i}" for i in range(len(people))]
    write_embeddings(folder / "pool.h5", Embeddings.from_arrays(people.vectors, ids), force=True)
    done = fit(folder)
    assert done.code == 0, done.err
    assert "skipped as photographs of the same person" in done.err
    limit = damcli("info", folder / "new.h5", "--json")
    assert 0 < json.loads(limit.out)["attributes"]["max_anchor_similarity"] < 1
    cosines = np.sort(people.vectors @ anchors().vectors.T, axis=1)
    few = (cosines[:, -1] > 0.9) & (cosines[:, -10] <= 0.9)
    again = fit(folder, "--max-anchor-similarity", "0.9", "--force")
    assert f"{few.sum()} embeddings have a few anchors above cosine 0.900" in again.err
    assert "same person" not in fit(folder, "--max-anchor-similarity", "none", "--force").err


def test_the_paper_recipe_is_recorded(folder: Path) -> None:
    pytest.importorskip("torch")
    done = fit(folder, "--recipe", "paper")
    assert done.code == 0, done.err
    written = read_lidr(folder / "new.h5")
    assert written.target == "g"
    assert written.attributes["optimiser"] == "sgd"
    assert written.attributes["kept_iteration"] == 100


def test_a_loss_that_breaks_down(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    failed(fit(folder, "--recipe", "paper", "--lr", "1e9"), "not finite at iteration", "--lr 1e+09")
    assert not (folder / "new.h5").exists()
    monkeypatch.setattr(Recipe, "learning_rate", lambda self, i: 1e-3 if i < 60 else 1e30)
    failed(fit(folder, "--recipe", "paper"), "the weights of iteration 50 are kept", "warning:")
    kept = read_lidr(folder / "new.h5")
    assert kept.attributes["kept_iteration"] == 50


def test_interrupting_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")

    def interrupt(self: Recipe, iteration: int) -> float:
        raise KeyboardInterrupt

    before = sorted(folder.iterdir())
    monkeypatch.setattr(Recipe, "learning_rate", interrupt)
    assert fit(folder).code == 130
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize(
    "options",
    [
        ("--holdout", "0"),
        ("--holdout", "1"),
        ("--lr", "-1"),
        ("--lr", "nan"),
        ("-s", "0"),
        ("-k", "0"),
        ("--recipe", "mine"),
        ("--target", "h"),
        ("--max-memory", "-1"),
        ("--max-anchor-similarity", "2"),
        ("--max-anchor-similarity", "most"),
    ],
)
def test_usage_errors_of_fit(folder: Path, options: tuple[str, ...]) -> None:
    assert fit(folder, *options).code == 2
    assert not (folder / "new.h5").exists()


def test_bad_input_of_fit(folder: Path) -> None:
    write_embeddings(folder / "one.h5", faces(1, 4))
    failed(fit(folder, source="one.h5"), "one.h5: shows 1 subject", "hint:")
    write_embeddings(folder / "flat.h5", faces(dim=8))
    failed(fit(folder, source="flat.h5"), "anchors.h5: embeddings of dimension 16; expected 8")
    (folder / "new.h5").write_text("precious")
    failed(fit(folder), "new.h5: exists already", "--force")
    assert (folder / "new.h5").read_text() == "precious"


def test_without_torch(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    failed(fit(folder), "fit-lidr needs the extra [torch]", "pip install 'damcli[torch]'")
    scored = score(folder, "--lidr", folder / "lidr.h5")
    assert scored.code == 0, scored.err
    assert "DAM-L" in scored.out
    assert damcli("export", folder / "lidr.h5", "-o", folder / "l.onnx").code == 0


def test_k_and_s_come_from_the_regressor(folder: Path) -> None:
    write_lidr(folder / "other.h5", lidr(k=7, s=2.0))
    for options, part in ((("-k", "10"), "-k 7"), (("-s", "1"), "-s 2")):
        wrong = score(folder, "--lidr", folder / "other.h5", *options)
        assert wrong.code == 2
        said = " ".join(wrong.err.replace("│", " ").split())  # typer puts it in a box
        assert f"was fitted with {part}" in said
    assert score(folder, "--lidr", folder / "other.h5", "-k", "7", "-s", "2").code == 0
    both = score(folder, "--lidr", folder / "lidr.h5", "-a", folder / "anchors.h5")
    assert both.code == 2
    assert "exclude each other" in both.err


def test_bad_input_of_score(folder: Path) -> None:
    failed(score(folder, "--lidr", folder / "none.h5"), "none.h5: no such file")
    failed(score(folder, "--lidr", folder / "anchors.h5"), "holds damcli/anchors", "fit-lidr")
    failed(score(folder, "-a", folder / "lidr.h5"), "holds damcli/lidr", "goes with --lidr")
    write_lidr(folder / "flat.h5", lidr(dim=8))
    failed(score(folder, "--lidr", folder / "flat.h5"), "dimension 8; expected 16")
    people = faces(12, 3)
    mine = Embeddings.from_arrays(
        people.vectors, people.ids, people.subjects, attributes={"model_sha256": "a" * 64}
    )
    write_embeddings(folder / "emb.h5", mine, force=True)
    write_lidr(folder / "b.h5", lidr(attributes={"model_sha256": "b" * 64}))
    failed(score(folder, "--lidr", folder / "b.h5"), "made with model b", "--allow-mixed-models")


def test_export_and_info(folder: Path) -> None:
    done = damcli("export", folder / "lidr.h5", "-o", folder / "l.onnx")
    assert done.code == 0, done.err
    assert "log LIDs differ from damcli's by" in done.err
    failed(damcli("export", folder / "lidr.h5", "-o", folder / "l.onnx"), "exists already")
    failed(damcli("export", folder / "emb.h5", "-o", folder / "m.onnx"), "expected a fitted")
    assert damcli("export", folder / "lidr.h5", "-o", folder / "l.bin").code == 2
    about = json.loads(damcli("info", folder / "lidr.h5", "--json").out)
    assert (about["format"], about["dim"], about["hidden"]) == ("damcli/lidr", 16, 6)
    assert "anchor count" in damcli("info", folder / "lidr.h5").out


def test_dam_l_of_the_command_is_that_of_python(folder: Path) -> None:
    import damcli as api

    people = api.read_embeddings(folder / "emb.h5")
    pairs = api.read_pairs(folder / "pairs.csv")
    scores = api.score(pairs, people, lidr=api.read_lidr(folder / "lidr.h5"))
    expected = np.concatenate([chunk.scores[1] for chunk in scores.chunks()])
    assert score(folder, "--lidr", folder / "lidr.h5", "-o", folder / "s.csv").code == 0
    rows = csv.DictReader(io.StringIO((folder / "s.csv").read_text()))
    assert [float(row["score"]) for row in rows] == pytest.approx(expected, abs=1e-12)
