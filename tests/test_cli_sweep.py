from __future__ import annotations

import csv
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from damcli.storage.hdf5 import write_embeddings
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs

LISTS = ("--k", "2,10", "--s", "1,16")
QUICK = ("--far", "1e-2,0.1", "--resamples", "20")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = faces(12, 3)
    write_embeddings(tmp_path / "emb.h5", people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    write_pairs(tmp_path / "pairs.csv", people.take(slice(0, 18)))
    write_pairs(tmp_path / "dev.csv", people.take(slice(18, 36)))
    write_pairs(tmp_path / "plain.csv", people, labels=False)
    return tmp_path


def sweep(folder: Path, *options: object, pairs: str = "pairs.csv") -> Outcome:
    files = ("-e", folder / "emb.h5", "-a", folder / "anchors.h5")
    return damcli("sweep", folder / pairs, *files, *options)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def scored(folder: Path, *options: object, pairs: str = "pairs.csv") -> list[dict[str, Any]]:
    files = ("-e", folder / "emb.h5", "-a", folder / "anchors.h5")
    done = damcli("score", folder / pairs, *files, *options, *QUICK, "--json")
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)["metrics"]
    return found


def test_json_and_csv_say_what_score_says(folder: Path) -> None:
    out = folder / "sweep.csv"
    done = sweep(folder, *LISTS, *QUICK, "--combine", "product", "--json", "-o", out)
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["schema"] == "damcli/sweep"
    assert set(document["inputs"]) == {"embeddings", "anchors", "pairs"}
    assert "chosen" not in document
    assert "test" not in document
    found = document["pairs"]["metrics"]
    keys = [(one["metric"], one["k"], one["s"], one["anchors"], one["seed"]) for one in found]
    assert keys == [
        ("cosine", None, None, None, None),
        *(("DAM-R", 10, 1.0, 40, None), ("DAM-R", 2, 1.0, 40, None)),
        *(("DAM-R", 10, 16.0, 40, None), ("DAM-R", 2, 16.0, 40, None)),
    ]
    for one in found[1:4]:  # what lies on the two curves, with intervals
        cosine, dam = scored(folder, "-k", one["k"], "-s", one["s"], "--combine", "product")
        assert one["rows"] == dam["rows"]
        assert found[0]["rows"] == cosine["rows"]
    (corner,) = found[4:]
    expected = scored(folder, "-k", 2, "-s", 16, "--combine", "product")[1]["rows"]
    for mine, theirs in zip(corner["rows"], expected, strict=True):
        assert (mine["value"], mine["difference"]) == (theirs["value"], theirs["difference"])
        assert mine["difference_low"] is None
    listed = rows(out)
    assert {row["on"] for row in listed} == {"pairs"}
    for one in found:
        mine = [row for row in listed if row["k"] == text(one["k"]) and row["s"] == text(one["s"])]
        assert [row["value"] for row in mine] == [text(row["value"]) for row in one["rows"]]


def text(value: object) -> str:
    return "" if value is None else str(value)


def test_the_tables_show_every_setting(folder: Path) -> None:
    out = folder / "sweep.csv"
    sizes = ("--anchors-size", "15,30", "--seeds", 3)
    done = sweep(folder, *LISTS, *sizes, "--far", "1e-6,0.1", "--resamples", "20", "-o", out)
    assert done.code == 0, done.err
    tars = [row for row in rows(out) if row["quantity"] == "TAR@FAR" and row["far"] == "0.1"]
    grid = {(r["k"], r["s"]): 100 * float(r["value"]) for r in tars if not r["seed"]}
    head, after = done.out.split("TAR at FAR 1e-1 in %; cosine: ", 1)
    assert "18 genuine and 135 impostor pairs of 6 subjects, 40 anchors" in head
    lines = after.splitlines()
    assert lines[0].startswith(f"{grid['', '']:.2f} % [")
    for k in ("2", "10"):
        (line,) = [line for line in lines[:8] if line.strip().startswith(f"k = {k} ")]
        assert line.split()[3:] == [f"{grid[k, s]:.2f}" for s in ("1.0", "16.0")]
    assert "FAR 1e-6: n/a (needs ≥ 1,000,000 impostor pairs)" in done.out
    assert "TAR at FAR 1e-6" not in done.out
    assert "mean [lowest, highest] of 3 seeds" in done.out
    for size in ("15", "30"):
        drawn = [100 * float(r["value"]) for r in tars if r["anchors"] == size]
        assert len(drawn) == 3
        mean = sum(drawn) / 3
        assert f"{size} anchors" in done.out
        assert f"{mean:.2f} [{min(drawn):.2f}, {max(drawn):.2f}]" in done.out
    assert {row["seed"] for row in tars} == {"", "0", "1", "2"}
    assert "No setting is chosen" in done.out
    shifted = sweep(folder, *LISTS, *sizes, "--seed", 2, *QUICK, "-o", folder / "more.csv")
    assert shifted.code == 0, shifted.err
    assert {row["seed"] for row in rows(folder / "more.csv")} == {"", "2", "3", "4"}


