"""Output files appear whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from damcli.errors import OutputError
from damcli.storage import atomic
from damcli.storage.atomic import atomic_output, check_writable
from damcli.storage.drafts import hdf5_output


def test_the_target_appears_when_the_block_ends_and_not_before(tmp_path):
    target = tmp_path / "a.csv"
    with atomic_output(target) as draft:
        draft.write_text("new")
        assert not target.exists()
        assert (draft.parent, draft.suffix) == (tmp_path, ".csv")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt, OSError])
@pytest.mark.parametrize("output", [atomic_output, hdf5_output])
def test_a_block_that_raises_leaves_the_target_as_it_was(tmp_path, output, fault):
    target = tmp_path / "a.h5"
    target.write_text("old")
    with (
        pytest.raises(OutputError if fault is OSError else fault),
        output(target, force=True) as new,
    ):
        if isinstance(new, Path):
            new.write_text("half")
        else:
            new["x"] = np.ones(100_000)
        raise fault("stop")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_an_existing_target_is_replaced_only_by_force(tmp_path):
    target = tmp_path / "a"
    target.write_text("old")
    with pytest.raises(OutputError, match="exists already") as caught, atomic_output(target):
        pytest.fail("the block ran")
    assert "--force" in caught.value.hint
    with atomic_output(target, force=True) as draft:
        draft.write_text("new")
    assert target.read_text() == "new"


def test_targets_that_cannot_be_are_refused_before_any_work(tmp_path):
    with pytest.raises(OutputError, match="does not exist") as caught:
        check_writable(tmp_path / "none" / "a.h5", force=False)
    assert caught.value.hint == f"mkdir -p {tmp_path / 'none'}"
    with pytest.raises(OutputError, match="is a folder"):
        check_writable(tmp_path, force=True)
    with pytest.raises(OutputError, match="not a plain file"):
        check_writable(Path(os.devnull), force=True)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, monkeypatch):
    if os.geteuid() == 0:  # root may write everywhere
        monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    else:
        tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="cannot be written"), atomic_output(tmp_path / "a"):
            pytest.fail("the block ran")
    finally:
        tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_the_file_system_refuses_is_no_traceback(tmp_path):
    with (
        pytest.raises(OutputError, match="not written"),
        atomic_output(tmp_path / ("x" * 256)) as draft,
    ):
        draft.write_text("new")
    longest = tmp_path / ("x" * 251 + ".csv")
    with atomic_output(longest) as draft:
        assert draft.suffix == ".csv"
        draft.write_text("new")
    assert list(tmp_path.iterdir()) == [longest]


@pytest.mark.parametrize(
    ("fault", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError("Can't write data (file write failed: errno = 28, error message = …)"), True),
        (OSError("Error writing bytes to file. Detail: [errno 28] No space"), True),
        (OSError("192000 requested and 218 written"), True),
        (OSError(errno.EIO, "Input/output error"), False),
        (OSError("file write failed: errno = 5"), False),
        (PermissionError(errno.EACCES, "Permission denied"), False),
    ],
)
def test_a_full_disk_is_told_from_other_faults(tmp_path, fault, full):
    with pytest.raises(OutputError) as caught, atomic_output(tmp_path / "a"):
        raise fault
    assert ("the disk is full" in str(caught.value)) == full
    assert caught.value.hint


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from damcli.errors import OutputError
from damcli.storage.embeddings import Embeddings
from damcli.storage.foreign_output import write_foreign
from damcli.storage.hdf5 import write_embeddings

target, room = Path(sys.argv[1]), int(sys.argv[2])
made = Embeddings.from_arrays(np.random.default_rng(0).normal(size=(3000, 64)))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
try:
    if target.name == "a.h5":
        write_embeddings(target, made, force=True)
    else:
        write_foreign(target, made, np.arange(3000), force=True)
except OutputError as error:
    print(error)
"""


@pytest.mark.parametrize("room", [0, 100, 3000, 30_000, 200_000, 760_000])
@pytest.mark.parametrize("name", ["a.h5", "a.vectors.h5", "a.npy", "a.npz", "a.parquet"])
def test_a_full_disk_leaves_the_target_alone_and_python_quiet(tmp_path, name, room):
    target = tmp_path / name
    target.write_text("old")
    ended = subprocess.run(
        [sys.executable, "-c", FULL_DISK, target, str(room)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.stderr == ""
    assert ended.stdout.endswith(": not written, the disk is full\n")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_what_another_process_made_meanwhile_is_not_overwritten(tmp_path):
    target = tmp_path / "a"
    with (
        pytest.raises(OutputError, match="made by another process in the meantime"),
        atomic_output(target) as draft,
    ):
        draft.write_text("mine")
        target.write_text("theirs")
    assert target.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [target]


def test_without_hard_links_too(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(PermissionError(1, "no")))
    target = tmp_path / "a"
    with atomic_output(target) as draft:
        draft.write_text("mine")
    assert target.read_text() == "mine"
    with pytest.raises(OutputError, match="exists already"), atomic_output(tmp_path / "b") as draft:
        (tmp_path / "b").write_text("theirs")
    assert (tmp_path / "b").read_text() == "theirs"


def test_the_draft_of_a_killed_process_is_swept_up_by_the_next_run(tmp_path):
    target = tmp_path / "scores.csv"
    code = (
        "import os, pathlib, sys; from damcli.storage.atomic import atomic_output\n"
        "with atomic_output(pathlib.Path(sys.argv[1])) as draft:\n"
        "    draft.write_text('half'); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, target]).returncode == -9
    (left,) = tmp_path.iterdir()
    other = tmp_path / ".0123abcd.other.csv"
    other.write_text("of another output")
    with atomic_output(target) as draft:
        assert not left.exists()
        draft.write_text("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [other.name, "scores.csv"]


@pytest.mark.parametrize("still_held", [True, False])
def test_a_draft_that_is_swept_up_before_it_is_held_is_made_anew(tmp_path, monkeypatch, still_held):
    hold, lost = atomic.hold, []

    def hold_too_late(file):
        if not lost:
            lost.extend(tmp_path.iterdir())
            lost[0].unlink()
            if still_held:
                raise BlockingIOError
        return hold(file)

    monkeypatch.setattr(atomic, "hold", hold_too_late)
    with atomic_output(tmp_path / "scores.csv", private=True) as draft:
        assert stat.S_IMODE(draft.stat().st_mode) == 0o600
        draft.write_text("whole")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def test_the_draft_of_a_running_process_stays(tmp_path):
    target = tmp_path / "scores.csv"
    with atomic_output(target, force=True) as first, atomic_output(target, force=True) as second:
        first.write_text("first")
        second.write_text("second")
    assert target.read_text() == "first"  # the block that ends last


def test_a_second_interrupt_while_the_first_is_cleaned_up(tmp_path, monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    target = tmp_path / "a"
    target.write_text("old")
    with (
        monkeypatch.context() as patch,
        pytest.raises(KeyboardInterrupt),
        atomic_output(target, force=True) as draft,
    ):
        draft.write_text("half")
        patch.setattr(Path, "unlink", interrupt)
        raise KeyboardInterrupt
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2  # the draft stays
    with atomic_output(target, force=True) as draft:
        draft.write_text("new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["new"]
