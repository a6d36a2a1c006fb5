"""A sweep read back from its file gives the same curves, and what is no sweep is refused."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damcli.errors import InputError
from damcli.protocols.pairs import read_pairs
from damcli.reports.sweep_figures import over_anchors, over_k, over_s
from damcli.reports.sweep_file import read_sweep
from damcli.reports.sweep_part import sweep_part, sweep_pictures
from damcli.storage.hdf5 import write_embeddings
from damcli.sweeping.settings import DEFAULT, Plan, Setting
from damcli.sweeping.sweep import Sweep, sweep
from tests.cli import damcli
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs

FARS = (1e-6, 1e-2, 0.1)
PLAN = Plan((2, 10), (0.5, 1.0, 8.0), (12, 30), (0, 1))
LISTS = ("--k", "2,10", "--s", "0.5,1,8", "--far", "1e-6,1e-2,0.1", "--resamples", "20")
DRAWS = ("--anchors-size", "12,30", "--seeds", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two sweeps: one of pairs, one that chose on dev; each as CSV and JSON."""
    folder = tmp_path_factory.mktemp("swept")
    people = faces(16, 3, noise=1.2)
    write_embeddings(folder / "emb.h5", people)
    write_embeddings(folder / "anchors.h5", anchors())
    for name, rows in (("pairs", slice(0, 24)), ("dev", slice(24, 48))):
        path = write_pairs(folder / f"{name}.csv", people.take(rows))
        head, *lines = path.read_text().splitlines()
        folds = [f"{line},{number % 3}" for number, line in enumerate(lines)]
        path.write_text("\n".join([f"{head},fold", *folds]))
    files = (folder / "pairs.csv", "-e", folder / "emb.h5", "-a", folder / "anchors.h5")
    chosen = ("--dev", folder / "dev.csv", "--best-at", "0.1")
    for name, options in (("plain", DRAWS), ("chosen", chosen)):
        out = ("-o", folder / f"{name}.csv", "--json", "-q")
        done = damcli("sweep", *files, *LISTS, *options, *out)
        assert done.code == 0, done.err
        (folder / f"{name}.json").write_text(done.out)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Sweep:
    return sweep(
        *(read_pairs(folder / "pairs.csv"), faces(16, 3, noise=1.2), anchors()),
        plan=PLAN,
        fars=FARS,
        resamples=20,
    )


def drawn(figure: Any) -> list[Any]:
    """Everything that is drawn in numbers: lines, the corners of bands, dots, titles."""
    content = []
    for axes in figure.axes:
        content += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        content += [np.asarray(line.get_xydata()).tolist() for line in axes.lines]
        for one in axes.collections:
            content += [path.vertices.tolist() for path in one.get_paths()]
            content.append(np.asarray(one.get_offsets()).tolist())
    return content


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_the_curves_of_a_file_are_those_of_the_sweep(folder: Path, found: Sweep, kind: str) -> None:
    stored = read_sweep(folder / f"plain.{kind}")
    assert stored.tested is None
    assert stored.curves.plan == PLAN
    assert stored.curves.anchors == 40
    for draw in (over_k, over_s, over_anchors):
        assert drawn(draw(stored.curves)) == drawn(draw(found))
    for setting in (*PLAN.grid, *PLAN.drawn):
        mine, theirs = stored.curves.of(setting), found.of(setting)
        assert (mine.tars, mine.eer, mine.auc) == (theirs.tars, theirs.eer, theirs.auc)
        assert (mine.folds, mine.best_threshold) == (theirs.folds, theirs.best_threshold)


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_what_was_chosen_is_read_with_how_it_did(folder: Path, kind: str) -> None:
    stored = read_sweep(folder / f"chosen.{kind}")
    document = json.loads((folder / "chosen.json").read_text())
    chosen = document["chosen"]
    assert stored.tested is not None
    assert stored.tested.setting == Setting(chosen["k"], chosen["s"])
    by_setting = {(one["k"], one["s"]): one["rows"] for one in document["test"]["metrics"]}
    for key, metric in (
        ((None, None), stored.tested.cosine),
        ((DEFAULT.k, DEFAULT.s), stored.tested.default),
        ((chosen["k"], chosen["s"]), stored.tested.chosen),
    ):
        tars = [row["value"] for row in by_setting[key] if row["quantity"] == "TAR@FAR"]
        assert [None if one is None else one.value for one in metric.tars] == tars
    dev = {(one["k"], one["s"]): one["rows"] for one in document["dev"]["metrics"]}
    assert stored.curves.of(Setting(2, 8.0)).tars[2].value == next(  # type: ignore[union-attr]
        row["value"] for row in dev[2, 8.0] if row["far"] == 0.1
    )


def test_the_section_says_that_nothing_was_chosen(folder: Path) -> None:
    part = sweep_part("plain.csv", "abc", read_sweep(folder / "plain.csv"))
    assert part.notes[0].startswith("Nothing was chosen")
    assert part.notes[-1] == "FAR 1e-6: n/a (needs ≥ 1,000,000 impostor pairs)"
    assert part.tables == []
    assert ("sweep, SHA-256", "abc") in part.facts


