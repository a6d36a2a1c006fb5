"""Time and memory a pair as pair lists grow tenfold: `damcli score` over a million embeddings.

By default 1e6, 1e7 and 1e8 labelled pairs of 1 M x 512 embeddings; ``--pairs 1000000000`` goes to
1e9, which needs some 60 GB for lists and temporary files. The time a pair is that of the further
pairs of a longer list, so that reading the embeddings does not count.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rounds import row

from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings

DIM, PER_SUBJECT, BLOCK = 512, 4, 1 << 20


class Run(NamedTuple):
    """What a run took."""

    seconds: float
    peak: float
    """GiB."""


def main() -> None:
    """Make the files, score both lists in processes of their own, and report the growth."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100_000_000)
    parser.add_argument("--embeddings", type=int, default=1_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_embeddings(folder / "emb.h5", options.embeddings)
        sizes = [options.pairs // 100, options.pairs // 10, options.pairs]
        _score(folder, sizes[0], options.embeddings)  # so that the embeddings are in memory
        runs = [_score(folder, pairs, options.embeddings) for pairs in sizes]
    held = options.embeddings * DIM * 4 / 2**30
    short, long = np.diff([run.seconds for run in runs]) / np.diff(sizes)
    whole = runs[-1]
    print(f"{1e6 * short:.3f} and {1e6 * long:.3f} microseconds a pair; peak {whole.peak:.2f} GiB")
    work = f"`damcli score`, {options.pairs:.0e} pairs over {options.embeddings:,} x {DIM}"
    row(
        f"{work}: time a pair", f"{options.pairs // 10:.0e} pairs", f"{long / short:.2f}x", "< 1.3x"
    )
    more = f"+ {whole.peak - held:.2f} GiB"
    row(f"{work}: peak memory", f"the embeddings, {held:.2f} GiB", more, "< + 3 GiB")


def _score(folder: Path, pairs: int, embeddings: int) -> Run:
    listed = folder / "pairs.parquet"
    _write_pairs(listed, pairs, embeddings)
    command = [sys.executable, "-m", "damcli", "score", str(listed), "-e", str(folder / "emb.h5")]
    start = time.perf_counter()
    process = subprocess.Popen([*command, "--json", "-q"], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    listed.unlink()
    if status:
        sys.exit("damcli score failed")
    peak = usage.ru_maxrss / 2**20
    print(f"{pairs:,} pairs: {seconds:.1f} s, {peak:.2f} GiB", flush=True)
    return Run(seconds, peak)


def _write_embeddings(path: Path, count: int) -> None:
    """Write a file of embeddings block by block: faces of one person lie together."""
    rng = np.random.default_rng(0)
    first = Embeddings.from_arrays(np.ones((1, DIM)), ["face0000000"])
    write_embeddings(path, first)
    with h5py.File(path, "a") as file:
        for name in ("embedding", "id", "norm"):
            del file[name]
        ids = [f"face{number:07d}" for number in range(count)]
        file.create_dataset("id", data=ids, dtype=h5py.string_dtype())
        vectors = file.create_dataset("embedding", (count, DIM), "float32", chunks=(1024, DIM))
        for start in range(0, count, 1 << 16):
            people = rng.standard_normal((1 << 14, DIM), dtype=np.float32)
            faces = np.repeat(people, PER_SUBJECT, axis=0)[: count - start]
            faces += rng.standard_normal(faces.shape, dtype=np.float32)
            vectors[start : start + len(faces)] = faces


def _write_pairs(path: Path, count: int, embeddings: int) -> None:
    """Write random pairs, one in fifty of them genuine."""
    rng = np.random.default_rng(1)
    ids = pa.array([f"face{number:07d}" for number in range(embeddings)])
    names = ("probe_id", "reference_id", "label")
    with pq.ParquetWriter(
        path, pa.schema([*((name, pa.string()) for name in names[:2]), ("label", pa.int8())])
    ) as writer:
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            probe, reference = rng.integers(0, embeddings, (2, size))
            same = slice(0, size // 50)
            reference[same] = probe[same] - probe[same] % PER_SUBJECT
            reference[same] += (probe[same] + 1) % PER_SUBJECT
            reference.clip(max=embeddings - 1, out=reference)
            label = (probe // PER_SUBJECT == reference // PER_SUBJECT).astype(np.int8)
            columns = [ids.take(pa.array(probe)), ids.take(pa.array(reference)), pa.array(label)]
            writer.write_table(pa.table(dict(zip(names, columns, strict=True))))


if __name__ == "__main__":
    main()
