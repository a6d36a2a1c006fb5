"""What a cluster costs: each stage of a score in seconds a unit, and ``--cluster`` against none.

    python benchmarks/cluster.py --workers 2

Prints the constants of docs/scale.md. Pairs are random, the worst case of their similarities.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rounds import row

import damcli
from damcli.cluster import open_cluster
from damcli.cluster.workers import ClusterWorkers
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import read_anchors, read_embeddings
from damcli.storage.hdf5 import write_embeddings

DIM, FEW = 512, 4
CHUNK_BYTES, TASKS = 2_400_000, 200


def main() -> None:
    """Print seconds by stage, then the whole with and without a cluster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--embeddings", type=int, default=32_768)
    parser.add_argument("--anchors", type=int, default=20_000)
    parser.add_argument("--pairs", type=int, default=4_000_000)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), given.embeddings, given.anchors, given.pairs)
        start = time.perf_counter()
        with open_cluster(f"local:{given.workers}") as workers:
            print(f"start of {given.workers} workers: {time.perf_counter() - start:.1f} s")
            whole(Path(folder), workers)  # files, libraries
            there = stages(Path(folder), given, workers)
            overhead(workers)
        here = whole(Path(folder), None)
        read(Path(folder), given.pairs)
    lids = f"{given.embeddings:,} LIDs of {given.anchors:,} anchors"
    row(
        f"score, {given.pairs:,} random pairs, {lids}",
        "one process, both on the same cores",
        f"--cluster local:{given.workers} {there:.1f} s, without {here:.1f} s",
    )


def make(folder: Path, count: int, anchors: int, pairs: int) -> None:
    """Write people of four faces each, anchors and a list of pairs."""
    rng = np.random.default_rng(0)
    faces = np.repeat(rng.normal(size=(count // FEW, DIM)), FEW, axis=0)
    faces += 1.2 * rng.normal(size=faces.shape)
    subjects = [f"s{row // FEW}" for row in range(len(faces))]
    people = Embeddings.from_arrays(faces, [f"e{row}" for row in range(len(faces))], subjects)
    others = Embeddings.from_arrays(
        rng.normal(size=(anchors, DIM)), [f"a{row}" for row in range(anchors)]
    )
    write_embeddings(folder / "emb.h5", people)
    write_embeddings(folder / "anchors.h5", Anchors.of(others, kind="real-db"))
    probe = rng.integers(0, len(faces), pairs)
    same = probe // FEW * FEW + rng.integers(0, FEW, pairs)
    reference = np.where(rng.random(pairs) < 0.01, same, rng.integers(0, len(faces), pairs))
    ids = pa.array(people.ids)
    columns = {"probe_id": ids.take(pa.array(probe)), "reference_id": ids.take(pa.array(reference))}
    columns["label"] = (probe // FEW == reference // FEW).astype(np.int8)
    pq.write_table(pa.table(columns), folder / "pairs.parquet")


def whole(folder: Path, workers: ClusterWorkers | None) -> float:
    """Score and evaluate; return the seconds, reading of the embeddings left out."""
    people = read_embeddings(folder / "emb.h5")
    others = read_anchors(folder / "anchors.h5")
    more = {}
    if workers is not None:
        workers.share(people, others)
        more = {"workers": workers}
    start = time.perf_counter()
    scores = damcli.score(damcli.read_pairs(folder / "pairs.parquet"), people, others, **more)
    damcli.evaluate(scores.matches(), resamples=0)
    return time.perf_counter() - start


def read(folder: Path, pairs: int) -> None:
    """Print what reading the list and finding its rows costs, where the command runs."""
    people = read_embeddings(folder / "emb.h5")
    start = time.perf_counter()
    damcli.score(damcli.read_pairs(folder / "pairs.parquet"), people)
    print(f"reading: {(time.perf_counter() - start) / pairs * 1e9:.0f} s for 1e9 pairs")


def stages(folder: Path, given: argparse.Namespace, workers: ClusterWorkers) -> float:
    """Print what the workers' threads spent on each stage."""
    client = workers.tasks.client
    client.get_task_stream(count=0)  # from here on the scheduler keeps it
    began = time.time()
    seconds = whole(folder, workers)
    spent: dict[str, float] = defaultdict(float)
    for task in client.get_task_stream(start=began):
        for part in task["startstops"]:
            name = task["key"].split("-")[0] if part["action"] == "compute" else part["action"]
            spent[name] += part["stop"] - part["start"]
    products = given.embeddings * given.anchors / 1e9
    print(
        f"lid: {spent['lid'] / products:.2f} worker-seconds for 1e9 embeddings x anchors at {DIM}-d"
    )
    for name in ("score", "count", "transfer"):
        print(f"{name}: {spent[name] / given.pairs * 1e9:.0f} worker-seconds for 1e9 pairs")
    print(f"all of it: {seconds:.1f} s")
    return seconds


def overhead(workers: ClusterWorkers) -> None:
    """Print what tasks cost that do nothing, and such that carry a partition of pairs."""
    tasks = workers.tasks
    start = time.perf_counter()
    for _ in tasks.in_order(tasks.submit("empty", int) for _ in range(1000)):
        pass
    print(f"tasks: {1000 / (time.perf_counter() - start):.0f} a second")
    chunk = np.random.default_rng(0).bytes(CHUNK_BYTES)
    start = time.perf_counter()
    for _ in tasks.in_order(tasks.submit("sent", len, chunk) for _ in range(TASKS)):
        pass
    rate = TASKS * CHUNK_BYTES / 1e6 / (time.perf_counter() - start)
    print(f"partitions through the scheduler: {rate:.0f} MB/s")


if __name__ == "__main__":
    main()
