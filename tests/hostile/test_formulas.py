"""Ids that a spreadsheet would run: written as text where that is asked for, else as they are."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.scoring.formulas import escaped_text
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed
from tests.faces import anchors

EVIL = ["=HYPERLINK(0)", "+1", "-1+1", "@SUM(A1)", "\t=1", "'=1", "plain", "x=1"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    people = ["=cmd|' /C calc'!A0", "b"] * 4
    made = Embeddings.from_arrays(rng.normal(size=(8, 16)), EVIL, people)
    made.groups["=race"] = np.array(["-a", "b"] * 4, dtype=object)  # type: ignore[index]
    write_embeddings(tmp_path / "e.h5", made)
    write_embeddings(tmp_path / "a.h5", anchors())
    rows = [f"{probe},{reference}" for probe in EVIL for reference in (*EVIL, "=none")]
    (tmp_path / "pairs.csv").write_text("probe_id,reference_id\n" + "\n".join(rows) + "\n")
    return tmp_path


def cells(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def is_formula(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return False


def test_scores_and_what_was_left_out(folder: Path) -> None:
    score = ["score", folder / "pairs.csv", "-e", folder / "e.h5", "-a", folder / "a.h5"]
    score += ["--skip-missing", "--group", "=race"]
    assert damcli(*score, "-o", folder / "plain.csv").code == 0
    done = damcli(*score, "-o", folder / "safe.csv", "--escape-formulas")
    assert done.code == 0, done.err
    for name in ("plain", "safe"):
        for suffix in (".csv", ".rejects.csv"):
            found = cells(folder / f"{name}{suffix}")
            assert any(is_formula(one) for row in found for one in row) == (name == "plain")
    plain, safe = (cells(folder / f"{name}.csv") for name in ("plain", "safe"))
    assert len(plain) == len(safe) == 65
    for first, second in zip(plain, safe, strict=True):
        for old, new in zip(first, second, strict=True):
            assert new == (old if old.lstrip("-")[:1].isdigit() and "+" not in old
                           else escaped_text(old))  # fmt: skip


def test_compared_scores(folder: Path) -> None:
    labels = [f"{probe},{other},{probe == other:d}" for probe in EVIL for other in EVIL]
    (folder / "labelled.csv").write_text("probe_id,reference_id,label\n" + "\n".join(labels))
    compare = ["compare", folder / "labelled.csv", "-e", folder / "e.h5", "-a", folder / "a.h5"]
    done = damcli(*compare, "-o", folder / "c.csv", "--escape-formulas", "--resamples", 0)
    assert done.code == 0, done.err
    found = cells(folder / "c.csv")
    assert len(found) == 65
    assert not any(is_formula(one) for row in found for one in row)


def test_candidate_lists(folder: Path) -> None:
    identify = ["identify", folder / "e.h5", folder / "e.h5", "-a", folder / "a.h5", "--ranks", 1]
    done = damcli(*identify, "-o", folder / "c.csv", "--escape-formulas", "--resamples", 0)
    assert done.code == 0, done.err
    found = cells(folder / "c.csv")
    assert len(found) > 8
    assert not any(is_formula(one) for row in found for one in row)
    assert "'=cmd|' /C calc'!A0" in {one for row in found for one in row}


def test_the_same_rates_come_out_of_escaped_scores(folder: Path) -> None:
    sides = ["score", "--all-pairs", "-e", folder / "e.h5", "-a", folder / "a.h5"]
    tables = []
    for name, how in (("a.csv", []), ("b.csv", ["--escape-formulas"])):
        assert damcli(*sides, "-o", folder / name, *how).code == 0
        tables.append(damcli("evaluate", folder / name, "--csv", "--far", "0.1").out)
    assert tables[0] == tables[1]


@pytest.mark.parametrize("output", [(), ("-o", "s.parquet")])
def test_it_needs_a_csv(folder: Path, output: tuple[str, ...]) -> None:
    sides = ["-e", folder / "e.h5", "-a", folder / "a.h5"]
    done = damcli("score", "--all-pairs", *sides, "--escape-formulas", *output)
    assert done.code == 2
    assert "--escape-formulas goes with a CSV" in done.err


def test_a_list_of_pairs_is_not_mended_behind_ones_back(folder: Path) -> None:
    sides = ["-e", folder / "e.h5", "-a", folder / "a.h5", "-o", "-"]
    assert damcli("score", folder / "pairs.csv", *sides, "--skip-missing").out.count('\n"=HYP') > 2
    failed(damcli("score", folder / "pairs.csv", *sides), "row 10: id '=none' has no embedding")


@given(st.lists(st.text(max_size=5), unique=True))
def test_no_two_texts_become_one_and_each_comes_back(texts: list[str]) -> None:
    safe = [escaped_text(text) for text in texts]
    assert len(set(safe)) == len(texts)
    assert [one.removeprefix("'") if one[:1] == "'" else one for one in safe] == texts
    assert not any(one.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) for one in safe)
