"""How the LIDR regressor is fitted: the paper's recipe, and the one that is the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from damcli.storage.lidr import Target

Learnt = Literal["g", "log-g", "std-g", "std-log-g"]
LEARNT: tuple[str, ...] = get_args(Learnt)
# Of the iterations: 15k, 20k and 25k of the paper's 30k.
_MILESTONES = ((1, 2), (2, 3), (5, 6))
_DECAY = 0.1


@dataclass(frozen=True)
class Recipe:
    """How to fit the regressor.

    Attributes
    ----------
    learnt
        What is learnt by squared error: G, log G, or either of them standardised to mean 0
        and deviation 1 over the training rows (which the last layer then undoes).
    optimiser
        ``sgd`` with momentum 0.9, or ``adamw``.
    lr
        Learning rate, > 0; divided by 10 at 1/2, 2/3 and 5/6 of the iterations.
    weight_decay
        >= 0.
    iterations, batch_size, hidden
        Counts >= 1.
    patience
        Stop after so many checks in a row without a lower held-out loss, and keep the
        weights of the lowest; None to run to the end and keep the last.
    """

    learnt: Learnt
    optimiser: Literal["sgd", "adamw"]
    lr: float
    weight_decay: float
    iterations: int = 30_000
    batch_size: int = 512
    hidden: int = 512
    patience: int | None = None

    @property
    def target(self) -> Target:
        """What the regressor gives in the end."""
        return "log-g" if self.learnt in ("log-g", "std-log-g") else "g"

    def learning_rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration, counted from 0."""
        passed = sum(iteration * of >= self.iterations * part for part, of in _MILESTONES)
        return self.lr * _DECAY**passed


RECIPES = {
    "tuned": Recipe("std-log-g", "adamw", lr=1e-3, weight_decay=1e-2, patience=20),
    "paper": Recipe("g", "sgd", lr=1e-3, weight_decay=5e-4),
}


@dataclass(frozen=True)
class Standard:
    """The mean and the deviation that targets are standardised with; 0 and 1 for none."""

    mean: float = 0.0
    deviation: float = 1.0

    @classmethod
    def of(cls, targets: NDArray[np.float64], learnt: Learnt) -> Standard:
        """Measure the training targets, if these are to be standardised."""
        if not learnt.startswith("std-"):
            return cls()
        return cls(float(targets.mean()), float(targets.std()) or 1.0)

    def apply(self, targets: NDArray[np.float64]) -> NDArray[np.float32]:
        """Standardise targets."""
        return ((targets - self.mean) / self.deviation).astype(np.float32)
