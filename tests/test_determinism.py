"""The same inputs give the same bytes, whatever the number of threads and the size of chunks."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli
from tests.faces import anchors, faces

ROOT = Path(__file__).parent.parent
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SIDES = ["-e", "emb.h5", "-a", "anchors.h5"]
COMMANDS = {
    "score": (["score", "pairs.csv", *SIDES, "--json", "-o", "OUT.csv"], "OUT.csv"),
    "all pairs": (["score", "--all-pairs", *SIDES, "--json", "-o", "OUT.parquet"], "OUT.parquet"),
    "compare": (["compare", "pairs.csv", *SIDES, "--json"], None),
    "sweep": (["sweep", "pairs.csv", *SIDES, "--json"], None),
    "identify": (["identify", "emb.h5", "gallery.h5", "-a", "anchors.h5", "--json"], None),
    "calibrate": (["calibrate", "pairs.csv", *SIDES, "-o", "OUT.json"], "OUT.json"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("determinism")
    people = faces(80, 4, dim=48)
    write_embeddings(made / "emb.h5", people)
    write_embeddings(made / "gallery.h5", people.take(np.arange(0, len(people), 4)))
    write_embeddings(made / "anchors.h5", anchors(700, dim=48))
    done = damcli("pairs", made / "emb.h5", "--all", "-o", made / "pairs.csv")
    assert done.code == 0, done.err
    return made


def run(folder: Path, arguments: list[str], threads: int) -> tuple[bytes, bytes]:
    """Run a command that may use so many threads; return its stdout and its output file."""
    output = f"of-{threads}"
    own = [argument.replace("OUT", output) for argument in arguments]
    allowed: Callable[[], None] | None = None
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        one = min(os.sched_getaffinity(0))
        allowed = lambda: os.sched_setaffinity(0, {one})  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-m", "damcli", *own, "--quiet"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)} | dict.fromkeys(LIMITS, str(threads)),
        capture_output=True,
        preexec_fn=allowed,
    )
    assert done.returncode == 0, done.stderr.decode()
    files = [path for path in folder.glob(f"{output}.*") if not path.name.endswith(".about.json")]
    content = files[0].read_bytes() if files else b""
    for path in folder.glob(f"{output}.*"):
        path.unlink()
    return done.stdout, content.replace(output.encode(), b"OUT")


@pytest.mark.parametrize("name", COMMANDS)
def test_threads_change_no_byte(folder: Path, name: str) -> None:
    arguments, output = COMMANDS[name]
    printed, written = run(folder, arguments, 1)
    assert (printed, written) == run(folder, arguments, 3)
    assert printed or written
    assert bool(written) == (output is not None)


def test_the_size_of_chunks_changes_no_byte(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = []
    for size in (97, 5000, 1 << 19):
        done = damcli(*COMMANDS["score"][0], "--chunk-size", size, "--force")
        assert done.code == 0, done.err
        found.append((done.out, (folder / "OUT.csv").read_bytes()))
    assert found[0] == found[1] == found[2]
