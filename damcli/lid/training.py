"""The training loop of the LIDR regressor; the only part of it that needs PyTorch."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import MissingExtra, UserError
from damcli.lid.recipes import Recipe, Standard
from damcli.lid.training_set import Split, TrainingSet
from damcli.storage.embeddings import Rows
from damcli.storage.lidr import Layer

CHECK_EVERY = 50
# Held-out rows that a check looks at; more would take longer than the training between two.
_CHECK_ROWS = 8192
_MOMENTUM = 0.9


class Check(NamedTuple):
    """The state of training at some iteration; losses are of the targets as learnt."""

    iteration: int
    loss: float
    """Mean over the batches since the check before."""
    heldout_loss: float


@dataclass
class Trained:
    """What came of it.

    Attributes
    ----------
    layers
        The weights that were kept; None where training broke down before the first check.
    kept
        The iteration they are of.
    checks
        One for every `CHECK_EVERY` iterations.
    diverged_at
        The iteration whose loss was not finite, or None.
    """

    layers: tuple[Layer, Layer] | None = None
    kept: int = 0
    checks: list[Check] = field(default_factory=list)
    diverged_at: int | None = None


def require_torch(purpose: str) -> Any:
    """Import PyTorch.

    Raises
    ------
    MissingExtra
        It is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtra(purpose, "torch") from error
    return torch


def choose_device(torch: Any, wanted: str) -> str:
    """Return ``cpu`` or ``cuda``; ``auto`` takes a GPU where there is one.

    Raises
    ------
    UserError
        A GPU was asked for and there is none.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "--device cuda: PyTorch finds no GPU; expected one", hint="leave --device out"
        )
    return wanted


def batches(rows: Rows, size: int, rng: np.random.Generator) -> Iterator[Rows]:
    """Yield batches without end: all rows in a new random order, and again."""
    rest = rows[:0]
    while True:
        while len(rest) < size:
            rest = np.concatenate([rest, rng.permutation(rows)])
        yield rest[:size]
        rest = rest[size:]


def train(
    data: TrainingSet,
    split: Split,
    recipe: Recipe,
    *,
    seed: int = 0,
    device: str = "cpu",
    on_check: Callable[[Check], None] | None = None,
) -> Trained:
    """Fit two layers to the LIDs by squared error.

    Parameters
    ----------
    data
        The embeddings and their log LIDs.
    split
        The rows to learn from, and those whose loss decides when to stop.
    recipe
        What to learn and how.
    seed
        Of the first weights and of the batches; on a CPU it settles every bit of the result.
    device
        ``cpu`` or ``cuda``.
    on_check
        Called every `CHECK_EVERY` iterations, and after the last.
    """
    torch = require_torch("fitting a lidr")
    targets = data.log_lids if recipe.target == "log-g" else np.exp(data.log_lids)
    standard = Standard.of(targets[split.train], recipe.learnt)
    learnt = standard.apply(targets)
    rng = np.random.default_rng(seed)
    network = _Network(torch, data.vectors.shape[1], recipe, rng, device)
    looked_at = np.sort(rng.permutation(split.heldout)[:_CHECK_ROWS])
    heldout = network.tensor(data.vectors[looked_at]), network.tensor(learnt[looked_at])
    found, losses, waited, lowest = Trained(), list[float](), 0, math.inf
    draws = batches(split.train, min(recipe.batch_size, len(split.train)), rng)
    for iteration in range(1, recipe.iterations + 1):
        rows = np.sort(next(draws))  # in file order, for vectors that lie on disk
        loss = network.step(data.vectors[rows], learnt[rows], recipe.learning_rate(iteration - 1))
        losses.append(loss)
        if not math.isfinite(loss):
            found.diverged_at = iteration
            break
        if iteration % CHECK_EVERY and iteration != recipe.iterations:
            continue
        check = Check(iteration, float(np.mean(losses)), network.loss(*heldout))
        losses.clear()
        if not math.isfinite(check.heldout_loss):
            found.diverged_at = iteration
            break
        found.checks.append(check)
        if on_check is not None:
            on_check(check)
        waited = 0 if check.heldout_loss < lowest else waited + 1
        lowest = min(lowest, check.heldout_loss)
        if recipe.patience is None or not waited:
            found.layers, found.kept = network.layers(standard), iteration
        if recipe.patience is not None and waited >= recipe.patience:
            break
    return found


class _Network:
    """Two fully connected layers with ReLU between, and their optimiser."""

    def __init__(
        self, torch: Any, dim: int, recipe: Recipe, rng: np.random.Generator, device: str
    ) -> None:
        self._torch = torch
        self._device = device
        # As PyTorch's own layers begin, but from our seed and without touching its.
        shapes = [(recipe.hidden, dim), (recipe.hidden,), (1, recipe.hidden), (1,)]
        bounds = [dim**-0.5] * 2 + [recipe.hidden**-0.5] * 2
        self._parameters = [
            self.tensor(rng.uniform(-bound, bound, shape)).requires_grad_()
            for shape, bound in zip(shapes, bounds, strict=True)
        ]
        how: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
        self._optimiser = (
            torch.optim.SGD(self._parameters, momentum=_MOMENTUM, **how)
            if recipe.optimiser == "sgd"
            else torch.optim.AdamW(self._parameters, **how)
        )

    def tensor(self, values: NDArray[Any]) -> Any:
        return self._torch.tensor(values, dtype=self._torch.float32, device=self._device)

    def _loss(self, vectors: Any, targets: Any) -> Any:
        first, first_bias, second, second_bias = self._parameters
        linear = self._torch.nn.functional.linear
        hidden = linear(vectors, first, first_bias).relu()  # (B, D) -> (B, H)
        found = linear(hidden, second, second_bias)[:, 0]  # (B, H) -> (B,)
        return self._torch.nn.functional.mse_loss(found, targets)

    def step(self, vectors: NDArray[Any], targets: NDArray[Any], lr: float) -> float:
        """Learn from one batch; return its loss before that."""
        for group in self._optimiser.param_groups:
            group["lr"] = lr
        loss = self._loss(self.tensor(vectors), self.tensor(targets))
        self._optimiser.zero_grad()
        loss.backward()
        self._optimiser.step()
        return float(loss.detach())

    def loss(self, vectors: Any, targets: Any) -> float:
        with self._torch.no_grad():
            return float(self._loss(vectors, targets))

    def layers(self, standard: Standard) -> tuple[Layer, Layer]:
        """Copy the weights, so that the last layer gives the target and not its standard."""
        first, first_bias, second, second_bias = (
            parameter.detach().cpu().numpy().astype(np.float64) for parameter in self._parameters
        )
        second, second_bias = second * standard.deviation, second_bias * standard.deviation
        last = Layer(second, second_bias + standard.mean)
        return (
            Layer(first.astype(np.float32), first_bias.astype(np.float32)),
            Layer(last.weight.astype(np.float32), last.bias.astype(np.float32)),
        )
