"""Two commands at once, on one file: each runs while the other stands at a chosen point."""

from __future__ import annotations

import pytest

from tests.stress.conftest import COMMANDS, Hooked, damcli, hooked
from tests.stress.scene import ROOT, content

APPEAR = "damcli.storage.atomic:_appear"
APPEND = "damcli.storage.journal:Journal.append"
EMBED, SCORE = COMMANDS["embed"][0], COMMANDS["score"][0]


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def other_failed(done: Hooked, *parts: str) -> None:
    assert done.other is not None
    assert done.other["code"] == 1, done.other["err"]
    assert "Traceback" not in done.other["err"]
    for part in parts:
        assert part in done.other["err"]


def test_both_read_the_same_files(work, whole):
    second = SCORE.replace("out.csv", "other.csv")
    done = hooked("score", work, "damcli.scoring.writing:Form.__call__", 1, second)
    assert (done.code, done.other["code"]) == (0, 0), done
    assert content(work / "out.csv") == whole("score")["out.csv"]
    assert content(work / "other.csv") == whole("score")["out.csv"]


@pytest.mark.parametrize("name", ["score", "build-anchors", "report"])
def test_without_force_the_second_to_end_is_refused(work, whole, name):
    output = COMMANDS[name][1][0]
    done = hooked(name, work, APPEAR, 1, COMMANDS[name][0])
    assert done.other == {"code": 0, "err": ""}
    assert done.code == 1
    assert f"{output}: made by another process in the meantime; it stays as it is" in done.err
    assert content(work / output) == whole(name)[output]
    assert not list(work.glob(".*"))


def test_with_force_the_last_to_end_wins_as_a_whole(work, whole):
    fewer = f"{SCORE} --linear --force"
    done = hooked("score", work, APPEAR, 1, fewer, "--force")
    assert (done.code, done.other["code"]) == (0, 0), done
    assert content(work / "out.csv") == whole("score")["out.csv"]


@pytest.mark.parametrize("how", ["--resume", "--force"])
def test_two_runs_of_embed_do_not_share_a_journal(work, whole, how):
    done = hooked("embed", work, APPEND, 3, f"{EMBED} {how}")
    other_failed(done, "out.h5.partial: another process is writing it (number ", "hint: wait for")
    assert done.code == 0, done.err
    assert content(work / "out.h5") == whole("embed")["out.h5"]
    assert [path.name for path in work.iterdir()] == ["out.h5"]


def test_embed_that_finds_an_output_at_its_end_leaves_it(work, whole):
    done = hooked("embed", work, "damcli.embedding.run:Run.over", 1, EMBED)
    assert done.other["code"] == 0, done.other["err"]
    assert done.code == 1
    assert done.err.startswith("error: out.h5: exists already")
    assert content(work / "out.h5") == whole("embed")["out.h5"]


def test_what_is_being_resumed_is_read_as_it_was_before(work, whole):
    assert damcli("embed", work).returncode == 0
    read = "convert out.h5 -o read.h5 -q"
    done = hooked("embed", work, APPEAR, 1, read, "--resume")
    assert (done.code, done.other["code"]) == (0, 0), done
    assert content(work / "read.h5")["embedding"] == whole("embed")["out.h5"]["embedding"]


def test_two_runs_of_train_do_not_share_a_folder(work, whole):
    again = f"{COMMANDS['train'][0]} --resume"
    done = hooked("train", work, "damcli.training.checkpoint:_appear", 1, again)
    other_failed(done, "run: another process is writing it (number ")
    assert done.code == 0, done.err
    assert content(work / "run/model.onnx") == whole("train")["run/model.onnx"]
