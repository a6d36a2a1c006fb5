"""``--protocol`` of ``damcli score`` and ``damcli pairs``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from damcli.protocols.ijb import IjbPairs
from damcli.protocols.opening import PROTOCOLS
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from tests import official
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors

NONE = ("--resamples", "0")


def embed(path: Path, ids: Sequence[str], people: Sequence[str], noise: float = 0.9) -> Path:
    """Write embeddings of people who look a bit alike in each of their images."""
    rng = np.random.default_rng(3)
    centres = {name: rng.normal(size=16) for name in dict.fromkeys(people)}
    vectors = np.stack([centres[name] for name in people])
    made = vectors + noise * rng.normal(size=vectors.shape)
    write_embeddings(path, Embeddings.from_arrays(made.astype(np.float32), list(ids)), force=True)
    return path


@pytest.fixture
def lfw(tmp_path: Path) -> Path:
    """Three folds of 20 + 20 pairs, and embeddings whose ids are bare file names."""
    official.lfw(tmp_path / "pairs.txt", 3, 20, "3 20")
    people = [f"Al_{who}" for who in "012z" for _ in range(21)]
    ids = [f"{name}_{place % 21 + 1:04d}" for place, name in enumerate(people)]
    embed(tmp_path / "emb.h5", ids, people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    return tmp_path


def score(root: Path, *options: object, protocol: str = "lfw") -> Outcome:
    return damcli(
        *("score", "--protocol", protocol, "--root", root, "-e", root / "emb.h5", *NONE), *options
    )


def rows_of(done: Outcome, metric: str = "cosine") -> dict[str, dict]:
    assert done.code == 0, done.err
    (found,) = [one for one in json.loads(done.out)["metrics"] if one["name"] == metric]
    return {row["quantity"]: row for row in found["rows"]}


def fold_shares(scores: list[dict], column: str) -> list[float]:
    """Take each fold's accuracy at the best of all thresholds for the others, slowly."""
    shares = []
    for fold in sorted({row["fold"] for row in scores}):
        others = [(float(r[column]), r["label"] == "1") for r in scores if r["fold"] != fold]
        best = max(
            sorted({s for s, _ in others}),
            key=lambda t: sum((s >= t) == same for s, same in others),
        )
        below = max((s for s, _ in others if s < best), default=best)
        mine = [(float(r[column]), r["label"] == "1") for r in scores if r["fold"] == fold]
        shares.append(float(np.mean([(s >= (best + below) / 2) == same for s, same in mine])))
    return shares


def test_lfw_comes_first_in_its_own_metric(lfw: Path) -> None:
    done = score(lfw, "-a", lfw / "anchors.h5", "-o", lfw / "scores.csv")
    assert done.code == 0, done.err
    assert done.out.index("3 folds: accuracy ± SE") < done.out.index("TAR")
    assert done.out.count("accuracy ± SE") == 1
    assert "images found in" in done.err
    assert "by the file name alone" in done.err
    scores = list(csv.DictReader(io.StringIO((lfw / "scores.csv").read_text())))
    assert len(scores) == 120
    again = score(lfw, "-a", lfw / "anchors.h5", "--json")
    assert json.loads(again.out)["metrics"][0]["rows"][0]["quantity"] == "accuracy over folds"
    for metric, column in (("cosine", "cosine"), ("DAM-R", "score")):
        shares = fold_shares(scores, column)
        row = rows_of(again, metric)["accuracy over folds"]
        assert row["value"] == pytest.approx(np.mean(shares))
        assert row["standard_error"] == pytest.approx(np.std(shares, ddof=1) / np.sqrt(3))
    table = score(lfw, "--csv")
    assert table.out.splitlines()[1].startswith("cosine,accuracy over folds")


def test_what_was_scored_is_recorded(lfw: Path) -> None:
    done = score(lfw, "--json", "-o", lfw / "scores.csv")
    document = json.loads(done.out)
    digest = hashlib.sha256((lfw / "pairs.txt").read_bytes()).hexdigest()
    assert document["inputs"]["pairs"] == digest
    assert document["settings"]["protocol"] == "lfw"
    assert document["settings"]["ids_found_by"] == "the file name alone"
    assert document["left_out"] == {"pairs": 0, "ids": 0}
    about = json.loads((lfw / "scores.csv.about.json").read_text())
    assert "lfw" in json.dumps(about)


