"""The options of ``damcli train``, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from damcli.cli.console import usage_error

MODEL = "What is trained (a recipe has them all)"
SCHEDULE = "How it is trained"
IMAGES = "Which images it sees"
WATCH = "What is watched and kept"


class Recipe(StrEnum):
    """Settings by name."""

    CASIA = "casia"
    MS1M = "ms1m"
    CPU = "cpu"


class Backbone(StrEnum):
    """Networks."""

    MOBILE = "mobile"
    R18 = "r18"
    R34 = "r34"
    R50 = "r50"
    R100 = "r100"


class Head(StrEnum):
    """Losses."""

    NORMFACE = "normface"
    COSFACE = "cosface"
    ARCFACE = "arcface"
    CURRICULARFACE = "curricularface"
    TRIPLET = "triplet"


class Precision(StrEnum):
    """Of the arithmetic."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


def _option(help: str, default: str, panel: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, show_default=default, rich_help_panel=panel, **more)


BackboneName = Annotated[
    Backbone | None, _option("mobile for CPUs, else ResNets.", "r50, cpu: mobile", MODEL)
]
Dim = Annotated[int | None, _option("Of the embeddings.", "256, cpu: 128", MODEL)]
Dropout = Annotated[
    float | None, _option("Share of the features before the last layer.", "0.4, cpu: 0", MODEL)
]
HeadName = Annotated[Head | None, _option("The loss.", "arcface", MODEL)]
Scale = Annotated[float | None, _option("Of the logits.", "the head's: 64, cpu: 32", MODEL)]
Margin = Annotated[float | None, _option("Of the head.", "the head's, cpu: 0.2", MODEL)]
Sample = Annotated[
    float | None,
    _option("Share of the class centres in a step, as in Partial FC.", "1", MODEL),
]
Steps = Annotated[int | None, _option("Updates.", "40000, ms1m: 200000, cpu: 400", SCHEDULE)]
Batch = Annotated[
    int | None, _option("Images an update, over all processes.", "512, cpu: 64", SCHEDULE)
]
Accumulate = Annotated[
    int | None, _option("Parts that a process takes its images in.", "1", SCHEDULE)
]
Lr = Annotated[float | None, _option("Learning rate.", "0.1", SCHEDULE)]
Milestones = Annotated[
    str | None,
    _option(
        "Steps at which it falls.",
        "the recipe's, in proportion to --steps",
        SCHEDULE,
        metavar="N,N,…",
    ),
]
Gamma = Annotated[float | None, _option("By which factor.", "0.1", SCHEDULE)]
Warmup = Annotated[int | None, _option("Steps over which it first rises.", "0, cpu: 20", SCHEDULE)]
Momentum = Annotated[float | None, _option("Of SGD.", "0.9", SCHEDULE)]
WeightDecay = Annotated[float | None, _option("Of all weights.", "0.0005", SCHEDULE)]
PrecisionName = Annotated[
    Precision | None, _option("bf16 or fp16: automatic mixed precision.", "fp32", SCHEDULE)
]
Clip = Annotated[
    float | None, _option("Largest norm of the gradient; 0: any.", "0, cpu: 5", SCHEDULE)
]
Compile = Annotated[
    bool | None, _option("Through torch.compile.", "no", SCHEDULE, "--compile/--no-compile")
]
Seed = Annotated[int | None, _option("Of weights, order, augmentation and dropout.", "0", SCHEDULE)]
Flip = Annotated[bool | None, _option("Mirror every other.", "flip", IMAGES, "--flip/--no-flip")]
Jitter = Annotated[
    float | None, _option("Vary brightness, contrast, saturation by up to this.", "0", IMAGES)
]
CropShare = Annotated[float | None, _option("Cut off up to this share of a side.", "0", IMAGES)]
PerClass = Annotated[
    int | None,
    _option("Images a class in a batch; 0: as they come.", "0, triplet: 4", IMAGES),
]
Root = Annotated[
    Path | None,
    typer.Option(
        help="What the paths of a list are relative to and stay in.", rich_help_panel=IMAGES
    ),
]
Workers = Annotated[
    int | None, _option("Processes that read images ahead.", "the cores, 8 at most", IMAGES, min=0)
]
Validate = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SPEC",
        help=".bin, pairs.csv[=IMAGES] or a folder; may be repeated, the first chooses the best.",
        rich_help_panel=WATCH,
    ),
]
ValidateEvery = Annotated[int | None, _option("In steps.", "1000, ms1m: 2000, cpu: 100", WATCH)]
SaveEvery = Annotated[int | None, _option("In steps.", "1000, cpu: 50", WATCH)]
LogEvery = Annotated[int | None, _option("In steps.", "50, cpu: 10", WATCH)]
Tensorboard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Log for TensorBoard as well.", rich_help_panel=WATCH),
]


def given_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that were given, checked, by their names in a recipe.

    Raises
    ------
    BadParameter
        A value is out of range.
    """
    from damcli.training.options import checked_value

    found = {}
    for name, value in options.items():
        if value is None:
            continue
        if name == "milestones":
            value = _whole_numbers(value)
        if isinstance(value, StrEnum):
            value = value.value
        try:
            found[name] = checked_value(name, value)
        except ValueError as error:
            shown = ",".join(map(str, value)) if isinstance(value, list) else value
            option = f"--{name.replace('_', '-')}"
            raise usage_error(f"{option} {shown}: expected {error}") from error
    return found


def _whole_numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise usage_error(
            f"--milestones {text}: expected whole numbers separated by commas, such as 20000,30000"
        ) from error
