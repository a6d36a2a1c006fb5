"""``damcli pairs``: a labelled pair list, from the embeddings' subjects or of a protocol."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli.console import STDOUT, Messages, usage_error
from damcli.cli.protocol_options import (
    ProtocolOption,
    RootOption,
    check_protocol_options,
    open_official,
)

if TYPE_CHECKING:
    from damcli.protocols.from_subjects import Pairs, SubjectPairs
    from damcli.protocols.official import OfficialPairs

ALL = "all"


def pairs(
    embeddings: Annotated[
        Path | None, typer.Argument(help="Embeddings with subjects.", show_default=False)
    ] = None,
    *,
    output: Annotated[
        str, typer.Option("--output", "-o", help=".csv, .csv.gz, .parquet; - for stdout.")
    ],
    protocol: ProtocolOption = None,
    root: RootOption = None,
    every: Annotated[bool, typer.Option("--all", help="All pairs.")] = False,
    genuine: Annotated[
        str | None, typer.Option(metavar="N|all", help="Genuine pairs to draw.")
    ] = None,
    impostor: Annotated[
        str | None, typer.Option(metavar="N|all", help="Impostor pairs to draw.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draws.", show_default="0")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages.")] = False,
) -> None:
    """Write probe_id,reference_id,label rows, labelled by the subjects or by a protocol.

    Example: damcli pairs emb.h5 --genuine all --impostor 100000 -o pairs.csv
    """
    check_protocol_options(protocol, root)
    if (embeddings is None) == (protocol is None):
        raise usage_error("give either embeddings with subjects or --protocol")
    drawn = any(option is not None for option in (genuine, impostor, seed))
    if protocol is not None and (every or drawn):
        raise usage_error(
            "--all, --genuine, --impostor and --seed draw pairs of subjects; a protocol has "
            "pairs of its own"
        )
    messages = Messages(quiet=quiet)
    if embeddings is not None:
        _from_subjects(embeddings, output, every, genuine, impostor, seed or 0, force, messages)
    official = open_official(protocol, root)
    if official is not None:
        _check_output(output, force)
        _write_official(output, official, force, messages)


def _check_output(output: str, force: bool) -> None:
    from damcli.scoring.table import check_suffix
    from damcli.storage.atomic import check_writable

    if output != STDOUT:
        check_suffix(Path(output))
        check_writable(Path(output), force=force)


def _from_subjects(
    embeddings: Path,
    output: str,
    every: bool,
    genuine: str | None,
    impostor: str | None,
    seed: int,
    force: bool,
    messages: Messages,
) -> None:
    """Write all pairs of subjects, or some that are drawn."""
    if every == (genuine is not None or impostor is not None):
        raise usage_error("give --all, or --genuine and --impostor")
    if not every and (genuine is None or impostor is None):
        raise usage_error("give both --genuine and --impostor: a number (0 for none), or all")
    wanted = (ALL, ALL) if every else (str(genuine), str(impostor))
    counts = tuple(_count(text) for text in wanted)
    from damcli.protocols.from_subjects import subject_pairs
    from damcli.storage.embeddings import check_unique
    from damcli.storage.files import open_embeddings

    _check_output(output, force)
    opened = open_embeddings(embeddings)
    check_unique(opened.ids, opened.origin)
    opened.require_valid()
    made = subject_pairs(opened.subjects, opened.origin)
    numbers = [
        there if count is None else count
        for count, there in zip(counts, (made.genuine, made.impostors), strict=True)
    ]
    if not sum(numbers):
        raise usage_error("no pairs are left to write")
    _write(output, opened.ids, _parts(made, counts, seed), force, sum(numbers), messages)
    messages.say(f"{numbers[0]:,} genuine and {numbers[1]:,} impostor pairs")


def _count(text: str) -> int | None:
    if text == ALL:
        return None
    if not text.isascii() or not text.isdigit():
        raise usage_error(f"{text}: expected a number or all")
    return int(text)


def _parts(
    made: SubjectPairs, counts: tuple[int | None, ...], seed: int
) -> Iterator[tuple[Pairs, int]]:
    """Yield the pairs with their label, the genuine ones first."""
    import numpy as np

    from damcli.protocols.from_subjects import (
        draw_genuine,
        draw_impostors,
        genuine_pairs,
        impostor_blocks,
    )

    rng = np.random.default_rng(seed)
    genuine, impostors = counts
    if genuine is None:
        yield genuine_pairs(made.codes), 1
    elif genuine:
        yield draw_genuine(made, genuine, rng), 1
    if impostors is None:
        for block in impostor_blocks(made.codes):
            yield block, 0
    elif impostors:
        yield draw_impostors(made, impostors, rng), 0


def _write(
    output: str,
    ids: Any,
    parts: Iterator[tuple[Pairs, int]],
    force: bool,
    total: int,
    messages: Messages,
) -> None:
    import numpy as np

    from damcli.scoring.table import table_file

    target: Any = sys.stdout.buffer if output == STDOUT else Path(output)
    with (
        table_file(target, force=force) as write,
        messages.progress("writing", total, "pairs") as advance,
    ):
        for rows, label in parts:
            write(
                {
                    "probe_id": ids[rows[:, 0]],
                    "reference_id": ids[rows[:, 1]],
                    "label": np.full(len(rows), label, dtype=np.int8),
                }
            )
            advance(len(rows))


def _write_official(output: str, official: OfficialPairs, force: bool, messages: Messages) -> None:
    """Write the pairs of a protocol with their folds and groups, under the official ids."""
    from damcli.scoring.table import table_file

    target: Any = sys.stdout.buffer if output == STDOUT else Path(output)
    counts = [0, 0]
    with (
        table_file(target, force=force) as write,
        messages.progress("writing", None, "pairs") as advance,
    ):
        for chunk in official.chunks():
            assert chunk.labels is not None
            folds = {} if chunk.folds is None else {"fold": chunk.folds.values}
            write(
                {
                    "probe_id": chunk.probes.values,
                    "reference_id": chunk.references.values,
                    "label": chunk.labels,
                    **folds,
                    **{name: column.values for name, column in chunk.groups.items()},
                }
            )
            for label in (0, 1):
                counts[label] += int((chunk.labels == label).sum())
            advance(len(chunk))
    messages.say(f"{counts[1]:,} genuine and {counts[0]:,} impostor pairs")