def test_the_pairs_as_a_list_give_the_same(lfw: Path) -> None:
    done = damcli("pairs", "--protocol", "lfw", "--root", lfw, "-o", lfw / "pairs.csv")
    assert done.code == 0, done.err
    assert "60 genuine and 60 impostor pairs" in done.err
    rows = list(csv.DictReader(io.StringIO((lfw / "pairs.csv").read_text())))
    assert rows[0] == {
        "probe_id": "Al_0/Al_0_0001.jpg",
        "reference_id": "Al_0/Al_0_0002.jpg",
        "label": "1",
        "fold": "1",
    }
    people = [f"Al_{who}" for who in "012z" for _ in range(21)]
    ids = [f"{name}/{name}_{place % 21 + 1:04d}.jpg" for place, name in enumerate(people)]
    embed(lfw / "emb.h5", ids, people)
    listed = damcli("score", lfw / "pairs.csv", "-e", lfw / "emb.h5", "--json", *NONE)
    assert rows_of(listed) == rows_of(score(lfw, "--json"))


def test_missing_images_are_counted_and_named(lfw: Path) -> None:
    people = [f"Al_{who}" for who in "012z" for _ in range(21)]
    ids = [f"{name}_{place % 21 + 1:04d}" for place, name in enumerate(people)]
    embed(lfw / "emb.h5", ids[2:], people[2:])
    out = lfw / "scores.csv"
    said = "2 of 83 images have no embedding in"
    failed(score(lfw, "-o", out), "pairs.txt: ", said, "'Al_0/Al_0_0001.jpg'", "--skip-missing")
    assert not out.exists()
    done = score(lfw, "-o", out, "--skip-missing", "--json")
    assert json.loads(done.out)["left_out"] == {"pairs": 4, "ids": 2}
    assert said in done.err
    assert "4 of 120 pairs left out" in done.err
    assert (lfw / "scores.rejects.csv").read_text().splitlines()[1] == (
        "2,Al_0/Al_0_0001.jpg,Al_0/Al_0_0002.jpg,Al_0/Al_0_0001.jpg"
    )


def test_a_list_that_is_cut_short_leaves_what_was_there(lfw: Path) -> None:
    lines = (lfw / "pairs.txt").read_text().splitlines()
    (lfw / "pairs.txt").write_text("\n".join(lines[:-1]))
    (lfw / "out.csv").write_text("precious")
    for command in (("score", "-e", lfw / "emb.h5"), ("pairs",)):
        done = damcli(
            *command, "--protocol", "lfw", "--root", lfw, "-o", lfw / "out.csv", "--force"
        )
        failed(done, "119 pairs; expected 120, as its header '3 20' says", "hint: was it cut short")
        assert (lfw / "out.csv").read_text() == "precious"


