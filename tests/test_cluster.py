"""A Dask cluster gives the bytes that one process gives, also when a worker dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import damcli as package
from damcli.cluster import open_cluster
from damcli.cluster.connecting import check_address
from damcli.cluster.workers import ClusterWorkers
from damcli.errors import InputError, UserError
from damcli.protocols.pairs import read_pairs
from damcli.scoring.all_pairs import AllPairScores, all_pairs
from damcli.scoring.compare import compare
from damcli.scoring.score import ListedScores, score
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import read_anchors, read_embeddings
from damcli.storage.hdf5 import write_embeddings
from tests.faces import anchors, faces

CHUNK = 50


@pytest.fixture(scope="module")
def workers() -> Iterator[ClusterWorkers]:
    with open_cluster("local:2") as opened:
        yield opened


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list with folds and a further column, of 12 subjects with 3 faces each."""
    people = faces(12, 3)
    assert people.subjects is not None
    path = tmp_path_factory.mktemp("lists") / "pairs.csv"
    lines = ["probe_id,reference_id,label,fold,region"]
    for a in range(len(people)):
        for b in range(a + 1, len(people)):
            same = int(people.subjects[a] == people.subjects[b])
            region = ("north", '"süd", west')[a % 2]
            quoted = '"' + region.replace('"', '""') + '"'
            lines.append(f"{people.ids[a]},{people.ids[b]},{same},f{(a + b) % 3},{quoted}")
    path.write_text("\n".join(lines) + "\n")
    return path


def together(scores: ListedScores | AllPairScores) -> dict[str, list[object]]:
    """Everything that the chunks say, one after the other."""
    columns: dict[str, list[object]] = {"rows": [], "labels": [], "folds": [], "scores": []}
    for chunk in scores.chunks():
        columns["rows"] += zip(chunk.probe_rows, chunk.reference_rows, strict=True)
        columns["labels"] += list(chunk.labels if chunk.labels is not None else [])
        columns["folds"] += list(chunk.folds if chunk.folds is not None else [])
        columns["scores"] += [row.tobytes() for row in np.array(chunk.scores).T]
        for name, cells in chunk.groups.items():
            columns.setdefault(name, []).extend(cells)
    return columns


def evaluated(scores: ListedScores | AllPairScores) -> package.Evaluation:
    return package.evaluate(scores.matches(), fars=(0.01, 0.1), resamples=20, seed=1)


def test_scores_and_evaluation_are_those_of_one_process(
    pairs: Path, workers: ClusterWorkers
) -> None:
    people, others = faces(12, 3), anchors()
    options = {"groups": ["region"], "chunk_pairs": CHUNK}
    here = score(read_pairs(pairs), people, others, **options)
    there = score(read_pairs(pairs), people, others, workers=workers, **options)
    assert together(there) == together(here)
    assert evaluated(there) == evaluated(here)
    mine, theirs = here.matches(), there.matches()
    assert theirs.groupings == mine.groupings
    for name in ("genuine", "impostors"):
        one, other = (list(getattr(matches, name)()) for matches in (mine, theirs))
        for field in ("scores", "probe_subjects", "reference_subjects", "folds", "groups"):
            joined = [
                np.concatenate([getattr(chunk, field) for chunk in chunks], axis=-1)
                for chunks in (one, other)
            ]
            assert np.array_equal(*joined), (name, field)
            assert joined[0].dtype == joined[1].dtype


def test_what_is_compared_is_that_of_one_process(pairs: Path, workers: ClusterWorkers) -> None:
    people, others = faces(12, 3), anchors()
    here = compare(read_pairs(pairs), people, [others], cohort_size=5, chunk_pairs=CHUNK)
    there = compare(
        read_pairs(pairs), people, [others], cohort_size=5, chunk_pairs=CHUNK, workers=workers
    )
    assert together(there) == together(here)


@pytest.mark.parametrize("across", [False, True])
def test_all_pairs_are_those_of_one_process(workers: ClusterWorkers, across: bool) -> None:
    people, others = faces(200, 3), anchors()
    gallery = people.take(np.arange(1, 600, 2)) if across else None
    here = score(all_pairs(people, gallery), people, others, gallery=gallery)
    there = score(all_pairs(people, gallery), people, others, gallery=gallery, workers=workers)
    assert evaluated(there) == evaluated(here)
    assert together(there) == together(here)
    starts = list(there.matches().over_impostors(lambda chunk, start: (start, len(chunk.folds))))
    assert [start for start, _ in starts] == [0, starts[0][1]]
    assert sum(size for _, size in starts) == here.impostor_count


def test_passes_run_where_the_scores_lie(pairs: Path, workers: ClusterWorkers) -> None:
    people = faces(12, 3)
    matches = score(read_pairs(pairs), people, chunk_pairs=CHUNK, workers=workers).matches()
    found = list(matches.over_impostors(lambda chunk, start: (os.getpid(), start, chunk.scores)))
    assert os.getpid() not in {process for process, _, _ in found}
    starts = [start for _, start, _ in found]
    sizes = [scores.shape[1] for _, _, scores in found]
    assert starts == [sum(sizes[:place]) for place in range(len(sizes))]
    assert sum(sizes) == matches.impostor_count
    assert sum(len(n) for n in matches.over_genuine(lambda chunk, start: chunk.folds)) == 36


