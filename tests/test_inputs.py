"""Inputs that cannot be reached give one message, whatever reads them."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from damcli.errors import InputError
from damcli.models.checkpoints import list_tensors
from damcli.models.labels import read_labels
from damcli.storage.calibration import read_calibration
from damcli.storage.files import read_embeddings
from damcli.storage.foreign import read_id_list
from damcli.storage.lidr import read_lidr
from damcli.storage.threshold import read_threshold

READERS: list[Callable[[Path], Any]] = [
    read_embeddings,
    read_id_list,
    read_lidr,
    read_threshold,
    read_calibration,
    read_labels,
    list_tensors,
]
each_reader = pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)


@each_reader
def test_a_name_that_is_too_long(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    with pytest.raises(InputError, match=r"x\.npy: cannot be reached \(File name too long\); exp"):
        read(tmp_path / f"{'x' * 5000}.npy")


@each_reader
def test_a_file_in_the_place_of_a_folder(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    (tmp_path / "pairs.csv").write_text("a,b\n")
    with pytest.raises(InputError, match=r"pairs\.csv/x\.npy: (no such file|cannot be reached)"):
        read(tmp_path / "pairs.csv" / "x.npy")


@each_reader
def test_a_folder_that_may_not_be_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], Any]
) -> None:
    def refuse(path: Path, **_: object) -> os.stat_result:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refuse)
    with pytest.raises(InputError, match=r"cannot be reached \(Permission denied\)") as caught:
        read(tmp_path / "a.npy")
    assert "enter its folder" in str(caught.value.hint)


def test_a_name_that_leaves_no_room_for_a_list_beside_it(tmp_path: Path) -> None:
    path = tmp_path / f"{'x' * 250}.npy"
    np.save(path, np.eye(3))
    assert read_embeddings(path).ids.tolist() == ["0", "1", "2"]
