"""The whole paper at the scale of a CPU, as examples/paper/README.md has it."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

PAPER = Path(__file__).parent.parent / "examples" / "paper"


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("paper")
    run = subprocess.run(
        ["bash", PAPER / "paper.sh"],
        env={**os.environ, "SCALE": "small", "OUT": str(out), "PYTHON": sys.executable},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return out


def test_every_kind_of_lid_gets_its_table(paper: Path) -> None:
    tables = {path.stem: path.read_text() for path in (paper / "tables").iterdir()}
    assert set(tables) == {f"lfw-{kind}" for kind in ("real-db", "fc-weights", "fake-db", "lidr")}
    for kind, table in tables.items():
        assert ("DAM-L" if kind == "lfw-lidr" else "DAM-R") in table
        assert "accuracy" in table


def test_the_model_has_learnt_to_tell_people_apart(paper: Path) -> None:
    with (paper / "run" / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    (tar,) = [name for name in rows[0] if "tar@" in name]
    values = [float(row[tar]) for row in rows if row[tar]]
    assert values[-1] > max(values[0], 0.2)  # chance is 0.001
    losses = [float(row["loss"]) for row in rows]
    assert losses[-1] < losses[0] / 2
