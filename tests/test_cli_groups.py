"""--group of score and evaluate, from outside."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damcli.evaluation.spread import spread
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces

FARS = ("--far", "1e-2,0.1", "--resamples", "20")


def people() -> Embeddings:
    """40 people of three groups, whose names any reader of numbers or markup would spoil."""
    made = faces(40, 3)
    numbers = [int(name[1:]) for name in made.subjects]
    race = ["" if n == 7 else ("007", "B [red]", "é, ü")[n % 3] for n in numbers]
    site = [f"site{n % 2}" for n in range(len(made))]
    columns = {"race": race, "site": site}
    return replace(
        made, groups={name: np.array(column, dtype=object) for name, column in columns.items()}
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_embeddings(tmp_path / "emb.h5", people())
    write_embeddings(tmp_path / "anchors.h5", anchors())
    return tmp_path


def all_pairs(folder: Path, *options: object) -> Outcome:
    files = ("-e", folder / "emb.h5", "-a", folder / "anchors.h5")
    return damcli("score", "--all-pairs", *files, *options)


def groups_of(done: Outcome) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    return json.loads(done.out)["groups"]


def unnamed(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Round thresholds, and leave out the metrics' names: score and evaluate differ in both.

    All pairs are scored in blocks when they are written, but genuine ones by themselves when
    they are evaluated: the last bit may differ.
    """
    for one in groups:
        for row in (*one["rows"], *one["impostors_by_groups"]):
            row["metric"] = row["metric"] == "cosine"
            row["threshold"] = None if row["threshold"] is None else round(row["threshold"], 12)
    return groups


def test_scores_keep_the_groups_for_later(folder: Path) -> None:
    out = folder / "scores.csv"
    asked = ("--group", "race", "--group", "site", *FARS, "--json")
    at_once = groups_of(all_pairs(folder, "-o", out, *asked))
    later = groups_of(damcli("evaluate", out, *asked))
    assert [one["by"] for one in at_once] == ["race", "site"]
    assert unnamed(at_once) == unnamed(later)
    header = out.read_text().splitlines()[0].split(",")
    assert header[5:9] == ["probe_race", "reference_race", "probe_site", "reference_site"]


def test_groups_are_counted_as_a_slow_reader_counts_them(folder: Path) -> None:
    out = folder / "scores.csv"
    (found,) = groups_of(all_pairs(folder, "-o", out, "--group", "race", *FARS, "--json"))
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    lines = ["007", "B [red]", "é, ü", "within groups", "across groups", "group not known"]
    assert [line["group"] for line in found["pairs"]] == lines

    def line(row: dict[str, str]) -> str:
        probe, reference = row["probe_race"], row["reference_race"]
        if "" in (probe, reference):
            return "group not known"
        return probe if probe == reference else "across groups"

    for name in (*lines[:3], *lines[4:]):
        mine = [row["label"] for row in rows if line(row) == name]
        (counted,) = [one for one in found["pairs"] if one["group"] == name]
        assert (counted["genuine"], counted["impostors"]) == (mine.count("1"), mine.count("0"))
    measured = [r for r in found["rows"] if r["kind"] != "spread" and r["value"] is not None]
    assert len(measured) > 30
    for one in measured:
        column = "cosine" if one["metric"] == "cosine" else "score"
        wanted = {"FMR": "0", "FNMR": "1", "error": "01"}[one["quantity"]]
        groups = lines[:3] if one["group"] == "within groups" else [one["group"]]
        mine = [row for row in rows if line(row) in groups and row["label"] in wanted]
        wrong = [(float(row[column]) >= one["threshold"]) != (row["label"] == "1") for row in mine]
        assert (one["errors"], one["pairs"]) == (sum(wrong), len(mine))
        assert one["value"] == sum(wrong) / len(mine)
        assert one["low"] <= one["value"] <= one["high"]


def test_differences_and_factors_are_to_cosine(folder: Path) -> None:
    (found,) = groups_of(all_pairs(folder, "--group", "site", *FARS, "--json"))
    rows = [row for row in found["rows"] if row["value"] is not None]
    key = ("quantity", "far", "kind", "group")
    before = {tuple(row[k] for k in key): row for row in rows if row["metric"] == "cosine"}
    factors = 0
    for row in rows:
        if row["metric"] == "cosine":
            assert row["difference"] is row["factor"] is None
        elif row["factor"] is not None:
            value = before[tuple(row[k] for k in key)]["value"]
            assert row["factor"] == pytest.approx(row["value"] / value)
            assert row["factor_low"] <= row["factor"]
            factors += 1
        elif "max" not in row["quantity"]:
            value = before[tuple(row[k] for k in key)]["value"]
            assert row["difference"] == pytest.approx(row["value"] - value)
    assert factors
    rates = [
        row["value"]
        for row in rows
        if (row["quantity"], row["kind"], row["metric"]) == ("error", "group", "cosine")
    ]
    (skewed,) = [
        row["value"]
        for row in rows
        if (row["quantity"], row["metric"]) == ("skewed error ratio", "cosine")
    ]
    assert skewed == pytest.approx(spread(np.array(rates), "max/min"))


