"""A sound input of every kind that holds embeddings, pairs, scores or what was made of them."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
from pathlib import Path

import numpy as np

from damcli.storage.hdf5 import write_embeddings
from damcli.storage.lidr import write_lidr
from tests import official
from tests.cli import damcli
from tests.faces import anchors, faces
from tests.lidrs import lidr

NONE = ("--resamples", "0", "-q")


def make(folder: Path) -> None:
    """Fill a folder; commands make what commands make."""
    people = faces(12, 3, noise=1.0)
    race = np.array([("a", "b")[int(name[1:]) % 2] for name in people.subjects], dtype=object)
    people.groups["race"] = race  # type: ignore[index]
    write_embeddings(folder / "emb.h5", people)
    write_embeddings(folder / "anchors.h5", anchors())
    write_lidr(folder / "lidr.h5", lidr())
    for name in ("emb.npz", "emb.parquet", "emb.npy", "emb.vectors.h5"):
        run("convert", folder / "emb.h5", "-o", folder / name, "-q")
    _lists(folder, list(people.ids), list(people.subjects))
    _made_of_scores(folder)
    rng = np.random.default_rng(3)
    np.savez(
        folder / "logits.npz",
        **{"embedding": people.vectors, "id": people.ids.astype(str)},
        **{"probability": rng.uniform(0.1, 0.9, 36), "cosine": rng.uniform(0.1, 0.9, 36)},
    )


def run(*arguments: object) -> str:
    """Run a command that must succeed."""
    done = damcli(*arguments)
    assert done.code == 0, done.err
    return done.out


def _lists(folder: Path, ids: list[str], subjects: list[str]) -> None:
    run("pairs", folder / "emb.h5", "--all", "-o", folder / "pairs.csv", "-q")
    text = (folder / "pairs.csv").read_text()
    (folder / "dev.csv").write_text(text)
    (folder / "pairs.csv.gz").write_bytes(gzip.compress(text.encode()))
    run("pairs", folder / "emb.h5", "--all", "-o", folder / "pairs.parquet", "-q")
    _zstd(folder / "pairs.csv", folder / "pairs.csv.zst")
    rows = csv.reader(text.splitlines()[1:])
    voxceleb = "".join(f"{label} {a} {b}\n" for a, b, label in rows)
    (folder / "trials.txt").write_text(voxceleb)
    templates = [f"{row // 3},{row // 3},{name}" for row, name in enumerate(ids)]
    official.write(folder / "templates.csv", ["template_id,media_id,id", *templates])
    official.write(folder / "exclude.txt", [ids[0], ids[5]])
    official.write(folder / "people.txt", subjects[:3])


def _zstd(source: Path, target: Path) -> None:
    import pyarrow as pa

    with pa.CompressedOutputStream(str(target), "zstd") as stream:
        stream.write(source.read_bytes())


def _made_of_scores(folder: Path) -> None:
    sides = ("-e", folder / "emb.h5", "-a", folder / "anchors.h5")
    for name in ("scores.csv", "scores.parquet"):
        run("score", folder / "pairs.csv", *sides, "-o", folder / name, *NONE)
    kept = folder / "kept" / "emb.h5"
    kept.parent.mkdir()
    shutil.copy(folder / "emb.h5", kept)
    keep = ("-e", kept, *sides[2:], "--keep-lids", "-o", folder / "kept.csv")
    run("score", folder / "pairs.csv", *keep, *NONE)
    shutil.copy(folder / "scores.csv", folder / "older.csv")
    shutil.copy(folder / "scores.csv.about.json", folder / "older.csv.about.json")
    calibration = folder / "calibration.json"
    run("calibrate", folder / "dev.csv", *sides, "-o", calibration, "--resamples", 100, "-q")
    picked = folder / "threshold.json"
    run("evaluate", folder / "scores.csv", "--threshold-at", "0.01", "-o", picked, *NONE)
    swept = ("sweep", folder / "pairs.csv", *sides, "-k", "1,5", "--s", "1,2", "--far", "0.01,0.1")
    (folder / "sweep.json").write_text(
        run(*swept, "-o", folder / "sweep.csv", "--json", *NONE), encoding="utf-8"
    )
    assert json.loads((folder / "sweep.json").read_text())["schema"] == "damcli/sweep"
