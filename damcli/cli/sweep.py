"""``damcli sweep``: DAM at every k with every s, and with fewer anchors, against cosine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli import pair_options as shared
from damcli.cli.console import DEFAULT_FAR, Messages, usage_error
from damcli.cli.pair_options import Combine
from damcli.cli.protocol_options import (
    ProtocolOption,
    RootOption,
    about_protocol,
    check_protocol_options,
    fars_of,
    fit,
    open_official,
    pairs_digest,
)
from damcli.cli.score_output import digests_of
from damcli.cli.sides import check_pair_options, read_sides
from damcli.cli.sweep_output import (
    FigureFormat,
    all_rows,
    check_outputs,
    figure_paths,
    print_found,
    write_outputs,
)
from damcli.cli.sweep_plan import check_dev, parse_plan, plan_for
from damcli.cli.sweep_run import dev_sides, run_judge, run_sweep, warn_of_shared

if TYPE_CHECKING:
    from damcli.protocols.pairs import PairSource
    from damcli.scoring.all_pairs import AllPairs


def sweep(
    pairs: Annotated[
        str | None,
        typer.Argument(
            help="Labelled pair list, as for damcli score; - for stdin.", show_default=False
        ),
    ] = None,
    *,
    embeddings: shared.EmbeddingsFile,
    anchors: Annotated[Path, typer.Option("--anchors", "-a", help="Anchor set.")],
    gallery: shared.GalleryFile = None,
    all_pairs: shared.AllPairsOption = False,
    protocol: ProtocolOption = None,
    root: RootOption = None,
    k: Annotated[
        str | None,
        typer.Option(
            *("-k", "--k"),
            help="Numbers of anchors in the LID.",
            show_default="1,2,5,10,20,50,100,300",
        ),
    ] = None,
    s: Annotated[
        str | None,
        typer.Option(
            "-s", "--s", help="Scales of Eq. 3.", show_default="0.25,0.5,1,2,4,8,16,32,64"
        ),
    ] = None,
    anchors_size: Annotated[
        str | None,
        typer.Option(help="Numbers of anchors to draw, such as 1000,5000,20000."),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="How often each is drawn.", show_default="5")
    ] = None,
    combine: shared.CombineOption = Combine.SUM,
    dev: Annotated[
        Path | None,
        typer.Option(help="Sweep over these pairs, and judge the best on those above."),
    ] = None,
    dev_embeddings: Annotated[
        Path | None,
        typer.Option(help="Embeddings of the --dev pairs.", show_default="as for the others"),
    ] = None,
    best_at: Annotated[
        float | None,
        typer.Option(metavar="FAR", help="Where the best on --dev has the highest TAR."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Every number, .csv.")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Draw the curves into this folder.")
    ] = None,
    figure_format: Annotated[
        FigureFormat | None, typer.Option(help="Of the figures.", show_default="png")
    ] = None,
    far: Annotated[
        str | None,
        typer.Option(
            help="False accept rates of the table.",
            show_default=f"{DEFAULT_FAR}; of ijbb and ijbc to 1e-1",
        ),
    ] = None,
    resamples: shared.Resamples = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Of resampling, and of the first draw.")] = 0,
    skip_missing: shared.SkipMissing = False,
    allow_overlap: shared.AllowOverlap = False,
    allow_mixed_models: shared.AllowMixedModels = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace existing outputs.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Show how DAM's rates move with k, s and the number of anchors; choose on --dev alone.

    Example: damcli sweep pairs.csv -e emb.h5 -a anchors.h5 --anchors-size 1000,5000 --figures .
    """
    ways = "a pair list, --all-pairs or --protocol"
    check_pair_options(
        *(pairs, all_pairs, None, as_json, False, skip_missing), protocol=protocol, ways=ways
    )
    check_protocol_options(protocol, root)
    check_dev(pairs, dev, dev_embeddings, best_at)
    if figure_format is not None and figures is None:
        raise usage_error("--figure-format is about --figures")
    asked = parse_plan(k, s, anchors_size, seeds, seed)
    fars = fars_of(protocol, far)
    if best_at is not None:
        fars = tuple(sorted({*fars, best_at}))
    drawn = figure_paths(figures, figure_format or FigureFormat.PNG, asked.plan)
    check_outputs(output, drawn, force)
    from damcli.protocols.pairs import read_pairs
    from damcli.scoring.all_pairs import all_pairs as every_pair
    from damcli.sweeping.measure import require_labels

    messages = Messages(quiet=quiet)
    official = open_official(protocol, root)
    listed: PairSource | AllPairs | None = None if pairs is None else read_pairs(pairs)
    sides = read_sides(embeddings, gallery, anchors, None, 1, None, messages)
    plan = plan_for(asked, sides["anchors"], messages)
    fitted = None if official is None else fit(official, sides, skip_missing, messages)
    test = listed if fitted is None else fitted
    if test is None:
        test = every_pair(sides["embeddings"], sides["gallery"])
    require_labels(test)
    options: dict[str, Any] = {
        **{"fars": fars, "resamples": resamples, "seed": seed, "combine": combine.value},
        **{"skip_missing": skip_missing, "allow_overlap": allow_overlap},
        "allow_mixed_models": allow_mixed_models,
    }
    if dev is None or best_at is None:
        found, chosen, judged = run_sweep(test, sides, plan, messages, **options), None, None
    else:
        others = dev_sides(dev_embeddings, sides)
        found = run_sweep(read_pairs(str(dev)), others, plan, messages, **options)
        chosen = found.best(best_at)
        judged = run_judge(test, sides, chosen, messages, **options)
        warn_of_shared(found, judged, messages)
    rows = all_rows(found, judged)
    write_outputs(rows, found, output, drawn, force, messages)
    print_found(
        rows,
        found,
        chosen,
        judged,
        inputs=digests_of(sides, pairs=pairs, dev=dev, dev_embeddings=dev_embeddings)
        | pairs_digest(fitted),
        settings={
            **{"k": plan.ks, "s": plan.scales, "anchors_size": plan.sizes, "seeds": plan.seeds},
            **{"combine": combine.value, "best_at": best_at, **about_protocol(protocol, fitted)},
        },
        as_json=as_json,
    )
