from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.lidr import write_lidr
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.lidrs import lidr
from tests.test_compare import NAMES
from tests.test_scoring import write_pairs

QUICK = ("--far", "1e-2,0.1", "--resamples", "20")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = faces(12, 3)
    write_embeddings(tmp_path / "emb.h5", people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    fake = Anchors.of(faces(30, 1, seed=5, prefix="fake"), kind="fake-db")
    write_embeddings(tmp_path / "fake.h5", fake)
    write_lidr(tmp_path / "lidr.h5", lidr())
    write_pairs(tmp_path / "pairs.csv", people)
    write_pairs(tmp_path / "unlabelled.csv", people, labels=False)
    return tmp_path


def compare(folder: Path, *options: object, pairs: str = "pairs.csv") -> Outcome:
    return damcli("compare", folder / pairs, "-e", folder / "emb.h5", *options)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_table_json_and_csv_agree(folder: Path) -> None:
    options = ("-a", folder / "anchors.h5", *QUICK)
    shown, document, listed = (
        compare(folder, *options, *more) for more in ((), ("--json",), ("--csv",))
    )
    assert shown.code == document.code == listed.code == 0, shown.err
    found = json.loads(document.out)
    assert found["command"] == "compare"
    assert set(found["inputs"]) == {"embeddings", "anchors", "pairs"}
    assert found["settings"] == {
        **{"k": 10, "s": 1.0, "cohort_size": 300, "beta": 0.35, "nes_steps": 3}
    }
    assert tuple(metric["name"] for metric in found["metrics"]) == NAMES
    numbers = {
        (metric["name"], row["quantity"], row["far"]): row
        for metric in found["metrics"]
        for row in metric["rows"]
    }
    lines = rows(listed.out)
    assert len(lines) == len(numbers) == len(NAMES) * (2 + 3)
    for line in lines:
        key = line["metric"], line["quantity"], float(line["far"]) if line["far"] else None
        for name in ("value", "difference", "difference_low", "difference_high"):
            assert (float(line[name]) if line[name] else None) == numbers[key][name]
        assert f"{100 * float(line['value']):.2f} %" in shown.out
    assert "8 metrics are compared, and no interval is corrected" in shown.out
    assert "40 real-db anchors" in shown.err


def test_each_source_brings_its_scores(folder: Path) -> None:
    sources = ("-a", folder / "anchors.h5", "-a", folder / "fake.h5", "--lidr", folder / "lidr.h5")
    done = compare(folder, *sources, *QUICK, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert [metric["name"] for metric in found["metrics"]] == [
        "cosine",
        *(f"{name} (real-db)" for name in NAMES[1:]),
        *(f"{name} (fake-db)" for name in NAMES[1:]),
        *("DAM-L", "DAM-L product"),
    ]
    assert set(found["inputs"]) == {
        *("embeddings", "pairs", "lidr", "anchors (real-db)", "anchors (fake-db)"),
    }
    alone = json.loads(compare(folder, "--lidr", folder / "lidr.h5", *QUICK, "--json").out)
    assert [metric["name"] for metric in alone["metrics"]] == ["cosine", "DAM-L", "DAM-L product"]
    assert alone["settings"] == {"k": 10, "s": 1.0}
    assert alone["metrics"][1:] == found["metrics"][-2:]


def test_it_says_of_dam_what_score_says(folder: Path) -> None:
    options = ("-a", folder / "anchors.h5", "-k", 4, "-s", 2, *QUICK, "--json")
    one, other = (
        json.loads(damcli(name, folder / "pairs.csv", "-e", folder / "emb.h5", *options).out)
        for name in ("compare", "score")
    )
    assert one["metrics"][:2] == other["metrics"]


def test_numbers_that_were_asked_for_count(folder: Path) -> None:
    base = (folder, "-a", folder / "anchors.h5", *QUICK, "--csv")
    plain = {
        (r["metric"], r["quantity"], r["far"]): r["threshold"] for r in rows(compare(*base).out)
    }
    changed = {"--cohort-size": ("7", {"AS-norm"}), "--beta": ("0.1", {"NES"})}
    changed |= {"--nes-steps": ("1", {"NES"}), "-s": ("2", {"DAM-R", "DAM-R product"})}
    changed |= {"-k": ("3", {"DAM-R", "DAM-R product", "CSLS", "NES"})}
    for option, (value, metrics) in changed.items():
        found = {
            row["metric"]
            for row in rows(compare(*base, option, value).out)
            if row["threshold"] != plain[row["metric"], row["quantity"], row["far"]]
        }
        assert found == metrics, option


def test_all_pairs_and_a_gallery(folder: Path) -> None:
    people = faces(12, 3)
    write_embeddings(folder / "probes.h5", people.take(slice(0, 18)))
    done = damcli(
        *("compare", "--all-pairs", "-e", folder / "probes.h5", "--gallery", folder / "emb.h5"),
        *("-a", folder / "anchors.h5", *QUICK, "--json"),
    )
    assert done.code == 0, done.err
    counts = json.loads(done.out)["counts"]
    assert counts["genuine"] + counts["impostors"] == 18 * 36 - 18


def test_scores_are_written_and_evaluated_alike(folder: Path) -> None:
    out = folder / "scores.csv"
    options = ("-a", folder / "anchors.h5", *QUICK, "--csv")
    first = compare(folder, *options, "-o", out)
    assert first.code == 0, first.err
    columns = list(rows(out.read_text())[0])[5:]
    assert columns == [
        *("cosine", "dam_r", "dam_r_product", "csls"),
        *("z_norm", "t_norm", "s_norm", "as_norm", "nes"),
    ]
    again = damcli("evaluate", out, *(f"--score={name}" for name in columns), *QUICK, "--csv")
    for one, other in zip(rows(first.out), rows(again.out), strict=True):
        assert {**one, "metric": ""} == {**other, "metric": ""}
    failed(compare(folder, *options, "-o", out), "scores.csv", "--force")
    # A file of scores is a pair list; its old scores give way to the new ones.
    more = compare(folder, *options, "-o", folder / "more.csv", pairs="scores.csv")
    assert more.code == 0, more.err
    assert "dam_r_product" in more.err
    assert rows((folder / "more.csv").read_text()) == rows(out.read_text())


def test_a_threshold_belongs_to_the_norms_it_was_picked_on(folder: Path) -> None:
    sets = ("-a", folder / "anchors.h5", "-a", folder / "fake.h5")
    made = {
        "dev": (*sets, "--cohort-size", 7),
        "same": (*sets, "--cohort-size", 7),
        "other": (*sets, "--cohort-size", 9),
        "exchanged": (*sets[2:], *sets[:2], "--cohort-size", 7),
    }
    for name, options in made.items():
        done = compare(folder, *options, *QUICK, "-o", folder / f"{name}.csv")
        assert done.code == 0, done.err
    column = "--score=as_norm_real_db"
    picked = damcli(
        *("evaluate", folder / "dev.csv", column, "--threshold-at", "0.1"),
        *("-o", folder / "threshold.json", *QUICK),
    )
    assert picked.code == 0, picked.err
    given = (column, "--threshold", folder / "threshold.json", *QUICK)
    assert damcli("evaluate", folder / "same.csv", *given).code == 0
    failed(damcli("evaluate", folder / "other.csv", *given), "expected cohort_size 9")
    failed(damcli("evaluate", folder / "exchanged.csv", *given), "picked on scores with anchors")


def test_the_calibration_goes_to_the_set_it_was_made_with(folder: Path) -> None:
    people = faces(60, 4, seed=3, noise=0.9, prefix="dev")
    write_embeddings(folder / "dev.h5", people)
    write_pairs(folder / "dev.csv", people)
    made = damcli(
        *("calibrate", folder / "dev.csv", "-e", folder / "dev.h5", "-a", folder / "fake.h5"),
        *("-o", folder / "calibration.json", "--resamples", "100", "-q"),
    )
    assert made.code == 0, made.err
    calibration = ("--calibration", folder / "calibration.json", *QUICK, "--json")
    sets = ("-a", folder / "anchors.h5", "-a", folder / "fake.h5")
    found = json.loads(compare(folder, *sets, *calibration).out)
    by_name = {metric["name"]: metric["rows"] for metric in found["metrics"]}
    assert "calibrated (real-db)" not in by_name
    scored = json.loads(
        damcli(
            *("score", folder / "pairs.csv", "-e", folder / "emb.h5", "-a", folder / "fake.h5"),
            *calibration,
        ).out
    )
    assert by_name["calibrated (fake-db)"] == scored["metrics"][2]["rows"]
    failed(
        compare(folder, "-a", folder / "anchors.h5", *calibration),
        *("calibration.json: made with anchors of SHA-256", "hint:"),
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "give what cosine is to be compared with"),
        (("--lidr", "lidr.h5", "--beta", "0.2"), "--beta is about anchors"),
        (("--lidr", "lidr.h5", "--cohort-size", "9"), "--cohort-size is about anchors"),
        (("--lidr", "lidr.h5", "--nes-steps", "2"), "--nes-steps is about anchors"),
        (("--lidr", "lidr.h5", "-k", "3"), "was fitted with -k 10"),
        (("-a", "anchors.h5", "-a", "./anchors.h5"), "is given twice"),
        (("-a", "anchors.h5", "--beta", "0"), "--beta 0: expected a number above 0"),
        (("-a", "anchors.h5", "--beta", "nan"), "--beta nan: expected a number above 0"),
        (("-a", "anchors.h5", "-s", "-1"), "-s -1: expected a number above 0"),
        (("-a", "anchors.h5", "--far", "2"), "--far 2"),
        (("-a", "anchors.h5", "--json", "--csv"), "exclude each other"),
        (("-a", "anchors.h5", "--all-pairs"), "give either a pair list or --all-pairs"),
    ],
)
def test_options_that_do_not_go_together(
    folder: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(folder)
    done = damcli("compare", "pairs.csv", "-e", "emb.h5", *options)
    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())


