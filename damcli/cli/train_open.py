"""How ``damcli train`` opens what it is given, before any work is done."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import STDOUT, Messages, command_line, usage_error
from damcli.errors import InputError

if TYPE_CHECKING:
    from damcli.embedding.ranks import Ranks
    from damcli.sources.source import ImageSource
    from damcli.training.classes import Classes
    from damcli.training.loop import Job
    from damcli.training.options import TrainOptions
    from damcli.training.run_folder import RunFolder
    from damcli.training.validation import Validation

_MOST_WORKERS = 8


@dataclass(frozen=True)
class Request:
    """What the command line says; of `given`, only what was given."""

    data: str
    root: Path | None
    output: Path
    recipe: str | None
    config: Path | None
    given: Mapping[str, Any]
    validate: tuple[str, ...]
    device: Any
    workers: int | None
    resume: bool
    force: bool
    tensorboard: bool
    quiet: bool


def open_job(request: Request) -> Job:
    """Join the other processes, open everything, and take hold of the folder."""
    from damcli.embedding.ranks import ranks_from_environment
    from damcli.lid.training import choose_device, require_torch

    if request.data == STDOUT:
        raise usage_error("- cannot be read again by a run that is resumed: name a file")
    torch = require_torch("train")
    ranks = ranks_from_environment("Training", on_gpus=request.device != "cpu")
    device = choose_device(torch, request.device)
    # One message, not one a process, where all see the same fault.
    job = ranks.first(lambda: _open(request, ranks, device))
    if job is None:
        return _open(request, ranks, device)
    _tell(job, request)
    job.folder.begin(job.record, resume=request.resume)
    return job


def _open(request: Request, ranks: Ranks, device: str) -> Job:
    from damcli.sources.opening import open_source
    from damcli.training.classes import classes_of
    from damcli.training.log import require_tensorboard
    from damcli.training.loop import Job
    from damcli.training.options import check_together
    from damcli.training.order import Grouped
    from damcli.training.run import check_same_data, describe
    from damcli.training.run_folder import RunFolder

    folder = RunFolder(request.output)
    if ranks.is_first:
        folder.check(resume=request.resume, force=request.force)
    if request.tensorboard:
        require_tensorboard()
    earlier = folder.read_record() if request.resume and folder.record.exists() else {}
    options = _options(request, earlier, folder)
    check_together(options, ranks.size)
    root = request.root or (Path(earlier["root"]) if earlier.get("root") else None)
    source = open_source(request.data, root=root)
    classes = classes_of(source)
    data = describe(source, classes)
    if earlier:
        check_same_data(earlier, data, request.data)
    if (each := options.images_per_class) is not None:  # refuse too few classes now
        Grouped(classes, batch=options.batch, per_class=each, seed=options.seed)
    specs = request.validate or tuple(earlier.get("validate", ()))
    return Job(
        options=options,
        source=source,
        classes=classes,
        validations=_validations(specs, source, classes, request) if ranks.is_first else (),
        folder=folder,
        record=_record(request, options, data, root, specs),
        ranks=ranks,
        device=device,
        workers=_workers() if request.workers is None else request.workers,
    )


def _record(
    request: Request,
    options: TrainOptions,
    data: Mapping[str, Any],
    root: Path | None,
    specs: tuple[str, ...],
) -> dict[str, Any]:
    from damcli import __version__

    return {
        "data": request.data,
        "root": None if root is None else str(root),
        "validate": list(specs),
        "options": options.as_json(),
        **data,
        "command": command_line(),
        "damcli_version": __version__,
    }


def _options(request: Request, earlier: Mapping[str, Any], folder: RunFolder) -> TrainOptions:
    from damcli.training import recipes
    from damcli.training.options import TrainOptions, read_toml

    config = {} if request.config is None else read_toml(request.config)
    named = config.pop("recipe", None)
    if named is not None and named not in recipes.RECIPES:
        raise InputError(
            str(request.config),
            f"recipe is {named!r}; expected one of {', '.join(recipes.RECIPES)}",
        )
    recipe = request.recipe or named
    given = {**config, **request.given}
    if not earlier:
        return recipes.resolve(recipe, given)
    recorded = TrainOptions.from_json(earlier.get("options"), str(folder.record))
    return recipes.resume(recorded, recipe, given)


def _validations(
    specs: tuple[str, ...], source: ImageSource, classes: Classes, request: Request
) -> tuple[Validation, ...]:
    from damcli.models.backbones import PREPROCESSING
    from damcli.training.overlap import overlap_warnings
    from damcli.training.validation import open_validation

    found = tuple(open_validation(spec, preprocessing=PREPROCESSING) for spec in specs)
    names = [one.name for one in found]
    for spec, name in zip(specs, names, strict=True):
        if names.count(name) > 1:
            raise usage_error(f"--validate {spec}: another one is called '{name}' as well")
    messages = Messages(quiet=request.quiet)
    for note in (note for one in found for note in one.notes):
        messages.say(note)
    for warning in overlap_warnings(found, source, classes.labels, PREPROCESSING):
        messages.warn(warning)
    return found


def _tell(job: Job, request: Request) -> None:
    from damcli.training.checkpoint import steps_of

    messages, options = Messages(quiet=request.quiet), job.options
    for note in (*job.source.notes, *job.classes.notes):
        messages.say(note)
    processes = f" in {job.ranks.size} processes" if job.ranks.size > 1 else ""
    messages.say(
        f"{len(job.source):,} images of {len(job.classes.labels):,} subjects from {request.data}; "
        f"{options.backbone} with {options.head}, {options.steps:,} steps of {options.batch} "
        f"images, {options.precision} on {job.device}{processes}"
    )
    if request.resume:
        steps = steps_of(job.folder.checkpoints)
        done = f"from step {steps[-1]:,}" if steps else "from the start: it has no checkpoint yet"
        messages.say(f"going on {done}")
        _tell_changes(job, messages)


def _tell_changes(job: Job, messages: Messages) -> None:
    before = job.folder.read_record()["options"] if job.folder.record.exists() else {}
    for name, value in job.record["options"].items():
        if before and before[name] != value:
            messages.say(f"{name}: {value}, before {before[name]}")


def _workers() -> int:
    return min(_MOST_WORKERS, (os.cpu_count() or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
