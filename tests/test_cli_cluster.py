"""``--cluster`` on the command line: the same bytes, and one message for what goes wrong."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import dask
import h5py
import numpy as np
import pytest
from PIL import Image

from damcli.cluster import open_cluster
from damcli.sources.opening import open_source
from damcli.storage.hdf5 import write_embeddings
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.networks import conv_net
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


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 pictures of four people, one of them torn, one so wide that it is odd, and a model."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(2)
    for number in range(40):
        place = folder / "faces" / f"p{number % 4}" / f"{number:02d}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        width = 90 if number == 30 else 9
        Image.fromarray(rng.integers(0, 256, (8, width, 3), dtype=np.uint8)).save(place)
    torn = folder / "faces" / "p1" / "05.png"
    torn.write_bytes(torn.read_bytes()[:60])
    conv_net(folder / "model.onnx")
    return folder


def embed(folder: Path, *more: object, source: object = None) -> Outcome:
    return damcli(
        *("embed", folder / "faces" if source is None else source, "-m", folder / "model.onnx"),
        *("--color", "rgb", "--mean", "127.5", "--std", "127.5", *more),
    )


def in_file(path: Path) -> dict[str, object]:
    """Everything in a file of embeddings but the command."""
    found: dict[str, object] = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, item: found.update(
                {name: item[()].tolist()} if hasattr(item, "shape") else {}
            )
        )
        found |= {name: value for name, value in file.attrs.items() if name != "command"}
    return found


def test_embed_writes_the_same(images: Path, address: str, tmp_path: Path) -> None:
    outcomes, outputs = [], []
    for name, more in (("here", ()), ("there", ("--cluster", address))):
        out = tmp_path / name / "emb.h5"
        out.parent.mkdir()
        done = embed(images, "-o", out, "--batch-size", 2, "--json", *more)
        assert done.code == 0, done.err
        outputs.append((in_file(out), (out.parent / "emb.rejects.csv").read_bytes()))
        said = re.sub(f"{address}.*\n| at [0-9.,]+ images/s", "", done.err)
        outcomes.append(said.replace(name, "x"))
        assert "p1/05.png" in outputs[-1][1].decode()
    assert outputs[0] == outputs[1]
    assert outcomes[0] == outcomes[1]
    assert len(outputs[0][0]["id"]) == 39


def test_embed_resumes_what_was_done_elsewhere(images: Path, address: str, tmp_path: Path) -> None:
    whole, part = tmp_path / "whole.h5", tmp_path / "part.h5"
    assert embed(images, "-o", whole, "--batch-size", 2).code == 0
    listed = tmp_path / "faces.txt"
    paths = sorted(str(path) for path in (images / "faces").rglob("*.png"))
    listed.write_text("\n".join(paths[:10]) + "\n")
    first = ("--batch-size", 2, "-o", part, "--root", images / "faces", "--cluster", address)
    assert embed(images, *first, source=listed).code == 0
    listed.write_text("\n".join(paths) + "\n")
    done = embed(images, *first, "--resume", source=listed)
    assert done.code == 0, done.err
    one, other = in_file(whole), in_file(part)
    assert one["embedding"] == other["embedding"]


def test_strict_ends_at_the_same_image(images: Path, address: str, tmp_path: Path) -> None:
    errors = []
    for more in ((), ("--cluster", address)):
        done = embed(images, "-o", tmp_path / "emb.h5", "--strict", "--quiet", "--force", *more)
        failed(done, "05.png")
        errors.append(done.err)
    assert errors[0] == errors[1]
    assert not (tmp_path / "emb.h5").exists()


def test_embed_says_what_does_not_go_with_a_cluster(images: Path, address: str) -> None:
    done = embed(images, "-o", images / "x.h5", "--cluster", address, source="-")
    assert done.code == 2
    assert "workers cannot read stdin" in done.err
    done = embed(images, "--check", 8, "--cluster", address)
    assert done.code == 2
    assert "--check is for one process" in done.err


def test_other_images_on_a_worker_are_refused(images: Path, address: str, tmp_path: Path) -> None:
    """The workers look into the same folder after an image was added."""

    def open_and_add(*arguments: object, **options: object) -> object:
        opened = open_source(*arguments, **options)
        (images / "faces" / "p0" / "new.png").write_bytes(b"")
        return opened

    with patch("damcli.sources.opening.open_source", open_and_add):
        done = embed(images, "-o", tmp_path / "emb.h5", "--cluster", address)
    (images / "faces" / "p0" / "new.png").unlink()
    failed(done, "a worker finds images 41, ", "expected 40, ", "let all workers see the same")
    assert not (tmp_path / "emb.h5").exists()
