"""``damcli train``: what a run leaves, how it goes on, and every message."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from damcli.storage.files import read_anchors, read_embeddings
from damcli.training.checkpoint import load_state, steps_of
from tests.cli import Outcome, damcli, failed
from tests.images import encoded, picture, record, write_recordio
from tests.training import people, same, small, state_of, untimed

__all__ = ["small"]
pytestmark = pytest.mark.usefixtures("small")
ROOT = Path(__file__).parent.parent
FEW = ("--recipe", "cpu", "--dim", 4, "--batch", 8, "--workers", 0, "--dropout", 0.5)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return people(tmp_path_factory.mktemp("data") / "people")


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return people(tmp_path_factory.mktemp("data") / "heldout", 4, prefix="other")


def train(data: Path, run: Path, *more: object, steps: int | None = 4) -> Outcome:
    settled = () if steps is None else ("--steps", steps)
    return damcli("train", data, "-o", run, *FEW, *settled, *more)


@contextmanager
def stopped_at(step: int, monkeypatch: pytest.MonkeyPatch, number: int) -> Iterator[None]:
    """Send this process a signal while it takes a step, counted from 0."""
    from damcli.training import loop

    rate = loop.learning_rate

    def send(options: Any, now: int) -> float:
        if now == step:
            os.kill(os.getpid(), number)
        return rate(options, now)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "learning_rate", send)
        yield


def test_a_run_from_images_to_embeddings_and_anchors(
    tmp_path: Path, data: Path, heldout: Path
) -> None:
    run = tmp_path / "run"
    done = train(data, run, "--validate", heldout, "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["schema"] == "damcli/train" and said["step"] == said["chosen"] == 4
    assert said["options"]["milestones"] == [2, 3]
    assert said["validations"]["heldout"]["metric"] == said["best"]["metric"] == "tar@0.1"
    assert said["onnx_difference"] < 1e-4
    assert set(said["files"]) >= {"model", "centres", "classes", "log"}
    with (run / "classes.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows[:2] == [["class", "label", "images"], ["0", "p0", "4"]] and len(rows) == 6
    assert np.load(run / "centres.npy").shape == (5, 4)
    assert json.loads((run / "options.json").read_text())["options"] == said["options"]

    embedded = damcli("embed", heldout, "--model", run, "-o", tmp_path / "emb.h5")
    assert embedded.code == 0, embedded.err
    state = run / "checkpoints/step-00000004/state.pt"
    again = damcli("embed", heldout, "--model", state, "-o", tmp_path / "again.h5")
    assert again.code == 0, again.err
    vectors = [read_embeddings(tmp_path / name).vectors for name in ("emb.h5", "again.h5")]
    assert vectors[0].shape == (16, 4)
    assert np.allclose(*vectors, atol=1e-4)
    made = damcli("build-anchors", run, "--kind", "fc-weights", "-o", tmp_path / "anchors.h5")
    assert made.code == 0, made.err
    centres = np.load(run / "centres.npy")
    unit = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    assert np.allclose(read_anchors(tmp_path / "anchors.h5").vectors, unit, atol=1e-6)


def test_the_table_and_the_messages(tmp_path: Path, data: Path, heldout: Path) -> None:
    done = train(data, tmp_path / "run", "--validate", heldout, "--log-every", 2)
    assert "20 images of 5 subjects" in done.err and "4 steps of 8 images" in done.err
    assert "step 2: loss" in done.err and "heldout tar@0.1" in done.err
    assert "heldout" in done.out and "eer" in done.out and "(step 4)" in done.out
    quiet = train(data, tmp_path / "quiet", "--quiet")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", "")


def test_triplets_have_no_centres(tmp_path: Path, data: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        'head = "triplet"\nbatch = 8\nsteps = 2\nbackbone = "mobile"\nper_class = 2\n'
    )
    done = damcli("train", data, "-o", tmp_path / "run", "--config", config, "--workers", 0)
    assert done.code == 0, done.err
    assert not (tmp_path / "run/centres.npy").exists()
    assert (tmp_path / "run/model.onnx").exists()


def test_recordio_with_gaps_in_its_labels(tmp_path: Path) -> None:
    images = {
        key: record(float(label), encoded(picture(key)), key)
        for key, label in enumerate([900, 7, 900, 7, 20, 20, 7, 900], start=1)
    }
    write_recordio(tmp_path / "train.rec", images)
    assert train(tmp_path / "train.rec", tmp_path / "run", steps=2).code == 0
    with (tmp_path / "run/classes.csv").open(newline="") as file:
        assert [row[1] for row in csv.reader(file)] == ["label", "7", "20", "900"]


def test_a_broken_image_is_counted_named_and_listed(tmp_path: Path) -> None:
    broken = people(tmp_path / "people") / "p2" / "1.png"
    broken.write_bytes(b"no image")
    done = train(tmp_path / "people", tmp_path / "run")
    assert done.code == 0
    assert f"1 image(s) could not be read and others were shown instead, listed in {tmp_path}" in (
        done.err
    )
    with (tmp_path / "run/rejects.csv").open(newline="") as file:
        assert [row[0] for row in csv.reader(file)] == ["place", str(broken)]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_a_checkpoint_and_resume_ends_as_if_it_never_came(
    tmp_path: Path, data: Path, heldout: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    how = ("--validate", heldout, "--validate-every", 2)
    assert train(data, tmp_path / "whole", *how).code == 0
    run = tmp_path / "run"
    with stopped_at(2, monkeypatch, number):
        failed(
            train(data, run, *how),
            f"interrupted; a checkpoint of step 3 is kept in {run}",
            f"go on with: damcli train {data} -o {run} --resume",
            code=130,
        )
    assert not (run / "model.onnx").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    done = damcli("train", data, "-o", run, "--resume", "--workers", 0)
    assert done.code == 0, done.err
    assert "going on from step 3" in done.err
    assert same(_unrecorded(run), _unrecorded(tmp_path / "whole"))
    assert untimed(run / "log.csv") == untimed(tmp_path / "whole/log.csv")
    assert (run / "model.onnx").read_bytes() == (tmp_path / "whole/model.onnx").read_bytes()


def _unrecorded(run: Path) -> dict[str, Any]:
    return {name: value for name, value in state_of(run).items() if name != "/command"}


def test_killed_in_the_middle_of_a_checkpoint(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    script = f"""
import os, signal, torch
from pathlib import Path
from unittest.mock import patch
from damcli.training import checkpoint
from tests.training import Run, options, small_backbone
torch.set_num_threads(1)
appear = checkpoint._appear
def die(draft, target):
    if target.name == "step-00000006":
        os.kill(os.getpid(), signal.SIGKILL)
    appear(draft, target)
