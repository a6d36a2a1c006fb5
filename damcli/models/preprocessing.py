"""What a model is to be fed: from options, a preset, and what its file states; never guessed."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from damcli.errors import InputError, UserError
from damcli.models.contract import (
    COLORS,
    LAYOUTS,
    Color,
    Preprocessing,
    Values,
    channels_of,
    same_contract,
    shown,
)
from damcli.models.network import InputSpec
from damcli.models.presets import PRESETS

__all__ = ["Color", "Preprocessing", "parse_size", "resolve_preprocessing", "same_contract"]

Numbers = str | float | Sequence[float]
Size = str | tuple[int, int]


def resolve_preprocessing(
    *,
    preset: str | None = None,
    size: Size | None = None,
    color: str | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    layout: str | None = None,
    stated: InputSpec,
    origin: str = "the model",
) -> Preprocessing:
    """Settle the preprocessing of a model's images.

    An option goes before the preset, the preset before what the file states of colour,
    mean and std. Size, channels and layout are facts of the model: nothing may contradict
    them, and a preset may not contradict a preprocessing that the file states.

    Parameters
    ----------
    preset
        One of `damcli.models.presets.PRESETS`.
    size
        ``112x112`` (height by width), ``112``, or a pair.
    color
        ``rgb``, ``bgr`` or ``grey``.
    mean, std
        On pixels from 0 to 255: ``127.5``, ``123.675,116.28,103.53``, or numbers.
    layout
        ``NCHW`` or ``NHWC``.
    stated
        What the model's file says of its input.
    origin
        The model, for messages.

    Raises
    ------
    UserError
        An option cannot be read, or something is still unknown.
    InputError
        The model's file states something else.
    """
    own = _own(stated, origin)
    chosen = _preset(preset)
    if chosen is not None:
        _agree_on_pixels(
            origin, str(preset), chosen, own, {"color": color, "mean": mean, "std": std}
        )
    known: dict[str, Any] = dict(own)
    if chosen is not None:
        # where the channels stand is the model's affair: every preset says NCHW
        known |= {"size": chosen.size, "color": chosen.color}
        known |= {"mean": chosen.mean, "std": chosen.std}
    given: dict[str, Any] = {
        "size": None if size is None else parse_size(size),
        "color": _word(color, COLORS, "--color"),
        "layout": _word(layout, LAYOUTS, "--layout"),
        "mean": None if mean is None else _numbers(mean, "--mean"),
        "std": None if std is None else _numbers(std, "--std"),
    }
    known |= _turned(known, given["color"])
    known |= {name: value for name, value in given.items() if value is not None}
    _require(origin, known)
    _agree_on_channels(origin, known["color"], stated, preset if color is None else None)
    settled = _settled(known, {name: _said_by(name, given, preset) for name in ("mean", "std")})
    _agree_on_shape(origin, settled, stated, preset)
    if stated.dtype == "uint8" and {*settled.mean, *settled.std} != {0.0, 1.0}:
        raise InputError(
            origin,
            f"takes plain pixels (uint8), not mean {shown(settled.mean)} and std "
            f"{shown(settled.std)}; expected mean 0 and std 1",
            hint="leave out --mean and --std, and choose no preset: the model scales by itself",
        )
    return settled


def parse_size(text: Size) -> tuple[int, int]:
    """Read ``112x112`` (height by width) or ``112``.

    Raises
    ------
    UserError
        It is neither.
    """
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"\s*([1-9]\d{0,4})\s*(?:[x×]\s*([1-9]\d{0,4})\s*)?", text.lower())
    if match is None:
        raise UserError(
            f"--size is '{text}'; expected HEIGHTxWIDTH or one number",
            hint="for example --size 112x112",
        )
    height = int(match[1])
    return height, int(match[2] or height)


def _own(stated: InputSpec, origin: str) -> dict[str, Any]:
    """Collect what the model's file says by itself."""
    own: dict[str, Any] = {"layout": stated.layout or "NCHW"}
    if stated.height is not None and stated.width is not None:
        own["size"] = (stated.height, stated.width)
    if stated.channels == 1:
        own["color"] = "grey"
    if stated.dtype == "uint8":
        own |= {"mean": (0.0,), "std": (1.0,)}
    if stated.preprocessing is not None:
        recorded = Preprocessing.from_json(stated.preprocessing, origin)
        own = {"size": recorded.size} | own
        own |= {"color": recorded.color, "mean": recorded.mean, "std": recorded.std}
    return own


def _preset(name: str | None) -> Preprocessing | None:
    if name is None:
        return None
    found = PRESETS.get(name.lower())
    if found is None:
        raise UserError(
            f"--preset is '{name}'; expected one of {', '.join(PRESETS)}",
            hint="or say it in full: --size, --color, --mean and --std",
        )
    return found


