"""``--cluster`` on the command line: the same bytes, and one message for what goes wrong."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import dask
import pytest

from damcli.cluster import open_cluster
from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs

NOBODY = "tcp://127.0.0.1:9"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """The address of a scheduler with two workers."""
    with open_cluster("local:2") as workers:
        yield workers.tasks.client.scheduler.address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster")
    people = faces(12, 3)
    write_embeddings(folder / "emb.h5", people)
    write_embeddings(folder / "anchors.h5", anchors())
    write_pairs(folder / "pairs.csv", people)
    write_pairs(folder / "unlabelled.csv", people, labels=False)
    return folder


def files(folder: Path) -> tuple[object, ...]:
    return ("-e", folder / "emb.h5", "-a", folder / "anchors.h5")


@pytest.mark.parametrize("name", ["scores.csv", "scores.csv.gz", "scores.csv.zst", "s.parquet"])
def test_score_writes_and_prints_the_same(
    folder: Path, address: str, name: str, tmp_path: Path
) -> None:
    outcomes = []
    for place, more in (("here", ()), ("there", ("--cluster", address))):
        out = tmp_path / place / name
        out.parent.mkdir()
        done = damcli(
            *("score", folder / "pairs.csv", *files(folder), "-o", out, "--chunk-size", 100),
            *("--far", "1e-2,0.1", "--resamples", 20, *more),
        )
        assert done.code == 0, done.err
        outcomes.append((done.out, out.read_bytes()))
        if more:
            assert f"{address}: 2 workers, 2 threads; dashboard at http://" in done.err
    assert outcomes[0] == outcomes[1]


def test_pairs_without_labels_go_to_stdout(folder: Path, address: str) -> None:
    one, other = (
        damcli("score", folder / "unlabelled.csv", *files(folder), "-o", "-", *more)
        for more in ((), ("--cluster", address))
    )
    assert one.code == other.code == 0
    assert other.out == one.out
    assert one.out.count("\n") == 1 + 36 * 35 // 2


@pytest.mark.parametrize("pairs", ["listed", "all"])
def test_compare_prints_the_same(folder: Path, address: str, pairs: str) -> None:
    which = (folder / "pairs.csv",) if pairs == "listed" else ("--all-pairs",)
    command = ("compare", *which, *files(folder), "--cohort-size", 5, "--json")
    one, other = (
        damcli(*command, "--far", "0.1", "--resamples", 20, *more)
        for more in ((), ("--cluster", address))
    )
    assert one.code == other.code == 0, other.err
    assert other.out == one.out


def test_a_scheduler_file_names_the_cluster(folder: Path, address: str, tmp_path: Path) -> None:
    named = tmp_path / "scheduler.json"
    named.write_text(f'{{"address": "{address}"}}')
    done = damcli("score", folder / "pairs.csv", *files(folder), "--cluster", named)
    assert done.code == 0, done.err
    named.write_text("not JSON")
    failed(
        damcli("score", folder / "pairs.csv", *files(folder), "--cluster", named),
        f"{named}: names no scheduler",
        f"hint: start one with: dask scheduler --scheduler-file {named}",
    )


def test_nobody_answers(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "s.csv"
    with dask.config.set({"distributed.comm.timeouts.connect": "200ms"}):
        failed(
            damcli("score", folder / "pairs.csv", *files(folder), "--cluster", NOBODY, "-o", out),
            f"{NOBODY}: no scheduler answers",
            "hint: start one with: dask scheduler",
        )
    assert not out.exists()


def test_what_is_no_address_is_a_usage_error(folder: Path) -> None:
    for command in ("score", "compare"):
        done = damcli(command, folder / "pairs.csv", *files(folder), "--cluster", "local:none")
        assert done.code == 2
        assert "--cluster local:none: expected local:N" in done.err


def test_the_extra_is_named_where_it_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    failed(
        damcli("score", folder / "pairs.csv", *files(folder), "--cluster", "local:2"),
        "--cluster needs the extra [cluster]",
        "hint: pip install 'damcli[cluster]'",
    )


def test_workers_of_another_version_are_refused(
    folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("damcli.__version__", "9.9")
    failed(
        damcli("score", folder / "pairs.csv", *files(folder), "--cluster", address),
        f"{address}: worker tcp://",
        "expected damcli 9.9, as here",
        "hint: install the same versions",
    )


def test_an_unknown_id_is_the_same_message(folder: Path, address: str, tmp_path: Path) -> None:
    listed = tmp_path / "pairs.csv"
    listed.write_text("nobody,noone\n")
    one, other = (
        damcli("score", listed, *files(folder), "-o", tmp_path / "s.csv", *more, "--quiet")
        for more in ((), ("--cluster", address))
    )
    failed(other, "id 'nobody' has no embedding")
    assert other.err == one.err