checkpoint._appear = die
with patch("damcli.training.learner.build_backbone", small_backbone):
    Run(Path({str(run)!r}), Path({str(data)!r}), options()).go()
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == -signal.SIGKILL
    left = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert left == [".draft-6", "step-00000003"]

    from tests.training import Run, options

    Run(run, data, options()).go()
    Run(tmp_path / "whole", data, options()).go()
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000008"]
    assert same(state_of(run), state_of(tmp_path / "whole"))
    assert untimed(run / "log.csv") == untimed(tmp_path / "whole/log.csv")


def test_a_full_disk_leaves_the_checkpoint_before(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from damcli.training import checkpoint

    write, limits = checkpoint._write, resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(path: Path, content: Any) -> None:
        if content.get("step") == 4:
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, limits[1]))
        try:
            write(path, content)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "_write", fill)
        failed(
            train(data, run, "--save-every", 2),
            f"{run}/checkpoints/step-00000004: not written (the disk is full)",
            "earlier checkpoints are as they were",
        )
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["step-00000002"]
    assert train(data, run, "--save-every", 2, "--resume").code == 0
    assert steps_of(run / "checkpoints") == [4]


def test_a_loss_that_is_no_number(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from damcli.training.learner import Learner

    loss = Learner.loss
    monkeypatch.setattr(Learner, "loss", lambda *more: loss(*more) * float("inf"))
    failed(
        train(data, tmp_path / "run"),
        "step 1: the loss is inf at learning rate 0.1; expected a finite number",
        "there is no checkpoint yet: start over with --force and a lower --lr, --clip 5",
    )


def test_resume_without_a_checkpoint_begins(tmp_path: Path, data: Path) -> None:
    done = train(data, tmp_path / "run", "--resume", steps=2)
    assert done.code == 0
    assert "it has no checkpoint yet" in done.err


def test_a_finished_run_goes_on_to_more_steps(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    assert train(data, run, steps=2).code == 0
    done = train(data, run, "--resume", "--lr", 0.01, steps=3)
    assert done.code == 0, done.err
    assert "steps: 3, before 2" in done.err and "lr: 0.01, before 0.1" in done.err
    assert load_state(run / "checkpoints/step-00000003")["options"]["lr"] == 0.01
    assert json.loads((run / "options.json").read_text())["options"]["steps"] == 3


def test_resume_refuses_what_contradicts_the_run(tmp_path: Path, data: Path, heldout: Path) -> None:
    run = tmp_path / "run"
    assert train(data, run, steps=2).code == 0
    failed(
        damcli("train", data, "-o", run, "--resume", "--head", "cosface", "--seed", 3),
        "--resume with head cosface (the run has arcface), seed 3 (the run has 0)",
        "lr, milestones",
    )
    failed(
        damcli("train", data, "-o", run, "--resume", "--recipe", "casia"),
        "backbone r50 (the run has mobile)",
    )
    failed(
        damcli("train", heldout, "-o", run, "--resume"),
        f"{heldout}: 16 images of 4 subjects that are not those the run was begun with; "
        "expected 20 images of 5 subjects",
    )
    (run / "options.json").write_text("{")
    failed(damcli("train", data, "-o", run, "--resume"), "options.json: is not JSON")


def test_a_damaged_checkpoint(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    assert train(data, run, steps=2).code == 0
    state = run / "checkpoints/step-00000002/state.pt"
    state.write_bytes(state.read_bytes()[:2000])
    failed(train(data, run, "--resume", steps=3), f"{state}: is damaged", "earlier one: remove")
    torch.save({"step": 2}, state)
    failed(train(data, run, "--resume", steps=3), "does not hold what the run needs to go on")
    (state.parent / "centres-0-of-1.pt").rename(state.parent / "centres-1-of-2.pt")
    failed(train(data, run, "--resume", steps=3), "expected one file of each process")


def test_what_is_in_the_way_stays(tmp_path: Path, data: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "mine.txt").write_text("dear to me")
    for more in ((), ("--force",), ("--resume",)):
        failed(train(data, run, *more), f"{run}: holds files, and none of damcli train")
    assert [path.name for path in run.iterdir()] == ["mine.txt"]
    shutil.rmtree(run)
    run.write_text("a file")
    failed(train(data, run, "--force"), f"{run}: is a file; expected the name of a folder")
    run.unlink()
    assert train(data, run, steps=2).code == 0
    failed(train(data, run), f"{run}: holds a run already", "--resume", "--force")
    before = (run / "model.onnx").read_bytes()
    (run / "notes.txt").write_text("mine")
    failed(train(tmp_path / "nothing", run, "--force"), "nothing")
    assert (run / "model.onnx").read_bytes() == before
    assert train(data, run, "--force", "--head", "triplet", "--per-class", 2, steps=3).code == 0
    assert steps_of(run / "checkpoints") == [3]
    assert not (run / "centres.npy").exists() and (run / "notes.txt").exists()


def test_two_runs_in_one_folder(tmp_path: Path, data: Path) -> None:
    from damcli.training.run_folder import RunFolder

    other = RunFolder(tmp_path / "run")
    other.begin({}, resume=False)
    failed(train(data, tmp_path / "run", "--force"), "another process is writing it")
    other.end()


CONFIGS = {
    "learning_rate = 1": "unknown key 'learning_rate'",
    'lr = "fast"': "lr is 'fast'; expected a number above 0",
    "steps = 1.5": "steps is 1.5; expected a whole number of 1 or more",
    "compile = 1": "compile is 1; expected true or false",
    "milestones = [3, 2]": "milestones is [3, 2]; expected whole numbers above 0 that rise",
    'head = "softmax"': "head is 'softmax'; expected one of normface",
    "= 3": "is not TOML",
}


@pytest.mark.parametrize("text", CONFIGS)
def test_what_is_wrong_in_a_config(tmp_path: Path, data: Path, text: str) -> None:
    config = tmp_path / "run.toml"
    config.write_text(text)
    done = train(data, tmp_path / "run", "--config", config)
    failed(done, f"error: {config}: {CONFIGS[text]}")
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_in_a_config_and_a_missing_one(tmp_path: Path, data: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text('recipe = "fast"')
    command = ("train", data, "-o", tmp_path / "run", "--config", config)
    failed(damcli(*command), f"error: {config}: recipe is 'fast'; expected one of casia, ms1m, cpu")
    config.unlink()
    failed(damcli(*command), f"{config}: no such file; expected a TOML file of options")


USAGE = {
    ("--lr", "0"): "--lr 0.0: expected a number above 0",
    ("--seed", str(2**63)): "expected a whole number of 0 or more, below 2^63",
    ("--milestones", "3,x"): "--milestones 3,x: expected whole numbers separated by commas",
    ("--milestones", "3,3"): "--milestones 3,3: expected whole numbers above 0 that rise",
    ("--dropout", "1"): "--dropout 1.0: expected a number of 0 or more and below 1",
    ("--weight-decay", "-1"): "--weight-decay -1.0: expected a number of 0 or more",
    ("--head", "softmax"): "softmax",
}


@pytest.mark.parametrize("option", USAGE, ids=" ".join)
def test_options_out_of_range(tmp_path: Path, data: Path, option: tuple[str, str]) -> None:
    done = train(data, tmp_path / "run", *option)
    assert done.code == 2
    assert USAGE[option] in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


TOGETHER = {
    ("--batch", 9, "--accumulate", 2): "a batch of 9 does not part into 1 process(es) × 2 part(s)",
    ("--batch", 8, "--accumulate", 8): "expected 2 or more images in each",
    ("--head", "triplet", "--scale", 32): "scale is 32, and triplet has none",
    ("--margin", 3): "margin is 3; expected from 0 to",
    ("--head", "triplet", "--batch", 8, "--accumulate", 2): "triplets need two classes",
    ("--per-class", 3): "each with 3 images of every class in it",
    ("--per-class", 2, "--batch", 20): "a batch of 10 classes × 2 images, but there are 5 classes",
    ("--device", "cuda"): "--device cuda: PyTorch finds no GPU",
    ("--validate", "missing.csv"): "missing.csv",
    ("--root", "elsewhere"): "is no list, so a root for its paths has no meaning",
}


@pytest.mark.parametrize("options", TOGETHER, ids=str)
def test_what_does_not_go_together(tmp_path: Path, data: Path, options: tuple[object, ...]) -> None:
    if "cuda" in options and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    failed(train(data, tmp_path / "run", *options), TOGETHER[options])
    assert not (tmp_path / "run").exists()


def test_sources_that_cannot_be_trained_on(tmp_path: Path) -> None:
    one = people(tmp_path / "one", subjects=1)
    failed(train(one, tmp_path / "run"), "show one subject, 'p0'; expected two or more")
    single = people(tmp_path / "single", subjects=2, images=1)
    triplets = train(single, tmp_path / "run", "--head", "triplet")
    failed(triplets, "every one of 2 classes has a single image; expected some with two or more")
    Image.fromarray(picture()).save(tmp_path / "flat.png")
    failed(train(tmp_path / "flat.png", tmp_path / "run"), "does not say whom its images show")
    assert train(Path("-"), tmp_path / "run").code == 2


def test_validations_of_one_name(tmp_path: Path, data: Path) -> None:
    first, second = (people(tmp_path / place / "heldout", 3, prefix="o") for place in "ab")
    done = train(data, tmp_path / "run", "--validate", first, "--validate", second)
    assert done.code == 2
    assert "another one is called 'heldout'" in " ".join(done.err.replace("│", " ").split())


def test_a_validation_that_shows_the_training_people_is_warned_of(
    tmp_path: Path, data: Path
) -> None:
    done = train(data, tmp_path / "run", "--validate", data, "--quiet", steps=1)
    assert done.code == 0
    assert done.err.count("warning:") == 2 and "flatter the model" in done.err


def test_tensorboard_gets_the_rows(
    tmp_path: Path, data: Path, heldout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, opened = list[tuple[Any, ...]](), list[Any]()

    class Writer:
        def __init__(self, folder: str, purge_step: int | None) -> None:
            opened.append((Path(folder).name, purge_step))

        def add_scalar(self, *what: Any) -> None:
            written.append(what)

        def close(self) -> None:
            opened.append("closed")

    monkeypatch.setattr("damcli.training.log.require_tensorboard", lambda: Writer)
    how = ("--tensorboard", "--log-every", 1)
    run = tmp_path / "run"
    assert train(data, run, *how, "--validate", heldout, steps=2).code == 0
    with (run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    scalars = {(name, step): value for name, value, step in written}
    for row in rows:
        step = int(row["step"])
        for name in ("loss", "lr"):
            assert scalars[name, step] == float(row[name])
    assert scalars["validation/heldout eer", 2] == float(rows[1]["heldout eer"])
    assert train(data, run, *how, "--resume", steps=3).code == 0
    assert opened == [("tensorboard", None), "closed", ("tensorboard", 3), "closed"]


@pytest.mark.parametrize("module", ["torch", "torch.utils.tensorboard"])
def test_extras_that_are_not_installed(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    extra = "torch" if module == "torch" else "tensorboard"
    done = train(data, tmp_path / "run", "--tensorboard")
    failed(done, f"needs the extra [{extra}]", f"pip install 'damcli[{extra}]'")
    assert not (tmp_path / "run").exists()
