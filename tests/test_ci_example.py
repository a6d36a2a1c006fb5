"""The pipeline of examples/ci/, run as it stands on made-up photographs and a small network."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.networks import conv_net

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / "examples" / "ci" / "verify.sh"
WORKFLOW = SCRIPT.with_name("github-actions.yml")


def people(folder: Path, first: int, count: int) -> Path:
    """Draw three photographs of each person: a pattern of their own, and noise."""
    for person in range(first, first + count):
        rng = np.random.default_rng(person)
        pattern = rng.integers(0, 256, (8, 8, 3))
        (folder / f"p{person}").mkdir(parents=True)
        for number in range(3):
            noise = rng.normal(scale=20, size=(8, 8, 3))
            pixels = (pattern + noise).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / f"p{person}" / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ci")
    people(folder / "photos", 0, 8), people(folder / "training", 8, 12)
    conv_net(folder / "net.onnx", size=(8, 8))
    return folder


def verify(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    prepare = "--size 8x8 --crop center --color rgb --mean 127.5 --std 127.5"
    settings = {
        **{"MODEL": "net.onnx", "PHOTOS": "photos", "ANCHORS": "training"},
        **{"PREPARE": prepare, "REQUIRE": "AUC >= 0.6\n\ncosine:EER <= 50%"},
        **{"DAMCLI": f"{sys.executable} -m damcli", "PYTHONPATH": str(ROOT)},
    }
    return subprocess.run(
        ["bash", str(SCRIPT)],
        cwd=folder,
        env={**os.environ, **settings, **more},
        capture_output=True,
        text=True,
        check=False,
    )


def test_gates_that_are_met(folder: Path) -> None:
    done = verify(folder, OUT="met")
    assert done.returncode == 0, done.stderr
    assert "all gates are met: met/report.json" in done.stderr
    report = json.loads((folder / "met" / "report.json").read_text())
    assert report["schema"] == "damcli/evaluation"
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in (folder / "met").iterdir()} == {0}
    baseline = folder / "old.csv"
    baseline.write_bytes((folder / "met" / "scores.csv").read_bytes())
    same = verify(folder, OUT="met", BASELINE="old.csv", ANCHORS="met/anchors.h5")
    assert same.returncode == 0, same.stderr


def test_a_gate_that_is_not_met_ends_with_1(folder: Path) -> None:
    done = verify(folder, OUT="not", REQUIRE="AUC >= 0.6\nAUC > 1")
    assert done.returncode == 1
    assert "failed: AUC > 1" in done.stderr
    assert "all gates are met" not in done.stderr


def test_a_broken_photograph_ends_it(folder: Path) -> None:
    broken = people(folder / "broken", 30, 3) / "p30" / "9.png"
    broken.write_bytes(b"\x89PNG")
    done = verify(folder, OUT="broken-out", PHOTOS="broken")
    assert done.returncode == 1
    assert "9.png" in done.stderr
    assert not (folder / "broken-out" / "scores.csv").exists()


def test_what_must_be_said(folder: Path) -> None:
    done = verify(folder, MODEL="")
    assert done.returncode != 0
    assert "say which model to gate" in done.stderr


def test_the_workflow_runs_the_script_and_nothing_of_others() -> None:
    text = WORKFLOW.read_text(encoding="utf-8")
    assert not re.search(r"^\s*-?\s*uses:", text, re.MULTILINE)
    blocks = re.findall(r"^( +)run: \|\n((?:\1  .*\n|\n)+)", text, re.MULTILINE)
    assert len(blocks) == text.count("run: |") == 4
    for _, block in blocks:
        done = subprocess.run(
            ["bash", "-n"],
            input=textwrap.dedent(block),
            text=True,
            capture_output=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    names = set(re.findall(r"^#   ([A-Z]+) ", SCRIPT.read_text(), re.MULTILINE))
    assert names == {"MODEL", "PHOTOS", "ANCHORS", "PREPARE", "REQUIRE", "BASELINE", "OUT"}
    for name in names - {"OUT"}:
        assert f"{name}: ${{{{ vars.{name} }}}}" in text
