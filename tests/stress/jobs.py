"""The commands that are killed: small inputs, one output each, and what makes two outputs equal."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from damcli.storage.hdf5 import write_embeddings
from tests.faces import anchors, faces
from tests.images import save
from tests.networks import conv_net
from tests.training import people

# Who made a file, not what it holds.
ABOUT = {"command", "damcli_version"}


class Job(NamedTuple):
    """A command, the output that it makes, and how a run of it goes on after a kill."""

    arguments: Sequence[str]
    output: str
    resumes: bool = False

    def command(self, *more: str) -> list[str]:
        program = [sys.executable, "-m", "damcli"]
        if self.arguments[0] == "train":
            program = [sys.executable, "-m", "tests.train_command"]
        own = self.arguments if program[-1] == "damcli" else self.arguments[1:]
        return [*program, *own, "-o", self.output, *more]


def make_jobs(folder: Path) -> dict[str, Job]:
    """Write the inputs and return the commands, by name."""
    made = faces(300, 4, dim=64)
    write_embeddings(folder / "emb.h5", made)
    write_embeddings(folder / "anchors.h5", anchors(4000, dim=64))
    write_embeddings(folder / "training.h5", faces(1500, 2, dim=64, seed=5))
    rng = np.random.default_rng(0)
    first, second = rng.integers(0, len(made), (2, 60_000))
    assert made.subjects is not None
    with (folder / "pairs.csv").open("w") as file:
        file.write("probe_id,reference_id,label\n")
        for one, other in zip(first, second, strict=True):
            label = int(made.subjects[one] == made.subjects[other])
            file.write(f"{made.ids[one]},{made.ids[other]},{label}\n")
    (folder / "photos").mkdir()
    for number in range(400):
        save(folder / "photos" / f"p{number % 40}" / f"{number}.png", number)
    conv_net(folder / "model.onnx")
    people(folder / "train", subjects=6, images=6)
    fit = ["fit-lidr", "training.h5", "--iterations", "200"]
    embed = ["embed", "photos", "--model", "model.onnx", *PREPARED, "--batch-size", "4"]
    train = ["train", "train", "--recipe", "cpu", "--steps", "20", "--save-every", "4"]
    return {
        "embed": Job(embed, "made.h5", resumes=True),
        "build-anchors": Job(["build-anchors", "training.h5"], "made.h5"),
        "score": Job(
            ["score", "pairs.csv", "-e", "emb.h5", "-a", "anchors.h5", "--resamples", "20"],
            "made.csv",
        ),
        "fit-lidr": Job([*fit, "-a", "anchors.h5"], "made.h5"),
        "train": Job([*train, "--batch", "12", "--workers", "0"], "run", resumes=True),
    }


PREPARED = ("--size", "8x9", "--mean", "0", "--std", "255", "--color", "rgb")


def digest(output: Path) -> str:
    """Sum up what an output holds, but for who made it."""
    summed = hashlib.sha256()
    if output.is_dir():
        for name in ("model.onnx", "centres.npy", "classes.csv"):
            summed.update((output / name).read_bytes())
    elif output.suffix == ".h5":
        with h5py.File(output) as file:
            _add(summed, file)
    else:
        summed.update(output.read_bytes())
    return summed.hexdigest()


def _add(summed: Any, group: Any) -> None:
    for name in sorted(set(group.attrs) - ABOUT):
        summed.update(f"{name}={group.attrs[name]!r}".encode())
    for name in sorted(group):
        summed.update(name.encode())
        if isinstance(group[name], h5py.Group):
            _add(summed, group[name])
        else:
            summed.update(repr(group[name][:].tolist()).encode())
