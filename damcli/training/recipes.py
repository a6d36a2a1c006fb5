"""Named settings, and the order of precedence: option, file, recipe, default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from types import MappingProxyType
from typing import Any

from damcli.errors import UserError
from damcli.training.options import MAY_CHANGE, TrainOptions

DEFAULT = "casia"
RECIPES: Mapping[str, TrainOptions] = MappingProxyType(
    {
        "casia": TrainOptions(),
        "ms1m": TrainOptions(
            steps=200_000, milestones=(100_000, 140_000, 160_000), validate_every=2000
        ),
        # About ten minutes on two cores.
        "cpu": TrainOptions(
            backbone="mobile",
            dim=128,
            dropout=0.0,
            scale=32.0,
            margin=0.2,
            steps=400,
            batch=64,
            milestones=(240, 340),
            warmup=20,
            clip=5.0,
            validate_every=100,
            save_every=50,
            log_every=10,
        ),
    }
)


def resolve(recipe: str | None, given: Mapping[str, Any]) -> TrainOptions:
    """Settle the options of a new run.

    Parameters
    ----------
    recipe
        One of `RECIPES`; None for `DEFAULT`.
    given
        What options and a file say. Where they give the steps, the recipe's milestones and
        warm-up keep their place in proportion, unless they are given as well. Another head has
        the scale and the margin of its paper.

    Raises
    ------
    UserError
        There is no such recipe.
    """
    base = _recipe(recipe or DEFAULT)
    steps = given.get("steps", base.steps)
    milestones = {step * steps // base.steps for step in base.milestones} - {0}
    scaled: dict[str, Any] = {
        "milestones": tuple(sorted(milestones)),
        "warmup": base.warmup * steps // base.steps,
    }
    if given.get("head", base.head) != base.head:
        scaled |= {"scale": None, "margin": None}
    return replace(base, **(scaled | dict(given)))


def resume(recorded: TrainOptions, recipe: str | None, given: Mapping[str, Any]) -> TrainOptions:
    """Settle the options of a run that goes on: what it recorded, but for what may change.

    Parameters
    ----------
    recorded
        What the run was begun with.
    recipe, given
        As for `resolve`. A recipe is only compared; what may change, changes by an option
        or a file alone.

    Raises
    ------
    UserError
        Something contradicts the record; all of it is named.
    """
    known, said = asdict(recorded), dict(given)
    if recipe is not None:
        said = asdict(resolve(recipe, {**given, "steps": recorded.steps}))
    wrong = [name for name in said if name not in MAY_CHANGE and said[name] != known[name]]
    if wrong:
        told = ", ".join(f"{name} {said[name]} (the run has {known[name]})" for name in wrong)
        raise UserError(
            f"--resume with {told}; expected what the run was begun with",
            hint="leave that out to go on, or begin another run with -o; "
            f"only {', '.join(sorted(MAY_CHANGE))} may change",
        )
    return replace(recorded, **{n: v for n, v in given.items() if n in MAY_CHANGE})


def _recipe(name: str) -> TrainOptions:
    if name not in RECIPES:
        raise UserError(f"recipe '{name}'; expected one of {', '.join(RECIPES)}")
    return RECIPES[name]
