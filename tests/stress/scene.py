"""Inputs for every command that writes, and the commands themselves."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from PIL import Image

from damcli.storage.anchors import Anchors
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.lidr import write_lidr
from tests.faces import faces
from tests.lidrs import lidr
from tests.networks import conv_net
from tests.test_scoring import write_pairs

ROOT = Path(__file__).parent.parent.parent
UNTOLD = ("command", "damcli_version")
"""What a file says of the run that made it, and not of what it holds."""


class Size(NamedTuple):
    """How much there is to do.

    Attributes
    ----------
    subjects
        People, of whom each has three embeddings.
    anchors
        Anchors.
    images
        Images of five people.
    steps
        Of training and fitting.
    dim
        D.
    """

    subjects: int = 20
    anchors: int = 60
    images: int = 20
    steps: int = 6
    dim: int = 16


_SIDES = "-e ../in/emb.h5 -a ../in/anchors.h5"
_FIT = "--hidden 8 --batch-size 64 --iterations"
_SMALL = "--recipe cpu --dim 4 --batch 8 --workers 0 --device cpu"


def commands(size: Size) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return every command that writes, and the names of its outputs."""
    steps = size.steps
    return {
        "embed": (
            "embed ../in/faces -m ../in/model.onnx --size 8x9 --color rgb --mean 127.5 --std 127.5 "
            "-o out.h5 --batch-size 4 --workers 2 --threads 1 -q",
            ("out.h5",),
        ),
        "build-anchors": (
            f"build-anchors ../in/others.h5 -o out.h5 --size {size.anchors} --per-subject 1 -q",
            ("out.h5",),
        ),
        "fit-lidr": (
            f"fit-lidr ../in/others.h5 -a ../in/anchors.h5 -o out.h5 {_FIT} {10 * steps} -q",
            ("out.h5",),
        ),
        "train": (
            f"train ../in/faces -o run {_SMALL} --steps {steps} --save-every 2 --log-every 2 -q",
            ("run/model.onnx", "run/classes.csv", "run/centres.npy"),
        ),
        "score": (
            f"score ../in/pairs.csv {_SIDES} -o out.csv --resamples 0 -q",
            ("out.csv", "out.csv.about.json"),
        ),
        "score to Parquet": (
            f"score --all-pairs {_SIDES} -o out.parquet --resamples 0 -q",
            ("out.parquet",),
        ),
        "score --lidr": (
            "score ../in/pairs.csv -e ../in/emb.h5 --lidr ../in/lidr.h5 -o out.csv "
            "--resamples 0 -q",
            ("out.csv", "out.csv.about.json"),
        ),
        "calibrate": (
            f"calibrate ../in/pairs.csv {_SIDES} -o out.json --resamples 100 -q",
            ("out.json",),
        ),
        "evaluate": (
            "evaluate ../in/scores.csv --threshold-at 0.05 -o out.json --resamples 20 -q",
            ("out.json",),
        ),
        "compare": (
            f"compare ../in/pairs.csv {_SIDES} -o out.csv --resamples 20 -q",
            ("out.csv", "out.csv.about.json"),
        ),
        "sweep": (
            f"sweep ../in/pairs.csv {_SIDES} -k 1,5 --s 1,2 -o out.csv --resamples 20 -q",
            ("out.csv",),
        ),
        "report": (
            f"report ../in/scores.csv {_SIDES} -o out.html --resamples 20 -q",
            ("out.html",),
        ),
        "identify": (
            "identify ../in/probes.h5 ../in/emb.h5 -a ../in/anchors.h5 -o out.csv "
            "--resamples 20 -q",
            ("out.csv", "out.csv.about.json"),
        ),
        "pairs": ("pairs ../in/emb.h5 --all -o out.csv -q", ("out.csv",)),
        "pool": ("pool ../in/emb.h5 --by subject -o out.h5 -q", ("out.h5",)),
        "convert": ("convert ../in/emb.h5 -o out.npz -q", ("out.npz",)),
    }


def make(folder: Path, size: Size) -> None:
    """Fill a folder with what the commands read."""
    folder.mkdir()
    people = faces(size.subjects, 3, dim=size.dim, noise=1.0)
    write_embeddings(folder / "emb.h5", people)
    probes = faces(size.subjects, 1, dim=size.dim, noise=1.5)
    write_embeddings(folder / "probes.h5", probes)
    others = faces(4 * size.anchors, 2, dim=size.dim, seed=5, prefix="other")
    write_embeddings(folder / "others.h5", others)
    chosen = faces(size.anchors, 1, dim=size.dim, seed=1, prefix="anchor")
    write_embeddings(folder / "anchors.h5", Anchors.of(chosen, kind="real-db"))
    write_lidr(folder / "lidr.h5", lidr(dim=size.dim, hidden=8))
    write_pairs(folder / "pairs.csv", people)
    conv_net(folder / "model.onnx")
    _images(folder / "faces", size.images)
    _scores(folder)


def _images(folder: Path, count: int) -> None:
    rng = np.random.default_rng(2)
    for number in range(count):
        path = folder / f"p{number % 5}" / f"{number:05d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (112, 112, 3), dtype=np.uint8)).save(path)


def _scores(folder: Path) -> None:
    rows = (folder / "pairs.csv").read_text().splitlines()[1:]
    scores = np.random.default_rng(4).normal(size=(2, len(rows)))
    with (folder / "scores.csv").open("w") as file:
        file.write("probe_id,reference_id,label,cosine,score\n")
        for row, one, two in zip(rows, *scores.tolist(), strict=True):
            shift = float(row.endswith(",1"))
            file.write(f"{row},{one + shift!r},{two + 2 * shift!r}\n")


def argv(line: str, *more: str) -> list[str]:
    """Return what starts a command; networks that are trained are a stand-in."""
    module = "tests.train_command" if line.startswith("train ") else "damcli"
    words = shlex.split(line)
    return [sys.executable, "-m", module, *(words[1:] if module != "damcli" else words), *more]


def content(path: Path) -> Any:
    """Return what a file holds, without what it says of the run that made it."""
    if path.suffix == ".h5":
        with h5py.File(path, "r") as file:
            return _content_of(file)
    if path.name.endswith(".about.json"):
        about = json.loads(path.read_text())["about"]
        return {name: value for name, value in about.items() if name not in UNTOLD}
    return path.read_bytes()


def _content_of(file: Any) -> Mapping[str, Any]:
    found: dict[str, Any] = {
        f"@{name}": str(value) for name, value in file.attrs.items() if name not in UNTOLD
    }

    def take(name: str, one: Any) -> None:
        if isinstance(one, h5py.Dataset):
            data = one.asstr()[:] if h5py.check_string_dtype(one.dtype) else one[()]
            whole = np.asarray(data)
            found[name] = whole.tolist() if whole.dtype == object else whole.tobytes()

    file.visititems(take)
    return found
