"""``damcli build-anchors``: the anchor set that LIDs are taken from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli import anchor_options as options
from damcli.cli import generator_options as generated
from damcli.cli.anchor_options import FloatType, Kind
from damcli.cli.console import Messages, command_line, print_json
from damcli.cli.generated_anchors import check_choices, embed_generated, report_likeness
from damcli.errors import counted

if TYPE_CHECKING:
    from damcli.anchors import Dropped, NearDuplicates
    from damcli.storage.anchors import Anchors
    from damcli.storage.embeddings import Embeddings
    from damcli.storage.files import EmbeddingFile


def build_anchors(
    source: options.SourceFile = None,
    *,
    output: options.OutputFile,
    kind: options.KindOption = Kind.REAL_DB,
    per_subject: options.PerSubject = None,
    size: options.Size = 50_000,
    seed: options.Seed = 0,
    exclude_ids: options.ExcludeIds = None,
    exclude_subjects: options.ExcludeSubjects = None,
    min_norm: options.MinNorm = None,
    max_similarity_to: options.MaxSimilarityTo = None,
    allow_mixed_models: options.AllowMixedModels = False,
    ids: options.Ids = None,
    tensor: options.TensorName = None,
    dim: options.Dim = None,
    labels: options.Labels = None,
    sub_centers: options.SubCenters = None,
    generator: generated.GeneratorFile = None,
    truncation: generated.Truncation = None,
    latent: generated.Latent = None,
    generator_input: generated.GeneratorInputs = None,
    generator_output: generated.GeneratorOutput = None,
    generator_range: generated.GeneratorRange = None,
    generator_color: generated.GeneratorColor = None,
    sheet: generated.Sheet = None,
    sheet_faces: generated.SheetFaces = None,
    resume: generated.Resume = False,
    model: generated.Model = None,
    preset: generated.Preset = None,
    image_size: generated.ImageSize = None,
    color: generated.ColorOption = None,
    mean: generated.Mean = None,
    std: generated.Std = None,
    layout: generated.LayoutOption = None,
    arch: generated.Arch = None,
    input_name: generated.InputName = None,
    output_name: generated.OutputName = None,
    detector: generated.Detector = None,
    crop: generated.CropOption = None,
    flip: generated.FlipOption = None,
    device: generated.DeviceOption = None,
    batch_size: generated.BatchSize = None,
    threads: generated.Threads = None,
    strip_ids: options.StripIds = False,
    dtype: options.DType = FloatType.FLOAT32,
    as_json: options.AsJson = False,
    force: options.Force = False,
    quiet: options.Quiet = False,
) -> None:
    """Choose the anchors: embeddings that stand for other people than those you will score.

    Example: damcli build-anchors train.h5 -o anchors.h5 --kind real-db --exclude-subjects test.h5
    """
    chosen = generated.GeneratorChoices(
        generator=generator,
        truncation=truncation,
        latent=latent,
        generator_input=generator_input,
        generator_output=generator_output,
        generator_range=generator_range,
        generator_color=generator_color,
        sheet=sheet,
        sheet_faces=sheet_faces,
        resume=resume,
        model=model,
        preset=preset,
        image_size=image_size,
        color=color,
        mean=mean,
        std=std,
        layout=layout,
        arch=arch,
        input=input_name,
        output_name=output_name,
        detector=detector,
        crop=crop,
        flip=flip,
        device=device,
        batch_size=batch_size,
        threads=threads,
    )
    for_centres = {
        "--tensor": tensor,
        "--dim": dim,
        "--labels": labels,
        "--sub-centers": sub_centers,
    }
    options.check_options(kind, per_subject, for_centres, {"--min-norm": min_norm, "--ids": ids})
    check_choices(chosen, kind, source, {"--ids": ids, "--exclude-subjects": exclude_subjects})
    count = options.parse_per_subject(per_subject)
    from damcli.anchors import build_anchors as choose
    from damcli.storage.atomic import check_writable
    from damcli.storage.hdf5 import check_own_suffix, write_embeddings
    from damcli.storage.provenance import commands

    check_own_suffix(output)
    check_writable(output, force=force)
    messages = Messages(quiet=quiet)
    near = options.near_duplicates(max_similarity_to, allow_mixed_models)
    embeddings: Embeddings | EmbeddingFile | None
    if source is None:
        embeddings = embed_generated(
            chosen,
            output,
            size=size,
            seed=seed,
            dtype=dtype.value,
            force=force,
            messages=messages,
        )
        if embeddings is None:
            return
    else:
        embeddings = _open(
            source,
            kind,
            count,
            ids,
            messages,
            drops_short=min_norm is not None,
            **_named(for_centres),
        )
    with messages.progress("comparing", len(embeddings), "embeddings") as advance:
        anchors, dropped = choose(
            embeddings,
            kind.value,
            size=size,
            seed=seed,
            per_subject=count,
            exclude_ids=options.excluded(exclude_ids, "ids", embeddings, messages),
            exclude_subjects=options.excluded(exclude_subjects, "subjects", embeddings, messages),
            min_norm=min_norm,
            near_duplicates=near,
            progress=advance,
        )
    if strip_ids:
        anchors = anchors.nameless()
    made_by = commands(anchors.attributes, command_line())
    write_embeddings(output, anchors, dtype=dtype.value, force=force, **made_by)
    _report(embeddings, anchors, dropped, size, near, output, messages)
    if strip_ids:
        messages.warn(options.nameless(output))
    alike = report_likeness(anchors, messages) if kind is Kind.FAKE_DB else None
    if as_json:
        print_json("build-anchors", {**_summary(anchors, dropped, output), "likeness": alike})


def _named(options: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix("--").replace("-", "_"): value for name, value in options.items()}


def _open(
    source: Path,
    kind: Kind,
    per_subject: int | None,
    ids: Path | None,
    messages: Messages,
    *,
    drops_short: bool,
    **for_centres: Any,
) -> Embeddings | EmbeddingFile:
    from damcli.anchors.centres import open_class_centres, open_run_centres
    from damcli.storage.embeddings import check_unique
    from damcli.storage.files import open_embeddings

    if kind is not Kind.FC_WEIGHTS:
        opened = open_embeddings(source, ids)
        check_unique(opened.ids, opened.origin)
        if not drops_short:
            opened.require_valid()
        if kind is Kind.FAKE_DB and opened.subjects is not None:
            messages.warn(f"{source}: its subjects are left out, since generated faces have none")
        return opened
    if source.is_dir():
        options.refuse_for_run(source, for_centres)
        embeddings, centres = open_run_centres(source, per_subject=per_subject)
    else:
        embeddings, centres = open_class_centres(source, per_subject=per_subject, **for_centres)
    rows, width = centres.vectors.shape
    layout = f"{width} × {rows}, transposed" if centres.transposed else f"{rows} × {width}"
    sub = f", {centres.sub_centers} sub-centres a class" if centres.sub_centers > 1 else ""
    messages.say(
        f"class centres from '{centres.tensor}' ({layout}{sub}): "
        f"{rows // centres.sub_centers:,} classes of dimension {width}"
    )
    return embeddings


def _report(
    source: Embeddings | EmbeddingFile,
    anchors: Anchors,
    dropped: list[Dropped],
    size: int,
    near: NearDuplicates | None,
    output: Path,
    messages: Messages,
) -> None:
    messages.say(f"{source.origin}: {counted(len(source), 'embedding')} of dimension {source.dim}")
    for drop in dropped:
        first = ", ".join(f"'{name}'" for name in drop.first)
        named = f" (first: {first})" if drop.count else ""
        messages.say(f"  {drop.rule}: {drop.count:,} left out{named}")
    if near is not None:
        messages.say("  the evaluation set was looked at for this, which the anchors record")
    if len(anchors) < size:
        messages.say(f"  all that is left of {size:,} asked for: {counted(len(anchors), 'anchor')}")
    messages.say(f"wrote {counted(len(anchors), f'{anchors.kind} anchor')} to {output}")


def _summary(anchors: Anchors, dropped: list[Dropped], output: Path) -> dict[str, Any]:
    from damcli.storage.files import open_embeddings

    written = open_embeddings(output)
    return {
        "output": str(output),
        "output_sha256": written.digest,
        "kind": anchors.kind,
        "anchors": len(anchors),
        "dim": anchors.dim,
        "dropped": [
            {"rule": drop.rule, "count": drop.count, "first": list(drop.first)} for drop in dropped
        ],
        "attributes": written.attributes,
    }
