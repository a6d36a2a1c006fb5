"""The learning rate of a step."""

from __future__ import annotations

from damcli.training.options import TrainOptions


def learning_rate(options: TrainOptions, step: int) -> float:
    """Return the learning rate of a step, counted from 0.

    It rises linearly over the first ``warmup`` steps, and is multiplied by ``gamma`` from
    each milestone on.
    """
    rising = min(1.0, (step + 1) / options.warmup) if options.warmup else 1.0
    passed = sum(step >= milestone for milestone in options.milestones)
    rate: float = options.lr * options.gamma**passed * rising
    return rate
