"""Where the numbers of a run come from, and which of them a resumed run may change."""

from __future__ import annotations

from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.cli import train_options
from damcli.errors import InputError, UserError
from damcli.models.backbones import BACKBONES
from damcli.training.heads import HEADS
from damcli.training.options import MAY_CHANGE, PRECISIONS, TrainOptions, checked
from damcli.training.recipes import RECIPES, resolve, resume
from tests.cli import program


def test_the_recipes_are_those_of_the_paper() -> None:
    casia, ms1m = resolve("casia", {}), resolve("ms1m", {})
    assert (casia.steps, casia.milestones) == (40_000, (20_000, 30_000, 35_000))
    assert (ms1m.steps, ms1m.milestones) == (200_000, (100_000, 140_000, 160_000))
    for recipe in (casia, ms1m):
        assert (recipe.lr, recipe.gamma, recipe.batch, recipe.dim) == (0.1, 0.1, 512, 256)
        assert (recipe.momentum, recipe.weight_decay) == (0.9, 5e-4)
    assert resolve(None, {}) == casia


def test_what_is_given_goes_before_the_recipe() -> None:
    assert resolve("cpu", {"lr": 0.2, "dim": 64}) == replace(RECIPES["cpu"], lr=0.2, dim=64)


@given(st.integers(1, 10**6))
def test_milestones_keep_their_place(steps: int) -> None:
    found = resolve("casia", {"steps": steps})
    wanted = [steps // 2, steps * 3 // 4, steps * 7 // 8]
    assert list(found.milestones) == sorted(set(wanted) - {0})
    assert resolve("casia", {"steps": steps, "milestones": (7,)}).milestones == (7,)


def test_another_head_has_its_own_numbers() -> None:
    found = resolve("cpu", {"head": "cosface", "margin": 0.3})
    assert (found.scale, found.margin) == (None, 0.3)
    assert resolve("cpu", {"head": "arcface"}).scale == 32.0


def test_the_command_offers_every_number_of_a_run() -> None:
    whole = program()
    offered = {parameter.name for parameter in whole.commands["train"].params}
    assert {field.name for field in fields(TrainOptions)} <= offered
    assert {one.value for one in train_options.Recipe} == set(RECIPES)
    assert [one.value for one in train_options.Backbone] == list(BACKBONES)
    assert [one.value for one in train_options.Head] == list(HEADS)
    assert [one.value for one in train_options.Precision] == list(PRECISIONS)


@pytest.mark.parametrize("recipe", RECIPES)
def test_options_come_back_from_json_and_every_recipe_keeps_the_rules(recipe: str) -> None:
    assert TrainOptions.from_json(RECIPES[recipe].as_json(), "x") == RECIPES[recipe]


def test_json_that_is_none_of_ours() -> None:
    recorded = TrainOptions().as_json()
    for broken, said in (
        (recorded | {"lr": "0.1"}, "lr is '0.1'"),
        (recorded | {"speed": 1}, "unknown key 'speed'"),
        ({n: v for n, v in recorded.items() if n != "lr"}, "lacks lr"),
        ([], "holds no options"),
    ):
        with pytest.raises(InputError, match=said):
            TrainOptions.from_json(broken, "options.json")


def test_a_run_resumes_by_the_command_that_began_it() -> None:
    for recipe in RECIPES:
        for said in ({}, {"steps": 500}, {"head": "cosface"}, {"lr": 0.3, "dim": 8}):
            assert resume(resolve(recipe, said), recipe, said) == resolve(recipe, said)


def test_only_some_options_may_change() -> None:
    recorded = resolve("cpu", {})
    others = asdict(resolve("ms1m", {"head": "cosface", "scale": 5.0, "margin": 0.1}))
    others |= {"momentum": 0.5, "weight_decay": 0.1, "gamma": 0.5, "seed": 1, "sample": 0.5}
    others |= {"flip": False, "jitter": 0.1, "crop": 0.1, "per_class": 2, "precision": "bf16"}
    others |= {"compile": True, "accumulate": 2, "lr": 0.3}
    for name, value in others.items():
        assert value != asdict(recorded)[name], name
        if name in MAY_CHANGE:
            assert resume(recorded, None, {name: value}) == replace(recorded, **{name: value})
        else:
            with pytest.raises(UserError, match=f"{name} .*the run has"):
                resume(recorded, None, {name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", 1), ("clip", 0), ("milestones", [2, 5]), ("milestones", []), ("gamma", 1.0)],
)
def test_numbers_that_are_fine(name: str, value: Any) -> None:
    found = checked({name: value}, "x")[name]
    assert found == (tuple(value) if isinstance(value, list) else value)
    assert type(found) is type(getattr(TrainOptions(), name))


@pytest.mark.parametrize(
    ("name", "value"),
    [("lr", True), ("lr", float("nan")), ("clip", float("inf")), ("steps", True), ("batch", 1)],
)
def test_numbers_that_are_not(name: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"{name} is"):
        checked({name: value}, "x")
