"""``damcli build-anchors --generator``: faces made, embedded, and kept beside the anchors."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.anchor_options import Kind
from damcli.cli.console import Messages, usage_error
from damcli.cli.embed import Crop
from damcli.cli.embed_run import Framings, Job, Model, run_job, warn_once
from damcli.cli.generator_options import Color, GeneratorChoices
from damcli.errors import counted

if TYPE_CHECKING:
    from damcli.embedding.generated import GeneratedFaces
    from damcli.models.pixel_range import PixelRange
    from damcli.storage.anchors import Anchors
    from damcli.storage.files import EmbeddingFile

ALIKE = 0.4
"""Mean cosine of all pairs from which a generator is said to make one face many times."""


def check_choices(
    chosen: GeneratorChoices, kind: Kind, source: Path | None, others: dict[str, Any]
) -> None:
    """Refuse options that do not go together.

    Parameters
    ----------
    chosen
        The options of this module.
    kind, source
        The other options and arguments on which these depend.
    others
        By name, those that need a source.
    """
    if chosen.generator is None:
        for option in fields(chosen):
            if getattr(chosen, option.name):
                name = option.name.replace("_", "-")
                raise usage_error(f"--{name} goes with --generator")
        if source is None:
            raise usage_error("expected a source: a file of embeddings, or --generator GAN.onnx")
        return
    if kind is not Kind.FAKE_DB:
        raise usage_error(f"--generator goes with --kind fake-db, not {kind.value}")
    if source is not None:
        raise usage_error(f"--generator makes the faces itself; leave out {source}")
    for name, value in others.items():
        if value is not None:
            raise usage_error(f"{name} does not go with --generator")
    if chosen.model is None:
        raise usage_error("--generator needs the model that embeds its faces: --model MODEL")
    if chosen.sheet_faces is not None and chosen.sheet is None:
        raise usage_error("--sheet-faces goes with --sheet")
    if chosen.detector is not None and chosen.crop is not None:
        raise usage_error("--crop does not go with --detector, which aligns the faces")
    if chosen.sheet is not None and chosen.sheet.suffix.lower() != ".png":
        raise usage_error(f"--sheet {chosen.sheet}: expected a name that ends in .png")


def faces_path(output: Path) -> Path:
    """Return where the embeddings of all generated faces stay, beside the anchors."""
    return output.with_suffix(".faces.h5")


def embed_generated(
    chosen: GeneratorChoices,
    output: Path,
    *,
    size: int,
    seed: int,
    dtype: str,
    force: bool,
    messages: Messages,
) -> EmbeddingFile | None:
    """Generate faces and embed them into a file beside the anchors.

    Parameters
    ----------
    chosen
        How.
    output
        The anchors.
    size, seed
        How many faces, and of which latents.
    dtype
        Of the vectors on disk.
    force
        Replace what is there; the faces too, unless they are to be resumed.
    messages
        Where to report.

    Returns
    -------
    EmbeddingFile or None
        None in the processes after the first, where several share the work.
    """
    from damcli.embedding.ranks import ranks_from_environment
    from damcli.embedding.sheet import SHEET_FACES, SheetFraming
    from damcli.storage.files import open_embeddings

    ranks = ranks_from_environment()
    said = messages if ranks.is_first else Messages(quiet=True)
    sheet = _sheet_to_write(chosen, force, said) if ranks.is_first else None
    model = _model(chosen)
    warn = warn_once(ranks, messages)
    network, preprocessing = model.open(warn)
    source = _open_faces(chosen, size, seed)
    centre = None if chosen.crop is None else chosen.crop is Crop.CENTER
    framing, digests = Framings(None, chosen.detector, centre).open(
        preprocessing.size, source, warn
    )
    for note in (*source.notes, *network.notes):
        said.say(note)
    said.say(f"{counted(size, 'face')} for {network.name}: {framing.describe()}")
    drawn = None
    if sheet is not None:
        faces = chosen.sheet_faces or SHEET_FACES
        framing = drawn = SheetFraming(framing, source, sheet, faces=faces, force=force)
    about = {**source.record(), **model.about(), **digests}
    run_job(
        Job(source, network, preprocessing, framing, about, ranks),
        faces_path(output),
        said,
        as_json=False,
        flip="none" if chosen.flip is None else chosen.flip.value,
        batch_size=chosen.batch_size,
        dtype=dtype,
        resume=chosen.resume,
        force=force and not chosen.resume,
    )
    if drawn is not None:
        drawn.finish()
        said.say(f"wrote {sheet}: the first faces, whole and as the model sees them")
    return open_embeddings(faces_path(output)) if ranks.is_first else None


def report_likeness(anchors: Anchors, messages: Messages) -> dict[str, Any] | None:
    """Say how alike generated faces are, and warn where they are all one."""
    from damcli.anchors.likeness import likeness

    found = likeness(anchors)
    if found is None:
        return None
    messages.say(
        f"  any two of {found.anchors:,} anchors have a cosine of {found.mean:.3f} on average, "
        f"at most {found.highest:.3f} ('{found.pair[0]}' and '{found.pair[1]}')"
    )
    if found.mean > ALIKE:
        messages.warn(
            f"the anchors are all alike (mean cosine {found.mean:.3f}; of different people it is "
            "usually below 0.2): too little variety, no faces, or a wrong range, colour order or "
            "crop; look at the faces (--sheet)"
        )
    return found._asdict()


def _open_faces(chosen: GeneratorChoices, size: int, seed: int) -> GeneratedFaces:
    from damcli.embedding.generated import GeneratedFaces
    from damcli.models.generators import open_generator

    assert chosen.generator is not None
    generator = open_generator(
        chosen.generator,
        device="auto" if chosen.device is None else chosen.device.value,
        threads=chosen.threads,
        latent=_parse_latent(chosen.latent),
        values=_parse_inputs(chosen.generator_input),
        output=chosen.generator_output,
        color=(chosen.generator_color or Color.RGB).value,
    )
    return GeneratedFaces(
        generator,
        size,
        seed=seed,
        truncation=chosen.truncation,
        pixel_range=_parse_range(chosen.generator_range),
    )


def _model(chosen: GeneratorChoices) -> Model:
    assert chosen.model is not None
    return Model(
        path=chosen.model,
        device="auto" if chosen.device is None else chosen.device.value,
        threads=chosen.threads,
        arch=chosen.arch,
        input_name=chosen.input,
        output_name=chosen.output_name,
        preset=chosen.preset,
        size=chosen.image_size,
        color=chosen.color,
        mean=chosen.mean,
        std=chosen.std,
        layout=chosen.layout,
    )


def _sheet_to_write(chosen: GeneratorChoices, force: bool, messages: Messages) -> Path | None:
    from damcli.storage.atomic import check_writable

    if chosen.sheet is None:
        return None
    if chosen.resume and chosen.sheet.exists() and not force:
        messages.say(f"{chosen.sheet}: is there already, and stays")
        return None
    check_writable(chosen.sheet, force=force)
    return chosen.sheet


def _parse_latent(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        shape = tuple(int(axis) for axis in text.split("x"))
    except ValueError:
        shape = (0,)
    if min(shape) < 1:
        raise usage_error(f"--latent {text}: expected whole numbers, as in 512 or 100x1x1")
    return shape


def _parse_inputs(texts: list[str] | None) -> dict[str, float]:
    values = {}
    for text in texts or ():
        name, _, number = text.rpartition("=")
        try:
            values[name] = float(number)
        except ValueError:
            name = ""
        if not name:
            raise usage_error(
                f"--generator-input {text}: expected a name and a number, as in psi=0.7"
            )
    return values


def _parse_range(text: str | None) -> PixelRange | None:
    from damcli.models.pixel_range import PixelRange

    if text is None:
        return None
    black, _, white = text.partition(",")
    try:
        found = PixelRange(float(black), float(white))
    except ValueError:
        found = PixelRange(0, 0)
    if not found.black < found.white:
        raise usage_error(
            f"--generator-range {text}: expected the values of black and white, as in -1,1"
        )
    return found