def test_tables_of_long_lists_are_cut_not_cropped(folder: Path) -> None:
    scales = [f"{0.01 * number:.2f}" for number in range(1, 25)]
    fars = ("--far", "0.05,0.1,0.15,0.2,0.25,0.3", "--resamples", "2")
    done = sweep(folder, "--k", "3", "--s", ",".join(scales), *fars)
    assert done.code == 0, done.err
    assert "…" not in done.out
    for scale in scales:
        assert f"s = {float(scale):g} " in done.out
    assert max(map(len, done.out.splitlines())) <= 200


def test_the_best_on_dev_is_judged_on_the_others(folder: Path) -> None:
    out = folder / "sweep.csv"
    dev = ("--dev", folder / "dev.csv", "--best-at", "0.05")
    done = sweep(folder, "--k", "1,2,5", "--s", "0.5,1,16", *dev, *QUICK, "--json", "-o", out)
    assert done.code == 0, done.err
    assert "warning" not in done.err
    document = json.loads(done.out)
    values = {}
    for k, s in itertools.product((1, 2, 5), (0.5, 1.0, 16.0)):
        found = scored(folder, "-k", k, "-s", s, "--far", "0.05", pairs="dev.csv")
        values[k, s] = found[1]["rows"][0]["value"]
    best = max(values.values())
    k, s = document["chosen"]["k"], document["chosen"]["s"]
    assert values[k, s] == best
    assert k == min(k for (k, _), value in values.items() if value == best)
    assert len(document["dev"]["metrics"]) == 1 + 9
    tested = document["test"]["metrics"]
    assert [(one["k"], one["s"]) for one in tested] == [(None, None), (10, 1.0), (k, s)]
    for one in tested[1:]:
        expected = scored(folder, "-k", one["k"], "-s", one["s"])[1]["rows"]
        mine = [row for row in one["rows"] if row["far"] != 0.05]
        assert mine == expected
    assert document["dev"]["counts"] == document["test"]["counts"]  # of other people
    assert {row["on"] for row in rows(out)} == {"dev", "test"}
    shown = sweep(folder, "--k", "1,2,5", "--s", "0.5,1,16", *dev, *QUICK)
    assert f"Chosen there for its TAR at FAR 5e-2: k = {k}, s = {s:g}; the default is" in shown.out
    assert "No setting is chosen" not in shown.out
    named = (f"On {folder / 'dev.csv'}, to choose on:", f"On {folder / 'pairs.csv'}, to judge by:")
    assert [shown.out.count(text) for text in named] == [1, 1]


