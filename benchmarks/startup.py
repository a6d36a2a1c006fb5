"""Start-up: `damcli --help` and `damcli score` on 6,000 pairs, against importing what they need."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from rounds import compare, row

from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings

PEOPLE, PER_PERSON, DIM, ANCHORS, PAIRS = 600, 4, 512, 5_000, 6_000
LIBRARIES = "import faiss, h5py, numpy, pandas, pyarrow.csv, pyarrow.parquet"


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _make_files(folder)
        damcli = [sys.executable, "-m", "damcli"]
        score = [*damcli, "score", "pairs.csv", "-e", "emb.h5", "-a", "anchors.h5", "-q"]
        medians = compare(
            {
                what: lambda command=command: subprocess.run(
                    command, cwd=folder, check=True, capture_output=True
                )
                for what, command in {
                    "damcli --help": [*damcli, "--help"],
                    "import numpy, h5py": [sys.executable, "-c", "import numpy, h5py"],
                    "damcli score": score,
                    "damcli score --resamples 0": [*score, "--resamples", "0"],
                    "its libraries": [sys.executable, "-c", LIBRARIES],
                }.items()
            },
            rounds=given.rounds,
        )
    ratio = medians["damcli --help"] / medians["import numpy, h5py"]
    row("`damcli --help`", '`python -c "import numpy, h5py"`', f"{ratio:.2f}x", "<= 2x")
    for what in ("damcli score", "damcli score --resamples 0"):
        above = medians[what] - medians["its libraries"]
        row(f"`{what}`, 6,000 pairs", "its libraries", f"{above:.2f} s above", "< 1 s")


def _make_files(folder: Path) -> None:
    rng = np.random.default_rng(0)
    subjects = np.repeat(np.arange(PEOPLE), PER_PERSON)
    rows = len(subjects)
    vectors = rng.normal(size=(PEOPLE, DIM))[subjects] + rng.normal(size=(rows, DIM))
    faces = Embeddings.from_arrays(vectors, [f"face{i}" for i in range(rows)], subjects)
    write_embeddings(folder / "emb.h5", faces)
    others = Embeddings.from_arrays(
        rng.normal(size=(ANCHORS, DIM)), [f"anchor{i}" for i in range(ANCHORS)]
    )
    write_embeddings(folder / "anchors.h5", Anchors.of(others, kind="real-db"))
    first = rng.integers(0, rows, PAIRS)
    second = rng.integers(0, rows, PAIRS)
    half = PAIRS // 2
    second[:half] = first[:half] - first[:half] % PER_PERSON + (first[:half] + 1) % PER_PERSON
    with (folder / "pairs.csv").open("w") as file:
        file.write("probe_id,reference_id,label\n")
        for one, other in zip(first, second, strict=True):
            file.write(f"face{one},face{other},{int(subjects[one] == subjects[other])}\n")


if __name__ == "__main__":
    main()
