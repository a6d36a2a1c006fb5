"""Files that hold embeddings are for their owner alone, and so is all that becomes one."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from damcli.embedding.ranks import Ranks
from damcli.storage import atomic
from damcli.storage.foreign_output import write_foreign
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.partial import PartialWriter, Piece
from tests.cli import damcli
from tests.faces import anchors, faces
from tests.images import save
from tests.networks import conv_net

pytestmark = pytest.mark.skipif(os.name != "posix", reason="modes are of POSIX")


@pytest.fixture(autouse=True)
def _everybody_may_read() -> Iterator[None]:
    before = os.umask(0o000)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.parquet", "a.vectors.h5"])
def test_layouts_of_others(tmp_path: Path, name: str) -> None:
    write_foreign(tmp_path / name, faces(4), np.arange(5), force=False)
    assert mode(tmp_path / name) == 0o600


@pytest.mark.parametrize("made", [faces(4), anchors(5)], ids=["embeddings", "anchors"])
def test_own_files_from_their_first_byte_on(tmp_path: Path, made, monkeypatch) -> None:
    seen = []

    class Watched:
        def __getattr__(self, name: str) -> object:
            return getattr(made, name)

        def __len__(self) -> int:
            return len(made)

        def take(self, rows):
            seen.extend(mode(draft) for draft in tmp_path.iterdir())
            return made.take(rows)

    write_embeddings(tmp_path / "a.h5", Watched())
    assert (seen, mode(tmp_path / "a.h5")) == ([0o600], 0o600)


def test_what_an_interrupted_run_leaves(tmp_path: Path) -> None:
    writer = PartialWriter(tmp_path / "emb.h5.partial", {})
    few = faces(2, 1)
    points = np.zeros((2, 5, 2), dtype=np.float32)
    norms, counts = np.ones(2, dtype=np.float32), np.ones(2, dtype=np.int32)
    writer.append(Piece(few.vectors, norms, few.ids, None, {}, points, counts))
    writer.close()
    assert mode(tmp_path / "emb.h5.partial") == 0o600


def test_checkpoints_hold_class_centres(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from damcli.training.checkpoint import save as save_step

    centres = {"centres": torch.ones(3, 2)}
    folder = save_step(tmp_path, 1, {"step": 1}, centres, Ranks())
    assert {mode(path) for path in folder.iterdir()} == {0o600}


def test_the_commands(tmp_path: Path) -> None:
    for row in range(6):
        save(tmp_path / "photos" / str(row % 3) / f"{row}.png", row)
    model = conv_net(tmp_path / "net.onnx", size=(8, 8))
    emb, generated = tmp_path / "emb.h5", tmp_path / "anchors.h5"
    embed = ["embed", tmp_path / "photos", "--model", model, "--size", "8x8", "--crop", "center"]
    embed += ["--color", "rgb", "--mean", 0, "--std", 255]
    assert damcli(*embed, "-o", emb).code == 0
    assert damcli("build-anchors", emb, "-o", generated, "--kind", "fake-db").code == 0
    assert damcli("pool", emb, "--by", "subject", "-o", tmp_path / "templates.h5").code == 0
    scores = tmp_path / "scores.csv"
    score = ["score", "--all-pairs", "-e", emb, "-a", generated, "--allow-overlap", "-o", scores]
    assert damcli(*score).code == 0
    private = {emb, generated, tmp_path / "templates.h5"}
    assert {path: mode(path) for path in private} == dict.fromkeys(private, 0o600)
    assert mode(scores) == 0o666  # names and numbers, and what the umask leaves


@pytest.mark.parametrize("private", [False, True])
@pytest.mark.parametrize("before", [0o640, 0o444, 0o600])
def test_a_file_that_is_replaced_keeps_its_mode(tmp_path: Path, private: bool, before: int) -> None:
    target = tmp_path / "a"
    target.write_text("old")
    target.chmod(before)
    with atomic.atomic_output(target, force=True, private=private) as draft:
        draft.write_text("new")
        assert not private or mode(draft) == 0o600
    assert (target.read_text(), mode(target)) == ("new", before)


def test_a_fault_leaves_no_draft_behind(tmp_path: Path) -> None:
    with pytest.raises(ValueError), atomic.atomic_output(tmp_path / "a", private=True):
        raise ValueError("stop")
    assert list(tmp_path.iterdir()) == []
