"""The same inputs give the same bytes, whatever the number of threads and the size of chunks."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from damcli.calibration.fit import fit
from damcli.evaluation.llr import quality_of_arrays
from damcli.lid.regressor import predict_log_lid
from tests.cli import damcli
from tests.faces import faces
from tests.lidrs import lidr
from tests.stress.rehearse import PRINTS
from tests.stress.scene import ROOT, Size, commands, make
from tests.test_calibration import development

SIZE = Size(subjects=60, anchors=700, images=24, steps=6, dim=48)
LIMITS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
NAMES = [name for name in commands(SIZE) if name != "train"]
Made = Mapping[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("determinism")
    make(made / "in", SIZE)
    return made


def rehearsed(folder: Path, threads: int) -> Made:
    """Run every command with so many threads; return all files that they made."""
    work = folder / f"of-{threads}"
    work.mkdir()
    (work / "in").symlink_to(folder / "in")
    allowed: Callable[[], None] | None = None
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        one = min(os.sched_getaffinity(0))
        allowed = lambda: os.sched_setaffinity(0, {one})  # noqa: E731
    done = subprocess.run(
        [sys.executable, "-m", "tests.stress.rehearse", *map(str, SIZE)],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(ROOT)} | dict.fromkeys(LIMITS, str(threads)),
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=allowed,
    )
    assert done.returncode == 0, done.stderr
    made = [path for path in work.rglob("*") if path.is_file()]  # which follows no links
    return {str(path.relative_to(work)): path.read_bytes() for path in made}


@pytest.fixture(scope="module")
def under_one_and_three(folder: Path) -> tuple[Made, Made]:
    return rehearsed(folder, 1), rehearsed(folder, 3)


@pytest.mark.parametrize("name", NAMES)
def test_threads_change_no_byte(under_one_and_three: tuple[Made, Made], name: str) -> None:
    start = f"{name.replace(' ', '-')}/"
    one, three = (
        {path: data for path, data in made.items() if path.startswith(start)}
        for made in under_one_and_three
    )
    assert one.keys() == three.keys()
    told = {"embed/stdout"}  # how long it took
    assert [path for path in one.keys() - told if one[path] != three[path]] == []
    outputs = {f"{start}{output}" for output in commands(SIZE)[name][1]}
    assert outputs <= one.keys()
    assert bool(one[f"{start}stdout"]) >= (name in PRINTS)


def test_the_size_of_chunks_changes_no_byte(folder: Path, tmp_path: Path) -> None:
    found = []
    line = commands(SIZE)["score"][0].split()
    (tmp_path / "in").symlink_to(folder / "in")
    (tmp_path / "work").mkdir()
    with contextlib.chdir(tmp_path / "work"):
        for size in (97, 5000, 1 << 19):
            done = damcli(*line, "--json", "--chunk-size", size, "--force")
            assert done.code == 0, done.err
            found.append((done.out, Path("out.csv").read_bytes()))
    assert found[0] == found[1] == found[2]


def assert_the_same_under_any_threads(work: Callable[[], Any]) -> None:
    """Products that are not exact must not be shared by threads."""
    found = []
    for threads in (1, 2, 3, 4):
        with threadpool_limits(threads, user_api="blas"):
            found.append(repr(work()))
    assert len(set(found)) == 1


@pytest.mark.parametrize(("rows", "dim", "hidden"), [(300, 128, 64), (900, 256, 100)])
def test_predicted_lids(rows: int, dim: int, hidden: int) -> None:
    people, model = faces(rows // 3, 3, dim=dim), lidr(dim=dim, hidden=hidden)
    assert_the_same_under_any_threads(lambda: predict_log_lid(model, people).tolist())


def test_a_calibration() -> None:
    sides = development(subjects=80)
    assert_the_same_under_any_threads(lambda: fit("quadratic", *sides).coefficients)


def test_sums_over_many_pairs(rng: np.random.Generator) -> None:
    llr, weights = rng.normal(size=(2, 2, 30_000)) ** 2
    sides = [(one, weight) for one, weight in zip(llr, weights, strict=True)]
    assert_the_same_under_any_threads(lambda: quality_of_arrays(*sides, 0.5))
