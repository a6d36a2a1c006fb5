"""``damcli identify``: 1:N search, closed-set ranks and open-set TPIR."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import pair_options as shared
from damcli.cli.console import Messages, command_line, usage_error
from damcli.cli.identify_inputs import (
    Searched,
    check_usage,
    open_official,
    parse_fpirs,
    parse_ranks,
    read_searched,
)
from damcli.cli.pair_options import Combine, LidOf
from damcli.cli.score_output import check_output, digests_of
from damcli.cli.sides import check_lid_options, pooled_from, read_sides, source_of
from damcli.errors import counted

if TYPE_CHECKING:
    from damcli.identification.identify import OnCandidates
    from damcli.identification.results import Identification
    from damcli.identification.search import Candidates
    from damcli.lid.source import LidSource


def identify(
    probes: Annotated[
        Path | None,
        typer.Argument(help="Embeddings to search for, with subjects.", show_default=False),
    ] = None,
    galleries: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Embeddings to search in, with subjects; the probes again for leave-one-out. "
            "Several galleries: the means of their rates.",
            show_default=False,
        ),
    ] = None,
    *,
    protocol: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The 1:N lists of ijbb or ijbc; needs --root and --embeddings."
        ),
    ] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the official files.")] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option("--embeddings", "-e", help="The protocol's templates, from damcli pool."),
    ] = None,
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", "-a", help="Anchor set: DAM-R. Without it or --lidr: cosine."),
    ] = None,
    lidr: Annotated[
        Path | None, typer.Option(help="Fitted regressor instead of anchors: DAM-L.")
    ] = None,
    lid: Annotated[
        LidOf,
        typer.Option(help="Of the embeddings, or those stored with templates by damcli pool."),
    ] = LidOf.OWN,
    k: shared.NeighboursOption = None,
    s: shared.ScaleOption = None,
    ranks: Annotated[str, typer.Option(help="Ranks of the closed-set rates.")] = "1,5,10",
    fpir: Annotated[
        str, typer.Option(help="False positive identification rates of the open-set table.")
    ] = "1e-2,1e-1",
    within: Annotated[
        int, typer.Option("--within-rank", min=1, help="TPIR counts mates up to this rank.")
    ] = 1,
    resamples: shared.Resamples = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Candidate lists of the largest rank: .csv, .csv.gz, .parquet."
        ),
    ] = None,
    combine: Annotated[
        Combine, typer.Option(help="The form of DAM that candidate lists are ranked by.")
    ] = Combine.SUM,
    skip_missing: Annotated[
        bool,
        typer.Option(
            "--skip-missing/--strict",
            help="Leave out a protocol's templates without an embedding, counted and named; or "
            "refuse them.",
        ),
    ] = False,
    allow_overlap: shared.AllowOverlap = False,
    allow_mixed_models: shared.AllowMixedModels = False,
    escape_formulas: shared.EscapeFormulas = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the tables as JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print the tables as CSV.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing output.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Search a gallery for the people that probes show, by cosine and DAM side by side.

    Example: damcli identify probes.h5 gallery.h5 -a anchors.h5 --fpir 1e-3,1e-2
    """
    check_usage(probes, galleries or [], protocol, root, embeddings, skip_missing)
    if as_json and as_csv:
        raise usage_error("--json and --csv exclude each other")
    if combine is Combine.PRODUCT and output is None:
        raise usage_error("--combine ranks candidate lists: say where to write them with -o")
    if escape_formulas:
        shared.check_escaping(None if output is None else str(output))
    check_lid_options(
        *(anchors, lidr, k, s), product=combine is Combine.PRODUCT, pooled=lid is LidOf.POOLED
    )
    from damcli.storage.embeddings import MODEL_DIGEST

    asked = {"ranks": parse_ranks(ranks), "fpirs": parse_fpirs(fpir), "within": within}
    if output is not None:
        check_output(output, force, skip_missing=False)
    messages = Messages(quiet=quiet)
    official = open_official(protocol, root)
    first = embeddings if probes is None else probes
    assert first is not None
    sides = read_sides(first, None, anchors, lidr, k, s, messages)
    searched = read_searched(sides, probes, galleries or [], official, skip_missing, messages)
    source = source_of(sides, k, s, lid.value)
    settings = {
        "k": None if source is None else source.k,
        "s": None if source is None else source.s,
        **({"lid": lid.value} if lid is LidOf.POOLED else {}),
        **({} if protocol is None else {"protocol": protocol}),
    }
    digests = digests_of(sides) | searched.digests | pooled_from(source)
    about = {**digests, **settings, "combine": None if source is None else combine.value}
    about["model"] = sides["embeddings"].attributes.get(MODEL_DIGEST)
    lists = _candidate_lists(output, searched, source, about, force, escape_formulas, messages)
    with lists as candidates:
        found = _identify(
            searched,
            sides,
            messages,
            lid=lid.value,
            k=k,
            s=s,
            combine=combine.value,
            **asked,
            resamples=resamples,
            seed=seed,
            allow_overlap=allow_overlap,
            allow_mixed_models=allow_mixed_models,
            candidates=candidates,
        )
    _tell(found, messages)
    _print(found, digests, settings, searched, as_json=as_json, as_csv=as_csv)