def test_bad_inputs(folder: Path) -> None:
    given = ("-a", folder / "anchors.h5")
    failed(compare(folder, *given, pairs="unlabelled.csv"), "unlabelled.csv: carries no labels")
    own = Anchors.of(faces(12, 3), kind="real-db")
    write_embeddings(folder / "own.h5", own)
    failed(compare(folder, "-a", folder / "own.h5"), "own.h5: 12 subjects stand among the anchors")
    narrow = Anchors.of(faces(5, 1, dim=8, prefix="n"), kind="real-db")
    write_embeddings(folder / "narrow.h5", narrow)
    failed(compare(folder, *given, "-a", folder / "narrow.h5"), "narrow.h5", "dimension 8")
    single = Embeddings.from_arrays([[1.0] * 16], ["one"])
    write_embeddings(folder / "single.h5", Anchors.of(single, kind="real-db"))
    out = folder / "scores.csv"
    failed(
        compare(folder, "-a", folder / "single.h5", "-o", out),
        *("single.h5: 'p000/0'", "equally similar to all 1 anchors", "--cohort-size"),
    )
    assert not out.exists()
    failed(compare(folder, "-a", folder / "none.h5"), "none.h5")
    with (folder / "pairs.csv").open("a") as file:
        file.write("p000/0,nobody,0\n")
    failed(compare(folder, *given), "row 632", "'nobody' has no embedding")
    skipped = compare(folder, *given, *QUICK, "--skip-missing", "--json")
    assert json.loads(skipped.out)["left_out"] == {"pairs": 1}