def test_tables_show_labels_as_they_are_and_fit_the_width(folder: Path) -> None:
    done = all_pairs(folder, "--group", "race", *FARS)
    for text in ("By race: 3 groups", "without race", "007", "B [red]", "é, ü", "FMR [95 %]"):
        assert text in done.out
    assert "FNMR max/geometric mean" in done.out
    assert "across groups" in done.out
    assert "…" not in done.out
    tables = done.out[done.out.index("By race") :].splitlines()
    assert max(len(line.rstrip()) for line in tables if "─" not in line) <= 130


def test_csv_has_one_header_for_both(folder: Path) -> None:
    done = all_pairs(folder, "--group", "site", *FARS, "--csv")
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert {"TAR@FAR", "FMR", "FNMR", "FMR max/min"} <= {row["quantity"] for row in rows}
    (site,) = [
        r for r in rows if (r["quantity"], r["group"], r["metric"]) == ("error", "site0", "cosine")
    ]
    assert site["by"] == "site"
    assert rows[0]["by"] == ""


def pair_list(folder: Path, columns: str, label: bool = True) -> Path:
    ids = people().ids
    out = folder / "pairs.csv"
    with out.open("w") as file:
        file.write(f"probe_id,reference_id{',label' if label else ''},{columns}\n")
        for i in range(0, 117):
            cells = [ids[i], ids[(i + 1 + i % 2 * 40) % 120]]
            same = cells[0][:4] == cells[1][:4]
            value = f"a{i % 2}" if columns == "age" else f"a{i % 2},a{i % 3 % 2}"
            file.write(",".join([*cells, *([str(int(same))] if label else []), value]) + "\n")
    return out


def test_the_list_s_own_column_goes_before_the_embeddings(folder: Path) -> None:
    pairs = pair_list(folder, "age")
    files = ("-e", folder / "emb.h5", *FARS, "--json")
    (found,) = groups_of(damcli("score", pairs, *files, "--group", "age"))
    assert [line["group"] for line in found["pairs"]] == ["a0", "a1", "within groups"]
    text = pairs.read_text().replace(",age\n", ",race\n")
    pairs.write_text(text)
    (found,) = groups_of(damcli("score", pairs, *files, "--group", "race"))
    assert [line["group"] for line in found["pairs"]] == ["a0", "a1", "within groups"]


def test_a_list_may_name_both_sides(folder: Path) -> None:
    pairs = pair_list(folder, "probe_age,reference_age")
    out = folder / "scores.csv"
    asked = ("--group", "age", *FARS, "--json")
    first = groups_of(damcli("score", pairs, "-e", folder / "emb.h5", "-o", out, *asked))
    assert "across groups" in [line["group"] for line in first[0]["pairs"]]
    assert groups_of(damcli("evaluate", out, *asked)) == first
    failed(
        damcli("score", pairs, "-e", folder / "emb.h5", "--group", "camera"),
        "pairs.csv: no column 'camera' to group by; expected one of age, race, site",
        "hint: ",
    )


def test_unlabelled_pairs_get_the_columns(folder: Path) -> None:
    pairs = pair_list(folder, "age", label=False)
    out = folder / "scores.csv"
    done = damcli("score", pairs, "-e", folder / "emb.h5", "-o", out, "--group", "race")
    assert (done.code, done.out) == (0, "")
    assert "probe_race,reference_race" in out.read_text().splitlines()[0]


def test_groups_at_a_given_threshold(folder: Path) -> None:
    out, picked = folder / "scores.csv", folder / "threshold.json"
    all_pairs(folder, "-o", out, "--group", "site")
    damcli("evaluate", out, "--threshold-at", "0.05", "-o", picked, "--resamples", "0")
    threshold = json.loads(picked.read_text())["threshold"]
    asked = ("--threshold", picked, "--group", "site", *FARS)
    (found,) = groups_of(damcli("evaluate", out, *asked, "--json"))
    assert {row["metric"] for row in found["rows"]} == {"score"}
    assert {row["threshold"] for row in found["rows"]} == {threshold}
    assert {row["far"] for row in found["rows"]} == {0.05}
    printed = damcli("evaluate", out, *asked).out
    assert "By site" in printed
    by_score = all_pairs(folder, *asked, "--json")
    assert unnamed(groups_of(by_score))[0]["pairs"] == found["pairs"]