def test_a_worker_that_dies_costs_its_tasks_only(
    pairs: Path, workers: ClusterWorkers, tmp_path: Path
) -> None:
    """The first pass over the scores kills the worker that holds some of them."""
    people, others = faces(12, 3), anchors()
    here = score(read_pairs(pairs), people, others, chunk_pairs=CHUNK)
    there = score(read_pairs(pairs), people, others, chunk_pairs=CHUNK, workers=workers)
    died = tmp_path / "died"

    def take(chunk: object, start: int) -> int:
        if start and not died.exists():
            died.write_text(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGKILL)
        return start

    matches = there.matches()
    starts = list(matches.over_impostors(take))
    assert died.exists()
    assert starts == sorted(set(starts))
    assert evaluated(there) == evaluated(here)
    assert together(there) == together(here)


def test_row_numbers_as_ids_count_as_for_one_process(
    pairs: Path, workers: ClusterWorkers, tmp_path: Path
) -> None:
    """One shared vector says that row numbers name the same rows, in all blocks."""
    rng = np.random.default_rng(3)
    table = rng.normal(size=(20000, 8))
    people = Embeddings.from_arrays(table)
    moved = table[:17000] + 0.2 * rng.normal(size=(17000, 8))
    moved[3] = table[3]
    others = package.Anchors.of(Embeddings.from_arrays(moved), kind="real-db")
    listed = tmp_path / "rows.csv"
    listed.write_text("".join(f"{row},{(row * 7 + 1) % 20000}\n" for row in range(20000)))
    options = {"allow_overlap": True}
    here = score(read_pairs(listed), people, others, **options)
    there = score(read_pairs(listed), people, others, workers=workers, **options)
    assert together(there) == together(here)


def test_files_are_read_by_the_workers_or_sent(
    pairs: Path, workers: ClusterWorkers, tmp_path: Path
) -> None:
    write_embeddings(tmp_path / "emb.h5", faces(12, 3))
    write_embeddings(tmp_path / "anchors.h5", anchors())
    people, others = read_embeddings(tmp_path / "emb.h5"), read_anchors(tmp_path / "anchors.h5")
    workers.share(people, None, others)
    options = {"chunk_pairs": CHUNK}
    expected = together(score(read_pairs(pairs), people, others, **options))
    shared = score(read_pairs(pairs), people, others, workers=workers, **options)
    assert together(shared) == expected
    # Once all have read it, the file is not needed; a worker that comes later misses it.
    (tmp_path / "anchors.h5").rename(tmp_path / "moved.h5")
    again = read_anchors(tmp_path / "moved.h5")
    assert together(score(read_pairs(pairs), people, again, workers=workers, **options)) == expected


def test_another_file_of_the_same_name_is_refused(workers: ClusterWorkers, tmp_path: Path) -> None:
    write_embeddings(tmp_path / "emb.h5", faces(12, 3))
    people = read_embeddings(tmp_path / "emb.h5")
    assert people.digest is not None
    write_embeddings(tmp_path / "emb.h5", faces(11, 3), force=True)
    with pytest.raises(InputError, match=r"is another file to worker tcp://.*expected") as caught:
        workers.share(people)
    assert caught.value.hint is not None


def test_a_fault_in_a_task_is_the_same_message(workers: ClusterWorkers, tmp_path: Path) -> None:
    people = faces(4, 2)
    others = package.Anchors.of(people.take(np.array([0, 1])), kind="real-db")
    listed = tmp_path / "pairs.csv"
    listed.write_text(f"{people.ids[0]},{people.ids[2]}\n")
    messages = []
    for options in ({}, {"workers": workers}):
        with pytest.raises(InputError) as caught:
            score(read_pairs(listed), people, others, allow_overlap=True, **options)
        messages.append((str(caught.value), caught.value.hint))
    assert messages[0] == messages[1]
    assert "every anchor is of the same subject" in messages[0][0]


def test_an_interrupt_while_workers_start_is_quiet() -> None:
    code = """
import asyncio, os, signal
from distributed.nanny import Nanny
from damcli.cluster import open_cluster

async def start(self):
    os.kill(os.getpid(), signal.SIGINT)
    await asyncio.sleep(60)

Nanny.start_unsafe = start
try:
    with open_cluster("local:1"):
        raise AssertionError("no worker has started")
except KeyboardInterrupt:
    print("interrupted")
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("interrupted\n", "", 0)


def test_what_is_no_address() -> None:
    for address in ("local:0", "local", "here", "tcp://host", "http://host:8786/x"):
        with pytest.raises(UserError, match="expected local:N"):
            check_address(address)
    for address in ("local:2", "tcp://host:8786", "tls://10.0.0.1:8786", "host:8786"):
        check_address(address)
