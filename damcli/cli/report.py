"""``damcli report``: scores in, one page out that says whether DAM helps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damcli.cli import pair_options as shared
from damcli.cli.console import DEFAULT_FAR, Messages, command_line, parse_fars, usage_error
from damcli.cli.groups import check_groups
from damcli.cli.report_parts import parse_segments, read_softmax_part, read_sweep_part
from damcli.storage.inputs import real_path

if TYPE_CHECKING:
    from damcli.reports.page import Section


def report(
    scores: Annotated[
        list[str],
        typer.Argument(help="Scores with labels, from damcli score or anywhere; one or more."),
    ],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The page: .html.")],
    figures: Annotated[
        Path | None,
        typer.Option(help="Folder for the figures as PNG, SVG and PDF.", show_default=False),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            help="Score column; repeat it to compare, baseline first. "
            "By default cosine and score, as far as they are there.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Label column, 1 or 0.", show_default="by its name")
    ] = None,
    far: Annotated[str, typer.Option(help="False accept rates of the tables.")] = DEFAULT_FAR,
    group: shared.GroupOption = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(
            "--embeddings", "-e", help="Embeddings of the probes: adds figures of their LIDs."
        ),
    ] = None,
    anchors: Annotated[
        Path | None,
        typer.Option("--anchors", "-a", help="The anchors; goes with --embeddings or --logits."),
    ] = None,
    sweep: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="What damcli sweep -o, or --json as .json, wrote: adds its curves."
        ),
    ] = None,
    logits: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Embeddings of training samples with probability and cosine, .npz: adds softmax "
            "probability against cosine and DAM.",
        ),
    ] = None,
    segment: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOW:HIGH",
            help="Cosines of --logits to look at by themselves; up to four times.",
            show_default="three with as many samples each",
        ),
    ] = None,
    resamples: shared.Resamples = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of the resampling.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace existing outputs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Make one HTML page: does DAM help, by how much, and what to be careful about.

    Example: damcli report scores.csv -o report.html -e emb.h5 -a anchors.h5 --figures figures/
    """
    if (embeddings is None and logits is None) != (anchors is None):
        raise usage_error(
            "--embeddings and --anchors go together, and so do --logits and --anchors"
        )
    if segment and logits is None:
        raise usage_error("--segment is about --logits")
    segments = parse_segments(segment or ())
    columns, names = check_groups(group), check_groups(score, "--score")
    fars = parse_fars(far)
    from damcli.cli.report_output import check_targets, made_on, write_report
    from damcli.cli.report_sections import Job, section_of
    from damcli.reports.page import page
    from damcli.reports.softmax_figures import PICTURE
    from damcli.reports.style import require_plots

    require_plots("A report")
    date = made_on()
    _check_distinct(scores)
    messages = Messages(quiet=quiet)
    parts = [] if sweep is None else [read_sweep_part(sweep)]
    more = [picture.name for part in parts for picture in part.pictures]
    check_targets(output, figures, len(scores), [*more, *([PICTURE] * bool(logits))], force=force)
    if logits is not None and anchors is not None:
        made = (Path(scores[0]), segments, resamples, seed, messages)
        parts.append(read_softmax_part(logits, anchors, *made))
    job = Job(names, label, fars, columns, resamples, seed, embeddings, anchors)
    sections: list[Section] = [section_of(path, job, messages) for path in scores]
    html = page(sections, parts, command=command_line(), date=date)
    written = write_report(html, sections, parts, output, figures, force=force)
    for section in sections:
        messages.say(f"{section.name}: {section.headline}")
    messages.say(f"wrote {output}" + (f" and {written} figures in {figures}" if figures else ""))


def _check_distinct(scores: Sequence[str]) -> None:
    seen: set[Path] = set()
    for path in scores:
        if path == "-":
            raise usage_error("a report reads its scores more than once; expected files, not -")
        if real_path(Path(path)) in seen:
            raise usage_error(f"{path} is given twice")
        seen.add(real_path(Path(path)))