def test_rfw_by_race(tmp_path: Path) -> None:
    official.rfw(tmp_path)
    names = [f"{race}/m.0a{who}" for race in official.RACES for who in "0123456789z"]
    people = [name for name in names for _ in range(301)]
    ids = [
        f"data/{name}/{name.split('/')[1]}_{place % 301 + 1:04d}.png"
        for place, name in enumerate(people)
    ]
    embed(tmp_path / "emb.h5", ids, people, noise=1.2)
    done = score(tmp_path, "--json", "-o", tmp_path / "scores.csv", protocol="rfw")
    found = rows_of(done)
    assert "by the last 3 parts of ids" in done.err
    scores = list(csv.DictReader(io.StringIO((tmp_path / "scores.csv").read_text())))
    means = []
    for race in official.RACES:
        mine = [row for row in scores if row["race"] == race]
        assert len(mine) == 6000
        pairs = tmp_path / f"{race}.csv"
        with pairs.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(mine[0]))
            writer.writeheader()
            writer.writerows(mine)
        alone = rows_of(damcli("evaluate", pairs, "--json", *NONE))["accuracy over folds"]
        row = found[f"accuracy over folds, {race}"]
        assert row["value"] == pytest.approx(alone["value"])
        assert row["standard_error"] == pytest.approx(alone["standard_error"])
        means.append(row["value"])
    assert len(set(means)) > 1
    mean, spread = (
        found[f"accuracy over folds, {what} by race"]["value"]
        for what in ("mean", "standard deviation")
    )
    assert mean == pytest.approx(sum(means) / 4)
    assert spread == pytest.approx((sum((m - mean) ** 2 for m in means) / 3) ** 0.5)
    skewed = found["accuracy over folds, skewed error ratio by race"]["value"]
    assert skewed == pytest.approx((1 - min(means)) / (1 - max(means)))
    printed = score(tmp_path, protocol="rfw").out
    assert f"{skewed:.2f}" in printed
    order = [
        printed.index(text) for text in ("African, 10 folds", "Indian, 10 folds", "mean by race")
    ]
    assert order == sorted(order)
    assert order[-1] < printed.index("TAR")
    before = json.loads(done.out)["inputs"]["pairs"]
    file = tmp_path / "txts" / "Indian" / "Indian_pairs.txt"
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    after = score(tmp_path, "--json", protocol="rfw")
    assert json.loads(after.out)["inputs"]["pairs"] != before
    assert rows_of(after) == found


def test_ijb_is_told_in_tar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(PROTOCOLS["ijbc"], read=partial(IjbPairs, pairs=190))
    monkeypatch.setitem(PROTOCOLS, "ijbc", small)
    people = [str(place % 5) for place in range(20)]
    embed(tmp_path / "emb.h5", [str(place + 1) for place in range(20)], people)
    lines = [f"{i + 1} {j + 1} {int(i % 5 == j % 5)}" for i in range(20) for j in range(i)]
    official.write(tmp_path / "IJBC" / "meta" / "ijbc_template_pair_label.txt", lines)
    document = json.loads(score(tmp_path, "--json", protocol="ijbc").out)
    rows = document["metrics"][0]["rows"]
    assert [row["far"] for row in rows[:6]] == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    assert document["counts"] == {"genuine": 30, "impostors": 160, "subjects": None}
    asked = json.loads(score(tmp_path, "--json", "--far", "0.2", protocol="ijbc").out)
    assert [row["far"] for row in asked["metrics"][0]["rows"][:2]] == [0.2, None]
    embed(tmp_path / "emb.h5", [str(place + 1) for place in range(18)], people[:18])
    failed(score(tmp_path, protocol="ijbc"), "2 of 20 templates have no embedding", "'19', '20'")


def refused(outcome: Outcome, part: str) -> None:
    """Assert a usage error; its box breaks lines anywhere."""
    assert outcome.code == 2, outcome.err
    assert part in " ".join(outcome.err.replace("│", " ").split()), outcome.err


def test_usage(lfw: Path) -> None:
    emb = lfw / "emb.h5"
    refused(score(lfw, protocol="lfv"), "--protocol lfv: expected one of lfw, calfw")
    refused(score(lfw, "--all-pairs"), "a pair list, --all-pairs or --protocol")
    refused(score(lfw, lfw / "pairs.txt"), "a pair list, --all-pairs or --protocol")
    refused(damcli("score", "--protocol", "lfw", "-e", emb), "go together")
    refused(damcli("score", "--all-pairs", "--root", lfw, "-e", emb), "go together")
    asked = ("pairs", "--protocol", "lfw", "--root", lfw, "-o", "-")
    for option in (["--all"], ["--genuine", "all"], ["--impostor", "3"], ["--seed", "1"]):
        refused(damcli(*asked, *option), "pairs of its own")
    refused(damcli(*asked, emb), "either embeddings with subjects or --protocol")
    refused(damcli("pairs", "--all", "-o", "-"), "either embeddings with subjects")
    failed(score(lfw, protocol="calfw"), "holds no pairs of calfw; looked for pairs_CALFW.txt")


@pytest.mark.parametrize("command", ["score", "pairs"])
def test_help_names_every_protocol(command: str) -> None:
    text = " ".join(damcli(command, "--help").out.replace("│", " ").split())
    assert all(name in text for name in PROTOCOLS)
