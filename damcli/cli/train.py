"""``damcli train``: a recogniser from images."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from damcli.cli import train_options as of
from damcli.cli.embed import Device


def train(
    data: Annotated[
        str,
        typer.Argument(
            help="A folder subject/image, RecordIO .rec, or a list path,id,subject.",
            show_default=False,
        ),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the run.")],
    recipe: Annotated[
        of.Recipe | None,
        typer.Option(help="casia, ms1m: the paper's. cpu: minutes.", show_default="casia"),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Options by name in a .toml; goes before a recipe, after options."),
    ] = None,
    device: Annotated[Device, typer.Option(help="cuda that is missing is an error.")] = Device.AUTO,
    backbone: of.BackboneName = None,
    dim: of.Dim = None,
    dropout: of.Dropout = None,
    head: of.HeadName = None,
    scale: of.Scale = None,
    margin: of.Margin = None,
    sample: of.Sample = None,
    steps: of.Steps = None,
    batch: of.Batch = None,
    accumulate: of.Accumulate = None,
    lr: of.Lr = None,
    milestones: of.Milestones = None,
    gamma: of.Gamma = None,
    warmup: of.Warmup = None,
    momentum: of.Momentum = None,
    weight_decay: of.WeightDecay = None,
    precision: of.PrecisionName = None,
    clip: of.Clip = None,
    compile: of.Compile = None,
    seed: of.Seed = None,
    flip: of.Flip = None,
    jitter: of.Jitter = None,
    crop: of.CropShare = None,
    per_class: of.PerClass = None,
    root: of.Root = None,
    workers: of.Workers = None,
    validate: of.Validate = None,
    validate_every: of.ValidateEvery = None,
    save_every: of.SaveEvery = None,
    log_every: of.LogEvery = None,
    tensorboard: of.Tensorboard = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the newest checkpoint of this folder.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a summary as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Remove the run in this folder.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    r"""Train a face recogniser for `damcli embed`, with verification as it goes.

    Needs PyTorch (extra \[torch]). Several GPUs: torchrun --nproc-per-node 8 -m damcli train …

    Example: damcli train photos/ -o run/ --recipe cpu --validate heldout/
    """
    given = of.given_options(
        {
            "backbone": backbone,
            "dim": dim,
            "dropout": dropout,
            "head": head,
            "scale": scale,
            "margin": margin,
            "sample": sample,
            "steps": steps,
            "batch": batch,
            "accumulate": accumulate,
            "lr": lr,
            "milestones": milestones,
            "gamma": gamma,
            "warmup": warmup,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "precision": precision,
            "clip": clip,
            "compile": compile,
            "seed": seed,
            "flip": flip,
            "jitter": jitter,
            "crop": crop,
            "per_class": per_class,
            "validate_every": validate_every,
            "save_every": save_every,
            "log_every": log_every,
        }
    )
    from damcli.cli.train_open import Request, open_job
    from damcli.cli.train_run import run_job

    request = Request(
        data=data,
        root=root,
        output=output,
        recipe=None if recipe is None else recipe.value,
        config=config,
        given=given,
        validate=tuple(validate or ()),
        device=device.value,
        workers=workers,
        resume=resume,
        force=force,
        tensorboard=tensorboard,
        quiet=quiet,
    )
    run_job(open_job(request), request, as_json=as_json)