def test_distances_keep_their_unit(folder: Path) -> None:
    out = folder / "scores.csv"
    all_pairs(folder, "-o", out, "--group", "site")
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    far_apart = folder / "distances.csv"
    with far_apart.open("w") as file:
        file.write("label,d,site\n")
        file.writelines(
            f"{row['label']},{-float(row['cosine'])!r},{row['probe_site']}\n" for row in rows
        )
    asked = ("--score", "d", "--distance", "--group", "site", *FARS, "--json")
    (found,) = groups_of(damcli("evaluate", far_apart, *asked))
    for row in found["rows"]:
        if row["kind"] != "group" or row["value"] is None or row["quantity"] != "FMR":
            continue
        mine = [r for r in rows if r["probe_site"] == row["group"] and r["label"] == "0"]
        assert row["errors"] == sum(-float(r["cosine"]) <= row["threshold"] for r in mine)


def test_what_cannot_be_told_apart_gets_one_message(folder: Path) -> None:
    out = folder / "scores.csv"
    failed(all_pairs(folder, "--group", "age", "-o", out), "no column 'age'", "race, site")
    assert not out.exists()
    twice = all_pairs(folder, "--group", "site", "--group", "site")
    assert twice.code == 2
    assert "--group site was given twice" in twice.err
    all_pairs(folder, "-o", out, "--group", "race")
    failed(
        damcli("evaluate", out, "--group", "site"),
        "scores.csv: no column 'site' to group by; expected one of race",
    )
    failed(damcli("evaluate", out, "--group", "label"), "no column 'label' to group by")
    plain = folder / "plain.csv"
    all_pairs(folder, "-o", plain)
    failed(damcli("evaluate", plain, "--group", "race"), "there are no further columns")
    many = folder / "many.csv"
    many.write_text("label,score,who\n" + "".join(f"{i % 2},{i},p{i}\n" for i in range(500)))
    failed(
        damcli("evaluate", many, "--group", "who"),
        "many.csv: column 'who' holds more than 200 different values; expected groups",
        "bands",
    )


def test_a_gallery_without_the_column_is_refused(folder: Path) -> None:
    gallery = folder / "gallery.h5"
    write_embeddings(gallery, replace(people(), groups={}))
    failed(all_pairs(folder, "--gallery", gallery, "--group", "race"), "no column 'race'")


def test_a_column_of_blanks_has_no_groups(folder: Path) -> None:
    blank = replace(people(), groups={"race": np.full(120, " ", dtype=object)})
    write_embeddings(folder / "emb.h5", blank, force=True)
    (found,) = groups_of(all_pairs(folder, "--group", "race", *FARS, "--json"))
    counts = {line["group"]: line["genuine"] for line in found["pairs"]}
    assert counts == {"within groups": 0, "group not known": 120}
    spreads = [row for row in found["rows"] if row["kind"] == "spread"]
    assert {row["note"] for row in spreads} == {"n/a (groups with a rate: 0)"}
    assert "By race: 0 groups; 120 genuine" in all_pairs(folder, "--group", "race", *FARS).out


def test_a_far_beyond_the_pairs_is_said_once_a_metric(folder: Path) -> None:
    (found,) = groups_of(all_pairs(folder, "--group", "site", "--far", "1e-9,0.1", "--json"))
    low = [row for row in found["rows"] if row["far"] == 1e-9]
    assert {row["note"] for row in low} == {"n/a (needs ≥ 1,000,000,000 impostor pairs)"}
    assert [(row["quantity"], row["metric"]) for row in low] == [
        ("FMR", "cosine"),
        ("FMR", "DAM-R"),
        ("FNMR", "cosine"),
        ("FNMR", "DAM-R"),
    ]


@pytest.mark.parametrize("command", [("evaluate",), ("report", "-o", "page.html")])
def test_a_score_given_twice(folder: Path, command: tuple[str, ...]) -> None:
    scores = folder / "twice.csv"
    scores.write_text("probe_id,reference_id,label,score\na,b,1,2\na,c,0,1\n")
    done = damcli(*command, scores, "--score", "score", "--score", "score")
    assert done.code == 2
    assert "--score score was given twice" in done.err
