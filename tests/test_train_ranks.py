"""Two processes train what one trains that takes the same parts one after the other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from damcli.training.checkpoint import checkpoint_path, steps_of
from tests.train_ranks import CASES, CHOSEN
from tests.training import Run, people, same, small, state_of, untimed

__all__ = ["small"]
pytestmark = pytest.mark.usefixtures("small")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("two")
    people(folder / "people")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", "-m", "tests.train_ranks"]
    started = [
        subprocess.Popen(
            [*command, str(rank), str(folder)], cwd=ROOT, env=environment, stderr=subprocess.PIPE
        )
        for rank in (0, 1)
    ]
    told = [process.communicate(timeout=300)[1].decode() for process in started]
    assert [process.returncode for process in started] == [0, 0], "\n".join(told)
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Return what is learnt: weights, centres and their momenta, without batch norm's averages."""
    return {
        name: value
        for name, value in state_of(folder).items()
        if isinstance(value, torch.Tensor) and "running" not in name and "tracked" not in name
    }


def test_they_learn_what_one_learns(tmp_path: Path, two: Path) -> None:
    Run(tmp_path, two / "people", replace(CHOSEN, accumulate=2)).go()
    mine, theirs = weights_of(tmp_path), weights_of(two / "plain")
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        assert torch.allclose(value, theirs[name], atol=1e-5), name
    rows = [untimed(folder / "log.csv") for folder in (tmp_path, two / "plain")]
    for one, other in zip(*rows, strict=True):
        steps, losses = zip(*(row.split(",")[0:3:2] for row in (one, other)), strict=True)
        assert steps[0] == steps[1]
        assert losses[0] == losses[1] or float(losses[0]) == pytest.approx(float(losses[1]), 1e-5)


def test_parts_of_their_batches(tmp_path: Path, two: Path) -> None:
    Run(tmp_path, two / "people", replace(CASES["accumulated"], accumulate=4)).go()
    mine, theirs = weights_of(tmp_path), weights_of(two / "accumulated")
    for name, value in mine.items():
        assert torch.allclose(value, theirs[name], atol=1e-5), name


@pytest.mark.parametrize("case", ["sampled", "triplet"])
def test_other_criteria_go_through(two: Path, case: str) -> None:
    for name, value in weights_of(two / case).items():
        assert torch.isfinite(value).all(), name
    assert steps_of(two / case / "checkpoints") == [8]


def test_an_overflow_in_the_centres_of_one_holds_both_back(two: Path) -> None:
    before, after = weights_of(two / "half"), weights_of(two / "overflow")
    assert before.keys() == after.keys()
    for name, value in before.items():
        assert torch.equal(value, after[name]), name


def test_centres_of_one_that_are_no_numbers_end_both_with_what_was_found(two: Path) -> None:
    told = [(two / f"diverged-{rank}").read_text() for rank in (0, 1)]
    assert told[0] == told[1]
    assert told[0].startswith("step 4: the weights are no numbers")
    assert steps_of(two / "spoiled/checkpoints") == [3]


def test_one_that_is_told_to_stop_stops_both_and_they_go_on_as_if_never(two: Path) -> None:
    assert same(state_of(two / "resumed"), state_of(two / "plain"))
    assert untimed(two / "resumed/log.csv") == untimed(two / "plain/log.csv")


def test_each_writes_its_centres_and_one_process_can_take_them_all(
    tmp_path: Path, two: Path
) -> None:
    kept = checkpoint_path(two / "plain/checkpoints", 8)
    names = sorted(path.name for path in kept.iterdir())
    assert names == ["centres-0-of-2.pt", "centres-1-of-2.pt", "state.pt"]
    shapes = [torch.load(kept / name)["centres"].shape[0] for name in names[:2]]
    assert shapes == [3, 2]
    alone = Run(two / "plain", two / "people", replace(CHOSEN, steps=9, accumulate=2))
    assert alone.progress.step == 8
    centres = dict(alone.learner.criterion.named_parameters())["centres"]
    assert torch.equal(centres, state_of(two / "plain")["/centres/centres"])
    alone.go()


def test_the_command_under_torchrun(tmp_path: Path, two: Path) -> None:
    """One of the processes speaks and writes, and all of them end well."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    options = ["--recipe=cpu", "--dim=4", "--batch=8", "--workers=0", "--json"]
    validate = f"--validate={people(tmp_path / 'heldout', 4, prefix='other')}"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def train(*more: str) -> subprocess.CompletedProcess[str]:
        command = [*launch, "-m", "tests.train_command", str(two / "people"), "-o", str(run)]
        return subprocess.run(
            [*command, *options, *more], cwd=ROOT, env=environment, capture_output=True, text=True
        )

    run = tmp_path / "run"
    done = train("--steps=3", validate)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["step"] == 3
    assert done.stderr.count("in 2 processes") == done.stderr.count("step 3: loss") == 1
    assert {path.name for path in run.iterdir()} >= {"model.onnx", "centres.npy", "log.csv"}
    refused = train("--steps=3")
    assert refused.returncode == 1
    assert refused.stderr.count("error: ") == refused.stderr.count("holds a run already") == 1
