"""``damcli embed``: images through a model into a file of embeddings."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from damcli.cli.anchor_options import FloatType
from damcli.cli.cluster_option import ClusterOption, check_cluster
from damcli.cli.console import Messages, usage_error
from damcli.cli.embed_check import check_ways
from damcli.cli.embed_cluster import Opener, at_work, check_embed_cluster
from damcli.cli.embed_run import Framings, Model, open_job, run_job


class Device(StrEnum):
    """Where the model runs."""

    AUTO = "auto"
    CPU = "cpu"
    CUDA = "cuda"


class Crop(StrEnum):
    """What is cut out before an image is resized."""

    NONE = "none"
    CENTER = "center"


class Flip(StrEnum):
    """What to do with the mirror image."""

    NONE = "none"
    SUM = "sum"
    CONCAT = "concat"


def embed(
    context: typer.Context,
    source: Annotated[
        str,
        typer.Argument(
            help="A folder, a list (.csv, .tsv, .txt), insightface's .bin, RecordIO .rec, "
            ".npy or .npz of images, a quoted pattern; - for a list on stdin.",
            show_default=False,
        ),
    ],
    *,
    model: Annotated[
        Path,
        typer.Option(
            "--model",
            "-m",
            help=".onnx, or PyTorch's .pt, .pt2, .pth, .safetensors (extra \\[torch]); or a run "
            "of damcli train.",
        ),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Embeddings to write, .h5.")
    ] = None,
    preset: Annotated[
        str | None, typer.Option(help="Size, colour, mean and std by name: arcface, sface, …")
    ] = None,
    size: Annotated[
        str | None, typer.Option(metavar="HxW", help="Height and width that the model takes.")
    ] = None,
    color: Annotated[
        str | None, typer.Option(metavar="rgb|bgr|grey", help="Order of the channels.")
    ] = None,
    mean: Annotated[
        str | None, typer.Option(help="Taken off pixels of 0 to 255; one value or three.")
    ] = None,
    std: Annotated[str | None, typer.Option(help="Pixels are divided by it, after mean.")] = None,
    layout: Annotated[
        str | None, typer.Option(metavar="NCHW|NHWC", help="Where the channels stand.")
    ] = None,
    landmarks: Annotated[
        Path | None, typer.Option(help="Align by these: id,x1,y1,…,x5,y5 lines.")
    ] = None,
    detector: Annotated[
        Path | None,
        typer.Option(help="Find faces by this YuNet .onnx, align them (extra \\[detect])."),
    ] = None,
    crop: Annotated[
        Crop | None, typer.Option(help="center: the middle; none: the whole image, resized.")
    ] = None,
    flip: Annotated[
        Flip, typer.Option(help="Add, or append, the output for the mirror image.")
    ] = Flip.NONE,
    device: Annotated[Device, typer.Option(help="cuda that is missing is an error.")] = Device.AUTO,
    batch_size: Annotated[
        int | None, typer.Option(min=1, show_default="32, on CUDA 256", help="Images a batch.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, show_default="one a core", help="Threads that decode.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Of the model on the CPU.", show_default="its own")
    ] = None,
    arch: Annotated[
        str | None, typer.Option(metavar="PACKAGE.MODULE:FACTORY", help="What weights belong to.")
    ] = None,
    input_name: Annotated[
        str | None, typer.Option("--input", help="The model's input for images.")
    ] = None,
    output_name: Annotated[
        str | None, typer.Option(help="The model's output that is the embedding.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="What the paths of a list are relative to and stay in.")
    ] = None,
    pairs: Annotated[
        Path | None, typer.Option(help="Write the labelled pairs of a .bin here, .csv.")
    ] = None,
    dtype: Annotated[FloatType, typer.Option(help="float16 halves the file.")] = FloatType.FLOAT32,
    cluster: ClusterOption = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted or add to a finished run.")
    ] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="End at the first image that gives no embedding.")
    ] = False,
    check: Annotated[
        int | None,
        typer.Option(
            min=4, metavar="N", help="Embed N images in all usual ways, and tell which is right."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the draw of --check.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing outputs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    """Embed images with any ONNX or PyTorch model; what cannot be read is counted and named.

    Example: damcli embed faces/ --model model.onnx --preset arcface -o emb.h5
    """
    framings = Framings(landmarks, detector, None if crop is None else crop is Crop.CENTER)
    _check_options(output, check, pairs, source, resume=resume, force=force)
    check_cluster(cluster)
    check_embed_cluster(cluster, source, check)
    if output is not None:
        _refuse_own_inputs(output, source, landmarks)
    described = Model(
        path=model,
        device=device.value,
        threads=threads,
        arch=arch,
        input_name=input_name,
        output_name=output_name,
        preset=preset,
        size=size,
        color=color,
        mean=mean,
        std=std,
        layout=layout,
    )
    messages = Messages(quiet=quiet)
    job = open_job(source, described, framings, root=root, messages=messages)
    if check is not None:
        if job.ranks.size > 1:
            raise usage_error("--check is for one process: run it without torchrun")
        check_ways(job, check, seed, flip.value, as_json=as_json, messages=messages)
        return
    assert output is not None
    if pairs is not None and job.ranks.is_first:
        _write_pairs(source, pairs, output, resume=resume, force=force)
    opener = Opener(source, root, described, framings, flip.value, workers or 1)
    run_job(
        job,
        output,
        messages,
        at_work=at_work(context, cluster, job, opener, messages),
        as_json=as_json,
        flip=flip.value,
        batch_size=batch_size,
        workers=workers,
        dtype=dtype.value,
        resume=resume,
        strict=strict,
        force=force,
    )


def _check_options(
    output: Path | None,
    check: int | None,
    pairs: Path | None,
    source: str,
    *,
    resume: bool,
    force: bool,
) -> None:
    """Refuse options that do not go together."""
    if check is not None and (output is not None or pairs is not None or resume):
        raise usage_error("--check writes nothing: leave out --output, --pairs and --resume")
    if check is None and output is None:
        raise usage_error("--output is missing: expected the .h5 to write, or --check N")
    if output is not None and output.suffix.lower() not in (".h5", ".hdf5"):
        raise usage_error(f"--output {output}: expected a name that ends in .h5")
    if resume and force:
        raise usage_error("--resume goes on and --force starts over: give one of them")
    if pairs is not None and not source.lower().endswith(".bin"):
        raise usage_error("--pairs goes with a .bin, which holds pairs")


def _refuse_own_inputs(output: Path, source: str, landmarks: Path | None) -> None:
    from damcli.embedding.outputs import Outputs

    Outputs(output).refuse_as_inputs([Path(source), *([] if landmarks is None else [landmarks])])


def _write_pairs(source: str, pairs: Path, output: Path, *, resume: bool, force: bool) -> None:
    from damcli.embedding.outputs import Outputs
    from damcli.sources.bin_files import read_bin_pairs, write_bin_pairs

    Outputs(output).check(resume=resume, force=force)  # or pairs would be left without embeddings
    write_bin_pairs(pairs, read_bin_pairs(Path(source)), force=resume or force)
