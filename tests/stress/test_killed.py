"""Commands ended at a chosen point: outputs are whole or absent, and the next run is fine."""

from __future__ import annotations

import signal

import pytest

from tests.stress.conftest import COMMANDS, damcli, hooked, run
from tests.stress.scene import ROOT, argv, content

APPEAR = "damcli.storage.atomic:_appear"
APPEND = "damcli.storage.journal:Journal.append"
ENDED = {"SIGKILL": -signal.SIGKILL, "SIGTERM": 130, "SIGINT": 130}
LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
from damcli.cli.app import main
sys.argv = ["damcli", *sys.argv[1:]]
main()
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


@pytest.mark.parametrize("how", ENDED)
@pytest.mark.parametrize("name", ["build-anchors", "score", "calibrate"])
def test_ended_before_the_output_appears(work, whole, name, how):
    expected, output = whole(name), COMMANDS[name][1][0]
    done = hooked(name, work, APPEAR, 1, how)
    assert done.code == ENDED[how], done.err
    left = [path.name for path in work.iterdir()]
    assert output not in left
    if how == "SIGKILL":
        assert [one[0] for one in left] == ["."]
    else:
        assert left == []
        assert done.err.count("error:") == 1
        assert "interrupted" in done.err
    assert damcli(name, work).returncode == 0
    assert {one: content(work / one) for one in COMMANDS[name][1]} == expected
    assert not list(work.glob(".*"))


def test_fit_lidr_killed_before_its_output_appears(work, whole):
    expected = whole("fit-lidr")
    assert hooked("fit-lidr", work, APPEAR, 1, "SIGKILL").code == ENDED["SIGKILL"]
    assert not (work / "out.h5").exists()
    assert damcli("fit-lidr", work).returncode == 0
    assert {"out.h5": content(work / "out.h5")} == expected


@pytest.mark.parametrize("how", ENDED)
def test_embed_goes_on_after_any_end(work, whole, how):
    expected = whole("embed")
    done = hooked("embed", work, APPEND, 4, how)
    assert done.code == ENDED[how], done.err
    assert [path.name for path in work.iterdir()] == ["out.h5.partial"]
    assert damcli("embed", work, "--resume").returncode == 0
    assert {"out.h5": content(work / "out.h5")} == expected
    assert [path.name for path in work.iterdir()] == ["out.h5"]


def test_train_goes_on_after_a_kill(work, whole):
    expected = whole("train")
    done = hooked("train", work, "damcli.training.checkpoint:_appear", 2, "SIGKILL")
    assert done.code == ENDED["SIGKILL"], done.err
    assert damcli("train", work, "--resume").returncode == 0
    assert {one: content(work / one) for one in COMMANDS["train"][1]} == expected


def test_killed_between_two_outputs(work, whole):
    assert hooked("score", work, APPEAR, 2, "SIGKILL").code == ENDED["SIGKILL"]
    assert content(work / "out.csv") == whole("score")["out.csv"]
    assert not (work / "out.csv.about.json").exists()
    assert damcli("score", work, "--force").returncode == 0
    assert {one: content(work / one) for one in COMMANDS["score"][1]} == whole("score")
    assert not list(work.glob(".*"))


@pytest.mark.parametrize(
    ("name", "at", "how"),
    [
        ("score", "damcli.scoring.writing:Form.__call__", "SIGTERM"),
        ("fit-lidr", "damcli.lid.training:_Network.step", "SIGINT"),
    ],
)
def test_ended_at_work_it_leaves_the_old_output_alone(work, name, at, how):
    old = work / COMMANDS[name][1][0]
    old.write_text("old")
    done = hooked(name, work, at, 1, how, "--force")
    assert done.code == ENDED[how], done.err
    assert done.err == "error: interrupted; every output is whole, or as it was before\n"
    assert old.read_text() == "old"
    assert list(work.iterdir()) == [old]


def test_embed_killed_at_its_end_computes_nothing_again(work, whole):
    assert hooked("embed", work, APPEAR, 1, "SIGKILL").code == ENDED["SIGKILL"]
    done = damcli("embed", work, "--resume", "--json")
    assert done.returncode == 0, done.stderr
    assert '"computed": 0' in done.stdout
    assert {"out.h5": content(work / "out.h5")} == whole("embed")
    assert [path.name for path in work.iterdir()] == ["out.h5"]


def test_train_killed_before_it_wrote_a_thing_begins_anew(work, whole):
    assert hooked("train", work, APPEAR, 1, "SIGKILL").code == ENDED["SIGKILL"]
    (draft,) = (work / "run").iterdir()
    assert draft.name.endswith(".options.json")
    done = damcli("train", work)
    assert done.returncode == 0, done.stderr
    assert {one: content(work / one) for one in COMMANDS["train"][1]} == whole("train")
    assert not draft.exists()


def test_train_killed_while_it_clears_an_older_run_can_start_over(work, whole):
    assert damcli("train", work).returncode == 0
    at = "damcli.training.run_folder:RunFolder.keep"
    assert hooked("train", work, at, 1, "SIGKILL", "--force").code == ENDED["SIGKILL"]
    done = damcli("train", work, "--force")
    assert done.returncode == 0, done.stderr
    assert {one: content(work / one) for one in COMMANDS["train"][1]} == whole("train")


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - {"train", "fit-lidr"}))
def test_a_full_disk_is_a_message_and_leaves_what_was_there(work, name):
    """No file may grow beyond 100 bytes, which is how a disk that is full looks to a process."""
    before = {}
    for output in COMMANDS[name][1]:
        (work / output).parent.mkdir(exist_ok=True, parents=True)
        (work / output).write_text("from before")
        before[output] = "from before"
    program, *arguments = argv(COMMANDS[name][0], "--force")
    done = run([program, "-c", LIMITED, *arguments[2:]], work)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error:") == 1
    assert any(word in done.stderr for word in ("disk is full", "no room left")), done.stderr
    kept = {one: (work / one).read_text() for one in before}
    assert kept == before
    assert not list(work.glob(".*"))
