"""Commands that are killed, or told to end, at a chosen point; and the run after."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.stress.conftest import COMMANDS, damcli, hooked
from tests.stress.scene import content

APPEAR = "damcli.storage.atomic:_appear"
APPEND = "damcli.storage.journal:Journal.append"
CHECKPOINT = "damcli.training.checkpoint:_appear"
Whole = Callable[[str], dict[str, Any]]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def assert_whole(name: str, folder: Path, whole: Whole) -> None:
    assert {one: content(folder / one) for one in COMMANDS[name][1]} == whole(name)


@pytest.mark.parametrize("name", ["score", "build-anchors", "fit-lidr"])
def test_killed_just_before_its_output_appears(work: Path, whole: Whole, name: str) -> None:
    outputs = COMMANDS[name][1]
    assert hooked(name, work, APPEAR, 1, "SIGKILL").code == -signal.SIGKILL
    (draft,) = names(work)
    assert draft.startswith(".")
    assert draft.endswith(outputs[0])
    done = damcli(name, work)
    assert done.returncode == 0, done.stderr
    assert names(work) == sorted(outputs)
    assert_whole(name, work, whole)


def test_killed_between_two_outputs(work: Path, whole: Whole) -> None:
    assert hooked("score", work, APPEAR, 2, "SIGKILL").code == -signal.SIGKILL
    assert content(work / "out.csv") == whole("score")["out.csv"]
    assert not (work / "out.csv.about.json").exists()
    assert damcli("score", work, "--force").returncode == 0
    assert_whole("score", work, whole)
    assert names(work) == sorted(COMMANDS["score"][1])


@pytest.mark.parametrize(
    ("name", "at", "sent"),
    [
        ("score", "damcli.scoring.writing:Form.__call__", "SIGTERM"),
        ("build-anchors", APPEAR, "SIGTERM"),
        ("fit-lidr", "damcli.lid.training:_Network.step", "SIGINT"),
    ],
)
def test_told_to_end_it_leaves_the_old_output_alone(
    work: Path, name: str, at: str, sent: str
) -> None:
    old = work / COMMANDS[name][1][0]
    old.write_text("old")
    done = hooked(name, work, at, 1, sent, "--force")
    assert done.code == 130, done.err
    assert done.err == "error: interrupted; every output is whole, or as it was before\n"
    assert old.read_text() == "old"
    assert names(work) == [old.name]


@pytest.mark.parametrize("sent", ["SIGKILL", "SIGTERM"])
def test_embed_goes_on_after_the_last_whole_batch(work: Path, whole: Whole, sent: str) -> None:
    done = hooked("embed", work, APPEND, 4, sent)  # the first is the header
    assert names(work) == ["out.h5.partial"]
    if sent == "SIGTERM":
        assert done.code == 130
        assert "interrupted; 8 of 20 images are kept in out.h5.partial" in done.err
        assert "--resume" in done.err
    done = damcli("embed", work, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert '"computed": 12' in done.stdout
    assert_whole("embed", work, whole)
    assert names(work) == ["out.h5"]


def test_embed_killed_at_its_end_computes_nothing_again(work: Path, whole: Whole) -> None:
    assert hooked("embed", work, APPEAR, 1, "SIGKILL").code == -signal.SIGKILL
    done = damcli("embed", work, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert '"computed": 0' in done.stdout
    assert_whole("embed", work, whole)
    assert names(work) == ["out.h5"]


def test_train_goes_on_from_the_checkpoint_before(work: Path, whole: Whole) -> None:
    assert hooked("train", work, CHECKPOINT, 2, "SIGKILL").code == -signal.SIGKILL
    assert names(work / "run/checkpoints") == [".draft-4", "step-00000002"]
    done = damcli("train", work, "--resume")
    assert done.returncode == 0, done.stderr
    assert names(work / "run/checkpoints") == ["step-00000006"]
    assert_whole("train", work, whole)


def test_train_killed_before_it_wrote_a_thing_begins_anew(work: Path, whole: Whole) -> None:
    assert hooked("train", work, APPEAR, 1, "SIGKILL").code == -signal.SIGKILL
    (draft,) = names(work / "run")
    assert draft.endswith(".options.json")
    done = damcli("train", work)
    assert done.returncode == 0, done.stderr
    assert_whole("train", work, whole)


def test_train_killed_while_it_clears_an_older_run_can_start_over(work: Path, whole: Whole) -> None:
    assert damcli("train", work).returncode == 0
    at = "damcli.training.run_folder:RunFolder.keep"
    assert hooked("train", work, at, 1, "SIGKILL", "--force").code == -signal.SIGKILL
    done = damcli("train", work, "--force")
    assert done.returncode == 0, done.stderr
    assert_whole("train", work, whole)