def _agree_on_pixels(
    origin: str, name: str, preset: Preprocessing, own: dict[str, Any], options: dict[str, Any]
) -> None:
    """Refuse a preset that says other than the file, but for what an option decides."""
    for field, option in options.items():
        mine = own.get(field)
        theirs = getattr(preset, field)
        if isinstance(mine, tuple) and len(mine) == 1:
            mine *= preset.channels
        if option is None and mine is not None and mine != theirs:
            raise InputError(
                origin,
                f"states {field} {shown(mine)}, and the preset {name} has {field} "
                f"{shown(theirs)}; expected the same",
                hint=f"leave out --preset, or insist on a value of your own: --{field}",
            )


def _turned(known: dict[str, Any], color: str | None) -> dict[str, Values]:
    """Carry mean and std over to another order of the channels.

    They belong to the channels: red keeps red's mean where --color turns the order.
    """
    if {known.get("color"), color} != {"rgb", "bgr"}:
        return {}
    return {name: known[name][::-1] for name in ("mean", "std") if name in known}


def _require(origin: str, known: dict[str, Any]) -> None:
    missing = [f"--{name}" for name in ("size", "color", "mean", "std") if name not in known]
    if not missing:
        return
    raise InputError(
        origin,
        f"does not state how its images are prepared; expected {', '.join(missing)}, or a preset",
        hint=f"--preset is one of {', '.join(PRESETS)}; look into the model's own documentation, "
        "as a wrong choice only shows in worse results",
    )


def _said_by(name: str, given: dict[str, Any], preset: str | None) -> str:
    """Name what a value comes from, as the subject of a sentence."""
    if given[name] is not None:
        return f"--{name}"
    return f"the {name} of the model's file" if preset is None else f"{name} of --preset {preset}"


def _settled(known: dict[str, Any], said_by: dict[str, str]) -> Preprocessing:
    channels = channels_of(known["color"])
    values: dict[str, Values] = {}
    for name in ("mean", "std"):
        numbers: Values = known[name]
        if len(numbers) == 1:
            numbers *= channels
        if len(numbers) != channels:
            raise UserError(
                f"{said_by[name]} has {len(numbers)} values, and images in {known['color']} have "
                f"{channels}; expected one value, or one a channel",
                hint=f"say it for images in {known['color']}: --mean and --std",
            )
        values[name] = numbers
    return Preprocessing(
        known["size"], known["color"], values["mean"], values["std"], known["layout"]
    )


def _agree_on_channels(origin: str, color: Color, stated: InputSpec, preset: str | None) -> None:
    channels, by_preset = channels_of(color), "" if preset is None else f" (preset {preset})"
    if stated.channels not in (None, channels):
        raise InputError(
            origin,
            f"takes {stated.channels} channels, and images in {color} have {channels}{by_preset}; "
            "expected the same number",
            hint="--color grey goes with 1 channel, rgb and bgr with 3",
        )


def _agree_on_shape(
    origin: str, settled: Preprocessing, stated: InputSpec, preset: str | None
) -> None:
    by_preset = "" if preset is None else f" (preset {preset})"
    height, width = settled.size
    wanted = (stated.height or height, stated.width or width)
    if settled.size != wanted:
        raise InputError(
            origin,
            f"takes images of {shown(wanted)}, not {shown(settled.size)}{by_preset}; expected "
            "the same size",
            hint=f"give --size {shown(wanted)}, if the rest of the preprocessing is right",
        )
    if stated.layout not in (None, settled.layout):
        raise InputError(
            origin,
            f"takes {stated.layout}, not {settled.layout}; expected the same layout",
            hint="leave out --layout",
        )


def _word(text: str | None, words: Sequence[str], option: str) -> str | None:
    if text is None:
        return None
    for word in words:
        if text.lower() == word.lower():
            return word
    raise UserError(f"{option} is '{text}'; expected {', '.join(words)}")


def _numbers(given: Numbers, option: str) -> Values:
    try:
        if isinstance(given, str):
            values = tuple(float(part) for part in given.split(","))
        elif isinstance(given, Sequence):
            values = tuple(float(part) for part in given)
        else:
            values = (float(given),)
    except ValueError:
        values = ()
    if len(values) not in (1, 3) or not all(math.isfinite(value) for value in values):
        raise UserError(
            f"{option} is '{given}'; expected one number, or three with commas between",
            hint=f"for example {option} 127.5, on pixels from 0 to 255",
        )
    if option == "--std" and min(values) <= 0:
        raise UserError(
            f"--std is '{given}'; expected numbers above 0",
            hint="a model that takes pixels as they are has --mean 0 --std 1",
        )
    return values
