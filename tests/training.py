"""Runs of a network so small that a step takes milliseconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from damcli.embedding.ranks import Ranks
from damcli.sources.opening import open_source
from damcli.training.checkpoint import checkpoint_path, load_centres, load_state, steps_of
from damcli.training.classes import classes_of
from damcli.training.learner import Learner
from damcli.training.log import Log
from damcli.training.loop import Job, Listener, train
from damcli.training.options import TrainOptions
from damcli.training.run import take_up
from damcli.training.run_folder import RunFolder
from damcli.training.validation import Validated

DIM = 4
ALONE = Ranks()


def people(root: Path, subjects: int = 5, images: int = 4, *, prefix: str = "p") -> Path:
    """Save blurred noise, of which some blobs are a person's own."""
    rng = np.random.default_rng(1)
    for subject in range(subjects):
        own = rng.integers(0, 256, (7, 7, 3)).astype(np.int64)
        folder = root / f"{prefix}{subject}"
        folder.mkdir(parents=True)
        for number in range(images):
            seen = (own + rng.integers(-30, 31, own.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(seen).resize((112, 112)).save(folder / f"{number}.png")
    return root


def small_backbone(name: str, *, dim: int, dropout: float) -> nn.Module:
    """Stand in for a backbone: convolution, batch norms, dropout, a linear layer."""
    return nn.Sequential(
        *(nn.Conv2d(3, 4, 16, stride=16), nn.BatchNorm2d(4), nn.PReLU(4), nn.Flatten()),
        *(nn.Dropout(dropout), nn.Linear(4 * 49, dim), nn.BatchNorm1d(dim)),
    )


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Train the stand-in, on one thread: more would wait for each other most of the time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for module in ("training.learner", "models.trained"):
        monkeypatch.setattr(f"damcli.{module}.build_backbone", small_backbone)
    yield
    torch.set_num_threads(threads)


def options(**changes: Any) -> TrainOptions:
    usual: dict[str, Any] = {
        **{"backbone": "mobile", "dim": DIM, "dropout": 0.5, "scale": 8.0, "margin": 0.2},
        **{"steps": 8, "batch": 8, "lr": 0.05, "milestones": (5,), "warmup": 2},
        **{"jitter": 0.3, "crop": 0.2, "validate_every": 4, "save_every": 3, "log_every": 2},
    }
    return TrainOptions(**(usual | changes))


class Told:
    """A validation that says what it is told to, step by step."""

    name, metric, notes = "told", "accuracy", ()

    def __init__(self, *values: float) -> None:
        self.values = list(values)

    def run(self, embed: Any) -> Validated:
        assert embed(np.zeros((3, 3, 112, 112), np.float32)).shape == (3, DIM)
        return Validated(self.metric, self.values.pop(0), {"eer": 0.25})


class Run:
    """One process's life of a run: from the newest checkpoint to its end."""

    def __init__(
        self,
        folder: Path,
        data: Path,
        chosen: TrainOptions,
        *,
        validations: tuple[Any, ...] = (),
        ranks: Ranks = ALONE,
        stop_at: int | None = None,
        workers: int = 0,
    ) -> None:
        source = open_source(str(data))
        where = RunFolder(folder)
        where.checkpoints.mkdir(parents=True, exist_ok=True)
        job = Job(
            options=chosen,
            source=source,
            classes=classes_of(source),
            validations=validations,
            folder=where,
            record={"options": chosen.as_json()},
            ranks=ranks,
            device="cpu",
            workers=workers,
        )
        self.job, self.losses = job, list[float]()
        self.learner = Learner(chosen, len(job.classes.labels), "cpu", ranks)
        self.progress = take_up(job, self.learner)
        self._stop_at = stop_at

    def go(self) -> Run:
        to = Listener(
            lambda progress, loss, lr: self.losses.append(loss),
            lambda row, validated: None,
            lambda: self.progress.step == self._stop_at,
        )
        if self.job.ranks.is_first:
            with Log(self.job.folder.log, step=self.progress.step) as log:
                train(self.job, self.learner, self.progress, log, to)
        else:
            train(self.job, self.learner, self.progress, None, to)
        return self


def state_of(folder: Path) -> dict[str, Any]:
    """Return all that the newest checkpoint holds, flat, but for what names the run."""
    newest = steps_of(folder / "checkpoints")[-1]
    path = checkpoint_path(folder / "checkpoints", newest)
    whole = {**load_state(path), "centres": load_centres(path)}
    return dict(_leaves({n: v for n, v in whole.items() if n != "options"}, ""))


def _leaves(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        for key, child in value.items():
            yield from _leaves(child, f"{name}/{key}")
    else:
        yield name, value


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    """Whether two states are equal to the bit."""
    return first.keys() == second.keys() and all(
        torch.equal(one, second[name]) if isinstance(one, torch.Tensor) else one == second[name]
        for name, one in first.items()
    )


def untimed(log: Path) -> list[str]:
    """Return the rows of a log without the rate."""
    rows = [line.split(",") for line in log.read_text().splitlines()]
    return [",".join(row[:4] + row[5:]) for row in rows]
