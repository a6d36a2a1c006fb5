"""The options of ``damcli build-anchors --generator``, and what their texts mean."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from damcli.cli.embed import Crop, Device, Flip

GENERATOR = "Generated faces (--kind fake-db --generator)"
EMBEDDING = "How generated faces are embedded (as in damcli embed)"


class Color(StrEnum):
    """Orders of channels."""

    RGB = "rgb"
    BGR = "bgr"


GeneratorFile = Annotated[
    Path | None,
    typer.Option(help="Makes the faces: .onnx, .pt or .pt2.", rich_help_panel=GENERATOR),
]
Truncation = Annotated[
    float | None,
    typer.Option(
        min=0.05,
        help="Draw latent numbers beyond this again; smaller is less varied.",
        rich_help_panel=GENERATOR,
    ),
]
Latent = Annotated[
    str | None,
    typer.Option(
        metavar="512|100x1x1",
        help="Shape of a latent, where the graph leaves it open.",
        rich_help_panel=GENERATOR,
    ),
]
GeneratorInputs = Annotated[
    list[str] | None,
    typer.Option(
        "--generator-input",
        metavar="NAME=VALUE",
        help="A further input, such as psi=0.7; may be repeated.",
        rich_help_panel=GENERATOR,
    ),
]
GeneratorOutput = Annotated[
    str | None,
    typer.Option(help="Name of the output that is the image.", rich_help_panel=GENERATOR),
]
GeneratorRange = Annotated[
    str | None,
    typer.Option(
        metavar="BLACK,WHITE",
        help="Its values of black and white: --generator-range=-1,1.",
        show_default="recognised",
        rich_help_panel=GENERATOR,
    ),
]
GeneratorColor = Annotated[
    Color | None,
    typer.Option(help="Channels that it gives.", show_default="rgb", rich_help_panel=GENERATOR),
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        metavar="PNG",
        help="Picture of the first faces, whole and as the model sees them.",
        rich_help_panel=GENERATOR,
    ),
]
SheetFaces = Annotated[
    int | None,
    typer.Option(min=1, help="How many.", show_default="64", rich_help_panel=GENERATOR),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with an interrupted run, or add to its faces.",
        rich_help_panel=GENERATOR,
    ),
]
Model = Annotated[
    Path | None,
    typer.Option(help="Model that embeds the faces.", rich_help_panel=EMBEDDING),
]
Preset = Annotated[
    str | None, typer.Option(help="Preprocessing by name.", rich_help_panel=EMBEDDING)
]
ImageSize = Annotated[
    str | None,
    typer.Option(
        metavar="HxW", help="Height and width that the model takes.", rich_help_panel=EMBEDDING
    ),
]
ColorOption = Annotated[
    str | None,
    typer.Option(
        "--color", metavar="rgb|bgr|grey", help="Order of the channels.", rich_help_panel=EMBEDDING
    ),
]
Mean = Annotated[
    str | None, typer.Option(help="Taken off pixels of 0 to 255.", rich_help_panel=EMBEDDING)
]
Std = Annotated[
    str | None, typer.Option(help="Pixels are divided by it.", rich_help_panel=EMBEDDING)
]
LayoutOption = Annotated[
    str | None,
    typer.Option("--layout", metavar="NCHW|NHWC", help="Of its input.", rich_help_panel=EMBEDDING),
]
Arch = Annotated[
    str | None,
    typer.Option(
        metavar="PACKAGE.MODULE:FACTORY",
        help="What makes the model of a state dict.",
        rich_help_panel=EMBEDDING,
    ),
]
InputName = Annotated[
    str | None, typer.Option("--input", help="Its image input.", rich_help_panel=EMBEDDING)
]
OutputName = Annotated[
    str | None, typer.Option(help="Its output of embeddings.", rich_help_panel=EMBEDDING)
]
Detector = Annotated[
    Path | None,
    typer.Option(
        help="YuNet in ONNX: align each face by what it finds (extra \\[detect]).",
        rich_help_panel=EMBEDDING,
    ),
]
CropOption = Annotated[
    Crop | None,
    typer.Option(
        "--crop",
        help="Without a detector: the whole image, or its central part.",
        show_default="none",
        rich_help_panel=EMBEDDING,
    ),
]
FlipOption = Annotated[
    Flip | None,
    typer.Option(
        "--flip",
        help="Add or join the embedding of the mirror image.",
        show_default="none",
        rich_help_panel=EMBEDDING,
    ),
]
DeviceOption = Annotated[
    Device | None,
    typer.Option(
        "--device", help="Of generator and model.", show_default="auto", rich_help_panel=EMBEDDING
    ),
]
BatchSize = Annotated[
    int | None, typer.Option(min=1, help="Faces a batch.", rich_help_panel=EMBEDDING)
]
Threads = Annotated[
    int | None,
    typer.Option(min=1, help="Of generator and model on the CPU.", rich_help_panel=EMBEDDING),
]


@dataclass(frozen=True)
class GeneratorChoices:
    """What the user chose; None where nothing was said."""

    generator: Path | None
    truncation: float | None
    latent: str | None
    generator_input: list[str] | None
    generator_output: str | None
    generator_range: str | None
    generator_color: Color | None
    sheet: Path | None
    sheet_faces: int | None
    resume: bool
    model: Path | None
    preset: str | None
    image_size: str | None
    color: str | None
    mean: str | None
    std: str | None
    layout: str | None
    arch: str | None
    input: str | None
    output_name: str | None
    detector: Path | None
    crop: Crop | None
    flip: Flip | None
    device: Device | None
    batch_size: int | None
    threads: int | None
