"""All numbers of a training run, where they come from, and what each may be."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from damcli.errors import InputError, UserError
from damcli.models.backbones import BACKBONES
from damcli.storage.inputs import require_file
from damcli.training.heads import HEADS, numbers_of

PRECISIONS = ("fp32", "bf16", "fp16")
# What a run that is resumed may do in another way. The rest says what is trained.
MAY_CHANGE = frozenset(
    {"steps", "lr", "milestones", "clip", "precision", "accumulate", "compile"}
    | {"validate_every", "save_every", "log_every"}
)
_TRIPLET_IMAGES = 4
_LINES = 'lines such as steps = 400 or backbone = "mobile"'


@dataclass(frozen=True)
class TrainOptions:
    """All numbers of a run; the defaults are those of the paper on CASIA-WebFace.

    Attributes
    ----------
    backbone, dim, dropout
        The network, the dimension D of its embeddings, and what its head drops.
    head, scale, margin
        The loss; None for the values of its paper.
    steps, batch, accumulate
        Updates, images an update (over all processes), and in how many parts a process
        takes its share of them.
    lr, milestones, gamma, warmup
        The learning rate, the steps at which it is multiplied by gamma, and the steps over
        which it first rises linearly.
    momentum, weight_decay
        Of SGD. Weight decay is applied to all weights, biases and norms included, as in the
        published recipes.
    precision
        ``fp32``; ``bf16`` or ``fp16`` for automatic mixed precision.
    clip
        The largest norm of the gradient; 0 for none.
    compile
        Whether the network goes through ``torch.compile``.
    seed
        Of first weights, order, augmentation, dropout and sampling.
    sample
        Share of the class centres that a step looks at, as in Partial FC.
    flip, jitter, crop
        Augmentation: mirror every other image, change brightness, contrast and saturation by
        up to this share, cut off up to this share of either side.
    per_class
        Images a class in a batch; 0 draws images regardless of their class, but for the
        triplet head, which takes 4.
    validate_every, save_every, log_every
        In steps. The last step validates, saves and logs in any case.
    """

    backbone: str = "r50"
    dim: int = 256
    dropout: float = 0.4
    head: str = "arcface"
    scale: float | None = None
    margin: float | None = None
    steps: int = 40_000
    batch: int = 512
    accumulate: int = 1
    lr: float = 0.1
    milestones: tuple[int, ...] = (20_000, 30_000, 35_000)
    gamma: float = 0.1
    warmup: int = 0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    precision: str = "fp32"
    clip: float = 0.0
    compile: bool = False
    seed: int = 0
    sample: float = 1.0
    flip: bool = True
    jitter: float = 0.0
    crop: float = 0.0
    per_class: int = 0
    validate_every: int = 1000
    save_every: int = 1000
    log_every: int = 50

    @property
    def images_per_class(self) -> int | None:
        """How many images of a class a batch has; None where they are drawn regardless."""
        return self.per_class or (_TRIPLET_IMAGES if self.head == "triplet" else None)

    def as_json(self) -> dict[str, Any]:
        """Return what `from_json` reads."""
        return {**asdict(self), "milestones": list(self.milestones)}

    @classmethod
    def from_json(cls, recorded: Any, origin: str) -> TrainOptions:
        """Read what a run recorded.

        Raises
        ------
        InputError
            It is not what a run records.
        """
        if not isinstance(recorded, dict):
            raise InputError(origin, "holds no options; expected those of damcli train")
        known = {field.name for field in fields(cls)}
        given = {name: value for name, value in recorded.items() if value is not None}
        if missing := known - recorded.keys():
            raise InputError(origin, f"lacks {', '.join(sorted(missing))}; expected all options")
        return cls(**checked(given, origin))


_BEYOND = 1 << 63  # no number of a run is as large


class _Rule(NamedTuple):
    kind: type
    holds: Callable[[Any], bool]
    expected: str


def _one_of(words: tuple[str, ...]) -> _Rule:
    return _Rule(str, lambda value: value in words, f"one of {', '.join(words)}")


_COUNT = _Rule(int, lambda value: value >= 1, "a whole number of 1 or more")
_NATURAL = _Rule(int, lambda value: value >= 0, "a whole number of 0 or more")
_SEED = _Rule(int, lambda value: 0 <= value < 2**63, "a whole number of 0 or more, below 2^63")
_POSITIVE = _Rule(float, lambda value: 0 < value < math.inf, "a number above 0")
_NOT_NEGATIVE = _Rule(float, lambda value: 0 <= value < math.inf, "a number of 0 or more")
_SHARE = _Rule(float, lambda value: 0 <= value < 1, "a number of 0 or more and below 1")
_PART = _Rule(float, lambda value: 0 < value <= 1, "a number above 0, 1 at most")
_SWITCH = _Rule(bool, lambda value: True, "true or false")
_RISING = _Rule(
    tuple,
    lambda value: all(a < b for a, b in zip((0, *value), value, strict=False)),
    "whole numbers above 0 that rise, such as 20000,30000",
)
_RULES: Mapping[str, _Rule] = {
    "backbone": _one_of(BACKBONES),
    "dim": _Rule(int, lambda value: 1 <= value <= 1 << 16, "a whole number from 1 to 65,536"),
    "dropout": _SHARE,
    "head": _one_of(HEADS),
    "scale": _POSITIVE,
    "margin": _NOT_NEGATIVE,
    "steps": _COUNT,
    "batch": _Rule(int, lambda value: value >= 2, "a whole number of 2 or more"),
    "accumulate": _COUNT,
    "lr": _POSITIVE,
    "milestones": _RISING,
    "gamma": _PART,
    "warmup": _NATURAL,
    "momentum": _SHARE,
    "weight_decay": _NOT_NEGATIVE,
    "precision": _one_of(PRECISIONS),
    "clip": _NOT_NEGATIVE,
    "compile": _SWITCH,
    "seed": _SEED,
    "sample": _PART,
    "flip": _SWITCH,
    "jitter": _SHARE,
    "crop": _SHARE,
    "per_class": _NATURAL,
    "validate_every": _COUNT,
    "save_every": _COUNT,
    "log_every": _COUNT,
}


def checked_value(name: str, value: Any) -> Any:
    """Return a value of an option in its type.

    Raises
    ------
    ValueError
        It is of another type or out of range; the text says what was expected.
    """
    rule = _RULES[name]
    if rule.kind is tuple and isinstance(value, list | tuple):
        whole = all(type(one) is int for one in value)
        value = tuple(value) if whole else None
    if type(value) is int and abs(value) >= _BEYOND:
        raise ValueError(f"{rule.expected}, below 2^63")
    if rule.kind is float and type(value) is int:
        value = float(value)
    if type(value) is not rule.kind or not rule.holds(value):
        raise ValueError(rule.expected)
    return value


def _short(value: Any) -> str:
    if type(value) is int and abs(value) >= _BEYOND:  # Python will not write 5,000 digits
        return f"a number of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def checked(given: Mapping[str, Any], origin: str) -> dict[str, Any]:
    """Check the options of a file.

    Raises
    ------
    InputError
        A key is unknown, or its value is not what it should be.
    """
    found = {}
    for name, value in given.items():
        if name not in _RULES:
            raise InputError(
                origin,
                f"unknown key '{name}'; expected options of damcli train",
                hint=f"it may hold {', '.join(_RULES)} and recipe",
            )
        try:
            found[name] = checked_value(name, value)
        except ValueError as error:
            raise InputError(origin, f"{name} is {_short(value)}; expected {error}") from error
    return found


def read_toml(path: Path) -> dict[str, Any]:
    """Read the options, and perhaps a recipe, of a TOML file.

    Raises
    ------
    InputError
        It is not there, not TOML, or holds what is no option.
    """
    if not require_file(path, "a TOML file of options"):
        raise InputError(str(path), f"is empty; expected {_LINES}")
    try:
        found = tomllib.loads(path.read_text("utf-8-sig"))
    except OSError as error:
        raise InputError(str(path), f"cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of numbers too long
        raise InputError(str(path), f"is not TOML ({error}); expected {_LINES}") from error
    recipe = {"recipe": found.pop("recipe")} if "recipe" in found else {}
    if not all(isinstance(name, str) for name in recipe.values()):
        raise InputError(str(path), f"recipe is {_short(recipe['recipe'])}; expected a name")
    return recipe | checked(found, str(path))


def check_together(options: TrainOptions, processes: int) -> None:
    """Refuse a batch that cannot be parted, and options that do not go together.

    Raises
    ------
    UserError
        Each of them with the numbers in question.
    """
    parts, each = options.accumulate * processes, options.images_per_class or 1
    least = max(2, each)  # batch norm needs two images
    if options.batch % (parts * each) or options.batch // parts < least:
        groups = "" if each == 1 else f", each with {each} images of every class in it"
        raise UserError(
            f"a batch of {options.batch} does not part into {processes} process(es) × "
            f"{options.accumulate} part(s){groups}; expected {least} or more images in each, "
            "and no rest",
            hint=f"choose a --batch that {parts * least} divides",
        )
    numbers_of(options.head, options.scale, options.margin)
    if options.head != "triplet":
        return
    # Triplets see the images of all processes, but not those of another part.
    if options.batch // options.accumulate < 2 * each:
        raise UserError(
            f"a batch of {options.batch} in {options.accumulate} part(s), each with {each} images "
            f"of every class in it; expected {2 * each} or more images in a part, for triplets "
            "need two classes",
            hint="choose a larger --batch, or a smaller --accumulate or --per-class",
        )
    if options.sample < 1:
        raise UserError(
            f"sample {options.sample:g} with triplet, which has no class centres; expected 1",
            hint="leave out --sample, or choose another --head",
        )
