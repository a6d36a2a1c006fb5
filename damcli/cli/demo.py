"""``damcli demo``: the whole pipeline on the faces that come with damcli."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from damcli.cli.console import Messages
from damcli.errors import OutputError

if TYPE_CHECKING:
    from damcli.storage.anchors import Anchors
    from damcli.storage.embeddings import Embeddings

EMBEDDINGS, ANCHORS = "emb.h5", "anchors.h5"
NEXT_STEPS = """\
These people are easy to tell apart, and DAM makes no difference that the intervals would
show. Where faces crowd together it does: examples/crowded_faces.py in the repository.

On your own embeddings (an HDF5, .npy, .npz or Parquet file with ids and subjects):

  damcli convert my_faces.npz -o emb.h5
  damcli build-anchors train.npz -o anchors.h5 --kind real-db
  damcli score pairs.csv -e emb.h5 -a anchors.h5 -o scores.csv
  damcli evaluate scores.csv

The anchors must show other people than the pairs do, embedded by the same model.
Without a pair list: damcli score --all-pairs -e emb.h5 -a anchors.h5"""


def demo(
    keep: Annotated[
        Path | None,
        typer.Option(
            help="Folder to write the demo's files to, to go on with.", show_default=False
        ),
    ] = None,
    resamples: Annotated[int, typer.Option(min=0, help="Of the 95 % intervals.")] = 1000,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files in the folder to keep.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Run the real pipeline on real faces, offline: anchors, LIDs, scores, the table.

    Example: damcli demo --keep demo/
    """
    import damcli
    from damcli.reports.tables import print_report

    messages = Messages(quiet=quiet)
    if keep is not None:
        _make_folder(keep, force=force)
    faces = damcli.read_embeddings(Path(__file__).parent.parent / "data" / "demo.h5")
    used_as = faces.groups["set"]
    test = faces.take((used_as == "test").nonzero()[0])
    people = 0 if test.subjects is None else len(set(test.subjects))
    anchors, _ = damcli.build_anchors(faces.take((used_as == "anchors").nonzero()[0]), "real-db")
    messages.say(
        f"{len(test):,} images of {people:,} people, embedded by "
        f"{faces.attributes['model_name']}; {len(anchors):,} anchors of other people"
    )
    if keep is not None:
        _keep(keep, test, anchors, messages, force=force)
    scores = damcli.score(damcli.all_pairs(test), test, anchors)
    print_report(damcli.evaluate(scores.matches(), resamples=resamples))
    print(f"\n{NEXT_STEPS}")


def _make_folder(folder: Path, *, force: bool) -> None:
    from damcli.storage.atomic import check_writable

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made a folder ({error.strerror})",
            hint="name a folder, or a new one in a folder you may write to: --keep FOLDER",
        ) from error
    for name in (EMBEDDINGS, ANCHORS):
        check_writable(folder / name, force=force)


def _keep(
    folder: Path, test: Embeddings, anchors: Anchors, messages: Messages, *, force: bool
) -> None:
    import damcli

    damcli.write_embeddings(folder / EMBEDDINGS, test, force=force)
    damcli.write_embeddings(folder / ANCHORS, anchors, force=force)
    messages.say(
        f"the same by hand: damcli score --all-pairs -e {folder / EMBEDDINGS} -a {folder / ANCHORS}"
    )
