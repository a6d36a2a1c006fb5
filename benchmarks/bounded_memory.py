"""Score and evaluate 10 million listed pairs over 100,000 x 512; print the peak memory."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings

ROWS, DIM, PER_SUBJECT, ANCHORS = 100_000, 512, 5, 10_000


def main() -> None:
    """Make the files, run the command in a process of its own, and report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=10_000_000)
    pairs = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_files(folder, pairs)
        command = [sys.executable, "-m", "damcli", "score", str(folder / "pairs.csv")]
        command += ["-e", str(folder / "emb.h5"), "-a", str(folder / "anchors.h5")]
        command += ["-o", str(folder / "scores.csv")]
        start = time.perf_counter()
        process = subprocess.Popen(command)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
    if status:
        sys.exit("damcli score failed")
    embeddings = ROWS * DIM * 4 / 2**30
    peak = usage.ru_maxrss / 2**20
    print(f"{pairs:,} pairs scored, written and evaluated in {seconds:.0f} s")
    print(f"peak {peak:.2f} GiB = embeddings {embeddings:.2f} GiB + {peak - embeddings:.2f} GiB")


def _make_files(folder: Path, pairs: int) -> None:
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(ROWS // PER_SUBJECT), PER_SUBJECT)
    centres = rng.normal(size=(ROWS // PER_SUBJECT, DIM)).astype(np.float32)
    vectors = centres[subjects] + 1.5 * rng.normal(size=(ROWS, DIM)).astype(np.float32)
    people = Embeddings.from_arrays(vectors, [f"img{i:06d}" for i in range(ROWS)], subjects)
    write_embeddings(folder / "emb.h5", people)
    others = Embeddings.from_arrays(
        rng.normal(size=(ANCHORS, DIM)), [f"anchor{i}" for i in range(ANCHORS)]
    )
    write_embeddings(folder / "anchors.h5", Anchors.of(others, kind="real-db"))
    genuine = pairs // 50
    with (folder / "pairs.csv").open("w") as file:
        file.write("probe_id,reference_id,label\n")
        first = rng.integers(0, ROWS, pairs)
        second = rng.integers(0, ROWS, pairs)
        same = rng.integers(0, ROWS, genuine)
        first[:genuine] = same
        second[:genuine] = same - same % PER_SUBJECT + (same + 1) % PER_SUBJECT
        labels = (subjects[first] == subjects[second]).astype(int)
        for a, b, label in zip(first, second, labels, strict=True):
            file.write(f"img{a:06d},img{b:06d},{label}\n")


if __name__ == "__main__":
    main()