@contextmanager
def _candidate_lists(
    output: Path | None,
    searched: Searched,
    source: LidSource | None,
    about: dict[str, Any],
    force: bool,
    escape: bool,
    messages: Messages,
) -> Iterator[OnCandidates | None]:
    """Open the file of candidates, where one is wanted, and give what writes to it."""
    from damcli.identification.candidates import columns_of
    from damcli.scoring.formulas import escaped
    from damcli.scoring.table import table_file
    from damcli.storage.made_with import PREFIX, write_about

    if output is None:
        yield None
        return
    written = 0
    texts = {PREFIX + name: str(value) for name, value in about.items()}
    with table_file(output, force=force, about=texts) as write:

        def take(number: int, found: Candidates) -> None:
            nonlocal written
            gallery = searched.galleries[number]
            several = len(searched.galleries) > 1
            scored = source is not None
            columns = columns_of(found, searched.probes, gallery, named=several, score=scored)
            write(escaped(columns) if escape else columns)
            written += len(found.ranks)

        yield take
    write_about(output, {**about, "command": command_line()}, force=force)
    messages.say(f"wrote {counted(written, 'candidate')} to {output}")


def _identify(
    searched: Searched, sides: dict[str, Any], messages: Messages, **options: Any
) -> Identification:
    from damcli.identification.identify import identify as search

    probes, galleries = searched.probes, searched.galleries
    others = sum(len(one) for one in galleries if one is not probes)
    with (
        messages.progress("LID", len(probes) + others, "embeddings") as taking_lids,
        messages.progress("searching", len(probes) * len(galleries), "searches") as searching,
        messages.progress("intervals", options["resamples"], "resamples") as resampling,
    ):
        return search(
            probes,
            galleries,
            sides["anchors"],
            lidr=sides["lidr"],
            taking_lids=taking_lids,
            searching=searching,
            resampling=resampling,
            **options,
        )


def _tell(found: Identification, messages: Messages) -> None:
    """Say what of the searches the tables do not."""
    for gallery in found.galleries:
        if gallery.same_id:
            messages.say(
                f"{counted(gallery.same_id, 'probe')} in {gallery.origin} too: a probe is never "
                "compared with itself"
            )
        if gallery.compared_with_all:
            messages.say(
                f"{counted(gallery.compared_with_all, 'probe')} had to be compared with all of "
                f"{gallery.origin}"
            )
        if not gallery.non_mated:
            messages.warn(f"{gallery.origin} holds the subjects of all probes: no open-set rates")


def _print(
    found: Identification,
    digests: dict[str, str | None],
    settings: dict[str, Any],
    searched: Searched,
    *,
    as_json: bool,
    as_csv: bool,
) -> None:
    import json

    from damcli.reports import identification

    if as_json:
        document = identification.as_document(
            found, command="identify", inputs=digests, settings=settings
        )
        print(json.dumps(document | {"left_out": {"templates": searched.missing}}, indent=2))
    elif as_csv:
        print(identification.as_csv(found), end="")
    else:
        identification.print_identification(found)
