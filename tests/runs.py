"""Folders of training runs as `damcli train` leaves them, with a small network in them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from damcli.models.backbones import PREPROCESSING, build_backbone
from damcli.models.trained import Trained, pack

LABELS = ("ann", "Doe, Bob", "çem", "7")
DIM = 8


def trained(backbone: str = "mobile", *, dim: int = DIM, seed: int = 0, step: int = 3) -> Trained:
    """Return a network that has seen a batch, so that its batch norms are not the identity."""
    torch.manual_seed(seed)
    network = build_backbone(backbone, dim=dim, dropout=0.25)
    with torch.no_grad():
        network(torch.randn(4, 3, 112, 112))
    return Trained(backbone, dim, 0.25, PREPROCESSING, step, network.state_dict())


def save_checkpoint(path: Path, model: Trained, **more: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({**pack(model), **more}, path)
    return path


def save_step(run: Path, step: int, *, seed: int = 0) -> Trained:
    """Save one checkpoint of a run, with an optimizer's state as a resume needs it."""
    model = trained(seed=seed, step=step)
    moments = {"state": {0: {"momentum_buffer": torch.ones(5)}}, "param_groups": [{"lr": 0.1}]}
    path = run / "checkpoints" / f"step-{step:08d}" / "state.pt"
    save_checkpoint(path, model, optimizer=moments, options={"batch": 4})
    return model


def save_best(run: Path, step: int) -> None:
    (run / "best.json").write_text(json.dumps({"step": step, "metric": "accuracy", "value": 0.9}))


def save_classes(run: Path) -> np.ndarray:
    """Save class centres and their labels; returns the centres."""
    centres = np.random.default_rng(4).normal(size=(len(LABELS), DIM)).astype(np.float32)
    np.save(run / "centres.npy", centres)
    rows = [f'{index},"{label}",{index + 2}\r\n' for index, label in enumerate(LABELS)]
    (run / "classes.csv").write_text("class,label,images\r\n" + "".join(rows), encoding="utf-8")
    return centres
