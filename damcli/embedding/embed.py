"""Images through a model into a file: decoding ahead, kept batch by batch, whole at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from damcli.embedding.at_work import AtWork, Workers
from damcli.embedding.batches import Odd, Reject, groups_of
from damcli.embedding.kept import FILE_TERMS, Kept, columns_of
from damcli.embedding.outputs import Outputs
from damcli.embedding.ranks import Ranks
from damcli.embedding.run import Embedder, Flip, Progress, Run
from damcli.errors import InputError, OutputError, UserError, counted
from damcli.models.network import Network
from damcli.models.preprocessing import Preprocessing
from damcli.sources.framing import Framing, WholeImage
from damcli.sources.source import ImageSource
from damcli.storage.embeddings import MODEL_DIGEST, MODEL_NAME, as_names, check_unique
from damcli.storage.partial import PartialWriter, partial_path

FLIPS: tuple[Flip, ...] = ("none", "sum", "concat")
CPU_BATCH, CUDA_BATCH = 32, 256


@dataclass(frozen=True)
class Embedded:
    """What a run has done.

    Attributes
    ----------
    output
        The file.
    written
        How many embeddings it holds.
    dim
        D.
    computed
        How many of them this run has computed.
    dropped
        How many were there before, of images that the source no longer has.
    rejects
        The images that gave no embedding.
    several_faces
        The ids of the images on which several faces were found.
    odd
        The images that this run has embedded though they are so small or so stretched that
        they can hardly show a face; see `damcli.sources.framing`.
    seconds
        From the first image to the last.
    """

    output: Path
    written: int
    dim: int
    computed: int
    dropped: int
    rejects: tuple[Reject, ...]
    several_faces: tuple[str, ...]
    odd: tuple[Odd, ...]
    seconds: float


def embed(
    source: ImageSource,
    network: Network,
    output: Path | str,
    *,
    preprocessing: Preprocessing,
    framing: Framing | None = None,
    flip: Flip = "none",
    batch_size: int | None = None,
    workers: int | None = None,
    dtype: str = "float32",
    resume: bool = False,
    strict: bool = False,
    force: bool = False,
    about: Mapping[str, str] | None = None,
    command: str | None = None,
    ranks: Ranks | None = None,
    at_work: Workers | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Embedded:
    """Embed every image of a source, and write the embeddings to damcli's HDF5.

    What is done is kept beside the output after every batch, so that a run that ends in any
    way goes on with ``resume``; the output itself appears whole or not at all, the same to
    the bit whether the run was interrupted or not. Memory does not grow with the images,
    but for their ids and labels.

    Parameters
    ----------
    source
        N images; see `damcli.open_source`.
    network
        The model; see `damcli.open_network`.
    output
        The ``.h5`` file to write; ``NAME.rejects.csv`` and ``NAME.landmarks.csv`` appear
        beside it where there is something to list.
    preprocessing
        From pixels to what the model takes; see `damcli.resolve_preprocessing`.
    framing
        What cuts the images to size; by default the whole image is resized.
    flip
        ``sum`` adds the outputs for an image and its mirror image, ``concat`` joins them to
        2 D numbers; the length is divided out afterwards.
    batch_size
        Images a batch, >= 1; by default 32, on CUDA 256.
    workers
        Threads that decode, >= 1; by default one a core.
    dtype
        ``float32``, or ``float16`` for half the file.
    resume
        Go on with an interrupted run, or add to a finished output: what has an embedding by
        its id is not computed again. It must have been made in the same way.
    strict
        End at the first image that gives no embedding, instead of listing it.
    force
        Replace an existing output, and start over.
    about
        More about how the embeddings are made, recorded; a run that resumes must agree.
    command
        The command, to record.
    ranks
        The processes that share the work; see `damcli.embedding.ranks`.
    at_work
        Who reads and embeds the images: by default this process.
    progress
        Called after every batch.

    Returns
    -------
    Embedded
        What was done, by all processes.

    Raises
    ------
    InputError
        No image gives an embedding, one does not and ``strict``, an id stands twice, or
        ``resume`` finds what was made in another way.
    OutputError
        The output exists or cannot be written.
    UserError
        An option is out of its range.
    """
    check_options(flip, batch_size, workers, dtype)
    target, team = Outputs(Path(output)), ranks or Ranks()
    framing = framing or WholeImage(preprocessing.size)
    contract = {
        MODEL_DIGEST: network.digest,
        MODEL_NAME: network.name,
        "preprocessing": preprocessing.as_json(),
        "framing": framing.describe(),
        "flip": flip,
        "dtype": dtype,
        "columns": columns_of(source.has_subjects or None, source.group_names),
        **(about or {}),
    }
    ids = as_names([source.id_of(row) for row in range(len(source))])
    check_unique(ids, source.origin)

    def begin() -> Kept:
        target.begin(resume=resume, force=force)
        return target.open(contract, resume=resume)

    before = team.first(begin)
    if before is None:
        before = target.open(contract, resume=resume)
    team.gather(None)  # nobody appends before all have read
    size = batch_size or (CUDA_BATCH if "cuda" in network.runtime.lower() else CPU_BATCH)
    groups = groups_of(before.rows_of(ids) < 0, size, team.rank, team.size)
    run = Run(strict=strict, progress=progress)
    if at_work is None:
        embedder = Embedder(network, preprocessing.layout, flip)
        at_work = AtWork(source, framing, preprocessing, embedder, workers or os.cpu_count() or 1)
    with (
        closing(PartialWriter(partial_path(target.embeddings, team.rank), contract)) as keep,
        at_work.embedded(groups) as done,
    ):
        run.over(done, sum(len(rows) for rows in groups), keep)
    shares = team.gather((run.computed, run.rejects, run.odd))
    rejects = sorted((one for _, part, _ in shares for one in part), key=lambda one: one.row)
    odd = sorted((one for _, _, part in shares for one in part), key=lambda one: one.row)
    kept = target.open(contract, resume=resume)
    places = kept.rows_of(ids)
    rows = places[places >= 0]
    team.gather(None)  # nobody removes a journal before all have read it
    if team.is_first:
        _check_complete(source, target.embeddings, len(rows), rejects)
        facts = {"runtime": network.runtime, "source": source.origin}
        facts |= {term: text for term, text in contract.items() if term not in FILE_TERMS}
        facts |= {} if command is None else {"command": command}
        replace = resume or force
        target.write(kept, rows, dtype=dtype, rejects=rejects, facts=facts, force=replace)
    return Embedded(
        output=target.embeddings,
        written=len(rows),
        dim=kept.dim,
        computed=sum(computed for computed, _, _ in shares),
        dropped=kept.count - len(rows),
        rejects=tuple(rejects),
        several_faces=tuple(kept.ids[rows[kept.faces[rows] > 1]]),
        odd=tuple(odd),
        seconds=run.seconds,
    )


def _check_complete(
    source: ImageSource, output: Path, written: int, rejects: Sequence[Reject]
) -> None:
    if written + len(rejects) < len(source):
        raise OutputError(
            f"{output}: {written + len(rejects):,} of {counted(len(source), source.unit)} are "
            "accounted for; expected all of them",
            hint=f"let all processes write to one folder, and see the same {source.unit}s",
        )
    if not written:
        raise InputError(
            source.origin,
            f"no embedding comes of its {counted(len(source), source.unit)}; the first is "
            f"{rejects[0].place}: {rejects[0].reason}",
            hint="the paths of a list are relative to its folder, or to --root"
            if rejects[0].reason.startswith("no such file")
            else f"is it the right model, and are these the right {source.unit}s?",
        )


def check_options(flip: str, batch_size: int | None, workers: int | None, dtype: str) -> None:
    """Refuse options out of their range.

    Raises
    ------
    UserError
        One of them is.
    """
    if flip not in FLIPS:
        raise UserError(f"flip {flip}; expected one of {', '.join(FLIPS)}")
    if dtype not in ("float32", "float16"):
        raise UserError(f"dtype {dtype}; expected float32 or float16")
    for what, number in (("batch size", batch_size), ("workers", workers)):
        if number is not None and number < 1:
            raise UserError(f"{what} {number}; expected 1 or more")
