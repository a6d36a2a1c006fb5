"""Where the demo keeps its files."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from tests.cli import damcli, failed


@pytest.mark.parametrize("inside", [False, True])
def test_demo_keeps_nothing_where_it_cannot(tmp_path: Path, inside: bool) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("precious")
    done = damcli("demo", "--keep", file / "kept" if inside else file)
    failed(done, "pairs.csv", "cannot be made a folder", "--keep FOLDER")
    assert (done.out, file.read_text()) == ("", "precious")


def test_demo_makes_no_folder_where_it_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    failed(damcli("demo", "--keep", tmp_path / "kept"), "kept: cannot be made a folder (Permission")


def test_demo_replaces_its_files_only_when_told(tmp_path: Path) -> None:
    (tmp_path / "anchors.h5").write_text("precious")
    command = ("demo", "--keep", tmp_path, "--resamples", "0")
    failed(damcli(*command), "anchors.h5: exists already", "--force")
    assert [path.name for path in tmp_path.iterdir()] == ["anchors.h5"]
    assert (tmp_path / "anchors.h5").read_text() == "precious"
    assert damcli(*command, "--force").code == 0
    assert {path.name for path in tmp_path.iterdir()} == {"anchors.h5", "emb.h5"}