def test_dev_pairs_of_other_embeddings(folder: Path) -> None:
    write_embeddings(folder / "dev.h5", faces(8, 3, seed=5, prefix="dev"))
    write_pairs(folder / "others.csv", faces(8, 3, seed=5, prefix="dev"))
    dev = ("--dev", folder / "others.csv", "--best-at", "0.1")
    failed(sweep(folder, *LISTS, *dev, *QUICK), "others.csv, row 2", "has no embedding")
    done = sweep(folder, *LISTS, *dev, "--dev-embeddings", folder / "dev.h5", *QUICK, "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["dev"]["counts"] == {"genuine": 24, "impostors": 252, "subjects": 8}
    assert set(document["inputs"]) == {"embeddings", "anchors", "pairs", "dev", "dev_embeddings"}


def test_people_in_dev_and_test_are_told(folder: Path) -> None:
    write_pairs(folder / "dev.csv", faces(12, 3).take(slice(15, 36)))
    dev = ("--dev", folder / "dev.csv", "--best-at", "0.1")
    done = sweep(folder, *LISTS, *dev, *QUICK, "-q")
    assert done.code == 0
    assert "share 1 subject ('p005') and 3 ids ('p005/0')" in done.err
    assert done.err.count("warning:") == 1


def test_all_pairs_and_missing_ones(folder: Path) -> None:
    files = ("-e", folder / "emb.h5", "-a", folder / "anchors.h5")
    done = damcli("sweep", "--all-pairs", *files, *LISTS, *QUICK, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["pairs"]["counts"]["impostors"] == 594
    with (folder / "pairs.csv").open("a") as file:
        file.write("nobody,p001/0,0\n")
    failed(sweep(folder, *LISTS, *QUICK), "row 155", "'nobody'")
    left = sweep(folder, *LISTS, *QUICK, "--skip-missing")
    assert left.code == 0
    assert "1 of 154 pairs left out" in left.err


def test_default_lists_keep_to_the_anchors(folder: Path) -> None:
    done = sweep(folder, *QUICK, "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["settings"]["k"] == [1, 2, 5, 10, 20]
    assert "k up to 20: " in done.err
    assert "holds 40 anchors" in done.err


@pytest.mark.parametrize(
    ("options", "messages"),
    [
        (("--k", "1,x"), ["--k 1,x: expected numbers separated by commas, as in --k 5,10,20"]),
        (("--k", "0,1"), ["k 0: expected a whole number"]),
        (("--k", "1.5"), ["k 1.5: expected a whole"]),
        (("--s", "1,1"), ["a s was given twice"]),
        (("--s", "nan"), ["s nan: expected a number"]),
        (("--anchors-size", "5"), ["5 anchors; expected at", "least 10"]),
        (("--seeds", "3"), ["give --anchors-size"]),
        (("--figure-format", "svg"), ["is about --figures"]),
        (("--dev", "dev.csv"), ["--best-at FAR go together"]),
        (("--best-at", "0.1"), ["--best-at FAR go together"]),
        (("--dev", "dev.csv", "--best-at", "2"), ["expected a fraction"]),
        (("--dev-embeddings", "dev.h5"), ["is about --dev"]),
        (("--k", "3", "--s", "2", "--figures", "."), ["--figures: give several k"]),
        (("--far", "2"), ["--far 2"]),
    ],
)
def test_options_that_are_wrong(
    folder: Path, options: tuple[str, ...], messages: list[str]
) -> None:
    done = sweep(folder, *options)
    assert done.code == 2
    said = " ".join(done.err.replace("│", " ").split())
    for message in messages:
        assert message in said


def test_the_same_list_does_not_judge_its_own_choice(folder: Path) -> None:
    done = sweep(folder, "--dev", folder / "pairs.csv", "--best-at", "0.1")
    assert done.code == 2
    assert "judged on" in done.err


def test_more_neighbours_than_anchors_are_all_anchors_as_in_every_command(folder: Path) -> None:
    asked = sweep(folder, "--k", "1,50,60", "--s", "1", "--json", *QUICK)
    assert [f"so k is 40, not {k}" in asked.err for k in (1, 50, 60)] == [False, True, True]
    assert json.loads(asked.out)["settings"]["k"] == [1, 40]
    all_of_them = sweep(folder, "--k", "1,40", "--s", "1", "--json", *QUICK)
    assert json.loads(asked.out)["pairs"] == json.loads(all_of_them.out)["pairs"]


def test_inputs_that_are_wrong(folder: Path) -> None:
    out = folder / "sweep.csv"
    out.write_text("before")
    write = ("-o", out, "--force")
    failed(sweep(folder, "--anchors-size", "41", *write), "at least 41, the largest size")
    failed(sweep(folder, *write, pairs="plain.csv"), "plain.csv: carries no labels", "hint:")
    dev = ("--dev", folder / "dev.csv", "--best-at", "1e-4", *LISTS)
    failed(
        sweep(folder, *dev, *write), "dev.csv: holds 135 impostor pairs; expected at least 10,000"
    )
    failed(sweep(folder, *dev, *write, pairs="plain.csv"), "plain.csv: carries no labels")
    failed(sweep(folder, *LISTS, "-o", out), "sweep.csv: exists already", "--force")
    failed(sweep(folder, *LISTS, "-o", folder / "sweep.xlsx"), "unknown kind of table")
    shown = faces(12, 3)
    write_embeddings(folder / "anchors.h5", type(anchors()).of(shown, kind="real-db"), force=True)
    failed(sweep(folder, *LISTS, *write), "6 subjects stand among the anchors")
    assert sweep(folder, *LISTS, *QUICK, "--allow-overlap").code == 0
    assert out.read_text() == "before"
    left = {"emb.h5", "anchors.h5", "pairs.csv", "dev.csv", "plain.csv", "sweep.csv"}
    assert {path.name for path in folder.iterdir()} == left