def test_the_section_says_what_was_chosen_and_how_it_does(folder: Path) -> None:
    stored = read_sweep(folder / "chosen.csv")
    tested = stored.tested
    assert tested is not None
    part = sweep_part("chosen.csv", "abc", stored)
    assert f"Chosen by them: {tested.setting.name}; " in part.notes[0]
    assert "Nothing was chosen" not in "".join(part.notes)
    ((_, grid),) = part.tables
    (line,) = [line for line in grid.lines if line[0] == "TAR at FAR 1e-1"]
    values = [one.tars[2].value for one in (tested.cosine, tested.chosen) if one.tars[2]]
    assert (line[1], line[-2]) == tuple(f"{100 * value:.2f} %" for value in values)
    assert str(line[-1]).startswith(f"{100 * (values[1] - values[0]):+.2f} [")


def test_the_pictures_are_told_to_those_who_do_not_see_them(folder: Path, found: Sweep) -> None:
    pictures = sweep_pictures(read_sweep(folder / "plain.csv").curves)
    assert [one.name for one in pictures] == ["sweep_k", "sweep_s", "sweep_anchors"]
    values = {s: found.of(Setting(10, s)).points[2].tar or 0 for s in PLAN.scales}
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    cosine = 100 * (found.cosine.points[2].tar or 0)
    assert (
        f"TAR at FAR 1e-1 is lowest, {100 * values[low]:.2f} %, at {low:g}, and highest, "
        f"{100 * values[high]:.2f} %, at {high:g}; cosine has {cosine:.2f} %."
    ) in pictures[1].alt


Rows = list[dict[str, str]]


def changed(folder: Path, tmp_path: Path, name: str, change: Callable[[Rows], Any]) -> Path:
    with (folder / f"{name}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows = change(rows) or rows
    path = tmp_path / "changed.csv"
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def put(at: int, **cells: str) -> Callable[[Rows], None]:
    return lambda rows: rows[at].update(cells)


def only(**cells: str) -> Callable[[Rows], Rows]:
    """Keep cosine, and the settings with these cells."""

    def keep(rows: Rows) -> Rows:
        return [
            row
            for row in rows
            if row["metric"] == "cosine" or all(row[name] == cells[name] for name in cells)
        ]

    return keep


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("plain", put(20, value="1.5"), "row 22: value is '1.5'; expected a fraction between"),
        ("plain", put(20, value="high"), "row 22: value is 'high'; expected a finite number"),
        ("plain", put(20, difference_low="nan"), "difference_low is 'nan'; expected a finite"),
        ("plain", put(1, k="2.5"), "row 3: k is '2.5'; expected a whole number"),
        ("plain", put(1, metric="DAM-L"), "row 3: metric is 'DAM-L'; expected cosine, or DAM-R"),
        ("plain", put(0, on="train"), "row 2: on is 'train'; expected one of pairs, dev, test"),
        ("plain", put(0, on="dev"), "holds numbers on dev and pairs; expected pairs, or dev and"),
        ("plain", lambda rows: rows[:-1], "lacks the FARs and folds of cosine of"),
        ("plain", lambda rows: rows[:30], "lacks EER of cosine"),
        ("plain", lambda rows: rows[:6], "lacks all numbers of k = 2, s = 8; expected every"),
        ("plain", lambda rows: [*rows, rows[-1]], "stand there twice"),
        ("plain", put(3, anchors="41"), "2 sets of anchors; expected"),
        ("plain", only(k="10", s="1.0", seed=""), "holds one setting; expected several k"),
        (
            "plain",
            lambda rows: [
                row
                for row in rows
                if row["far"] in ("", "1e-06") and not row["quantity"].startswith("accuracy")
            ],
            "no FAR in it allows a false accept",
        ),
        ("chosen", lambda rows: [r for r in rows if r["on"] == "dev"], "holds numbers on dev;"),
        (
            "chosen",
            lambda rows: [r for r in rows if r["on"] == "dev" or r["k"] != "10"],
            "lacks the test of k = 10, s = 1",
        ),
    ],
)
def test_a_damaged_table(
    folder: Path, tmp_path: Path, name: str, change: Callable[[Rows], Any], message: str
) -> None:
    path = changed(folder, tmp_path, name, change)
    with pytest.raises(InputError) as caught:
        read_sweep(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(str(path))
    assert "sweep" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"probe_id,reference_id,label\na,b,1\n", "row 1: has no column on, metric, k"),
        ("a.csv", b"", "is empty; expected the table of damcli sweep"),
        ("a.csv", b"\xff\xfe\x00", "is no sweep that can be read"),
        ("a.json", b"{", "is no sweep that can be read"),
        (
            "a.json",
            b'{"schema": "damcli/evaluation", "schema_version": 1}',
            "is of schema damcli/ev",
        ),
        ("a.json", b'{"schema": "damcli/sweep", "schema_version": 1}', "holds no numbers"),
        (
            "a.json",
            b'{"schema": "damcli/sweep", "schema_version": 1, "pairs": {"metrics": [{}]}}',
            "is no sweep that can be read ('rows')",
        ),
    ],
)
def test_what_is_no_sweep(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_sweep(tmp_path / name)
    assert message in str(caught.value)


def test_a_table_cut_short(folder: Path, tmp_path: Path) -> None:
    text = (folder / "plain.csv").read_text()
    (tmp_path / "cut.csv").write_text(text[: text.rindex(",")])
    with pytest.raises(InputError, match="has more or fewer cells than the header"):
        read_sweep(tmp_path / "cut.csv")
    with pytest.raises(InputError, match="no such file; expected a sweep's numbers"):
        read_sweep(tmp_path / "none.csv")
