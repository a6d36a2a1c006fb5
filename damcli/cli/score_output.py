"""What ``damcli score`` writes: the scores themselves, and the pairs that it left out."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import STDOUT, Messages, command_line

if TYPE_CHECKING:
    from damcli.scoring.all_pairs import AllPairScores
    from damcli.scoring.score import ListedScores
    from damcli.scoring.table import Accept
    from damcli.scoring.writing import Form, Part
    from damcli.storage.anchors import Anchors


def check_output(target: Path, force: bool, skip_missing: bool) -> None:
    """Refuse an output that could not be written, before any work is done."""
    from damcli.scoring.table import check_suffix
    from damcli.storage.atomic import check_writable
    from damcli.storage.made_with import about_path

    check_suffix(target)
    check_writable(target, force=force)
    check_writable(about_path(target), force=force)
    if skip_missing:
        check_writable(_rejects_path(target), force=force)


def _rejects_path(target: Path) -> Path:
    """Name the list of pairs left out after the scores: ``a.v1.csv.gz``, ``a.v1.rejects.csv``."""
    compressed = target.suffix.lower() in (".gz", ".zst", ".bz2")
    stem = target.with_suffix("") if compressed else target
    return stem.with_suffix(".rejects.csv")


def left_out(scores: ListedScores | AllPairScores) -> dict[str, int]:
    """Count the pairs left out, for the JSON document."""
    return {"pairs": len(getattr(scores, "missing", []))}


def tell_left_out(scores: ListedScores | AllPairScores, messages: Messages) -> None:
    """Say which columns of the list give way, and which pairs have no embedding or but one."""
    replaced = getattr(scores, "replaced", ())
    if replaced:
        messages.warn(
            f"{scores.origin}: its columns {', '.join(replaced)} are left out, since the scores "
            "have columns of these names"
        )
    tell_missing(scores, messages)
    tell_alike(scores, messages)


def tell_missing(scores: ListedScores | AllPairScores, messages: Messages) -> None:
    """Say which pairs have no embedding."""
    missing = getattr(scores, "missing", [])
    if missing:
        first = ", ".join(f"'{pair.missing_id}' (row {pair.row})" for pair in missing[:3])
        messages.warn(
            f"{len(missing):,} of {len(missing) + len(scores):,} pairs left out for want of an "
            f"embedding: {first}{' …' if len(missing) > 3 else ''}"
        )


def tell_alike(scores: ListedScores | AllPairScores, messages: Messages) -> None:
    """Say how many pairs are of an embedding with itself."""
    alike = getattr(scores.pairs, "alike", 0)
    if alike:
        first = getattr(scores.pairs, "first_alike", None)
        messages.warn(
            f"{scores.origin}, row {first}: {alike:,} of {len(scores):,} pairs are of "
            "an embedding with itself, whose cosine is 1 whatever the model; they are scored all "
            "the same. Take them out of the list for rates that mean something"
        )


def list_missing(
    scores: ListedScores | AllPairScores,
    output: Path,
    force: bool,
    messages: Messages,
    *,
    escape: bool = False,
) -> None:
    """List the pairs left out beside their scores; a list of older scores goes with them."""
    import csv

    from damcli.scoring.formulas import escaped_text
    from damcli.storage.atomic import atomic_output

    missing = getattr(scores, "missing", [])
    rejects = _rejects_path(output)
    if not missing:
        if force:
            rejects.unlink(missing_ok=True)
        return
    with (
        atomic_output(rejects, force=force) as draft,
        draft.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(("row", "probe_id", "reference_id", "missing_id"))
        rows = [[escaped_text(str(cell)) for cell in row] for row in missing]
        writer.writerows(rows if escape else missing)
    messages.say(f"they are listed in {rejects}")


def digests_of(
    sides: dict[str, Any], *, pairs: str | None = None, **files: Path | None
) -> dict[str, str | None]:
    """Take the SHA-256 of every input, by its role."""
    from damcli.storage.digests import file_digest

    digests = {role: side.digest for role, side in sides.items() if side is not None}
    if pairs is not None and pairs != STDOUT:
        files["pairs"] = Path(pairs)
    return digests | {role: file_digest(file) for role, file in files.items() if file is not None}


def about_anchors(anchors: Sequence[Anchors], allow_overlap: bool) -> dict[str, Any]:
    """Record of anchors what a report tells; of several sets in their order."""
    if not anchors:
        return {}
    known = {
        "anchor_kind": "+".join(one.kind for one in anchors),
        "anchor_count": "+".join(str(len(one)) for one in anchors),
        "anchors_dropped": _attributes(anchors, "dropped"),
        "anchors_looked_at": _attributes(anchors, "looked_at_evaluation_set"),
        "allow_overlap": True if allow_overlap else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _attributes(anchors: Sequence[Anchors], name: str) -> str | None:
    found = [str(one.attributes[name]) for one in anchors if name in one.attributes]
    return " + ".join(found) or None


def write_and_match(
    scores: ListedScores | AllPairScores,
    output: str | None,
    force: bool,
    about: dict[str, Any],
    messages: Messages,
    accept: Accept | None = None,
    *,
    prior: float | None = None,
    escape: bool = False,
) -> Any:
    """Write the scores where that is wanted; return them for evaluation if they have labels.

    With a prior, a column of probabilities is written as well; with ``escape``, no cell is a
    formula.
    """
    from damcli import __version__
    from damcli.scoring.table import is_parquet, score_file
    from damcli.scoring.writing import Form
    from damcli.storage.made_with import PREFIX, write_about

    if output is None and scores.labelled:
        return _match(scores, None, lambda part: None, messages)
    to_stdout = output is None or output == STDOUT
    target: Any = sys.stdout.buffer if to_stdout else Path(str(output))
    flat = {name: value for part in about.values() for name, value in part.items()}
    flat["damcli_version"] = __version__
    texts = {PREFIX + name: str(value) for name, value in flat.items()}
    as_text = to_stdout or not is_parquet(target)
    form = Form(scores.scorer.probes, scores.scorer.references, accept, prior, as_text, escape)
    accepted = 0
    with score_file(target, force=force, about=texts) as append:

        def take(part: Part) -> None:
            nonlocal accepted
            append(part.content)
            accepted += part.accepted

        matches = _match(scores, form, take, messages)
    if not to_stdout:
        write_about(target, {**flat, "command": command_line()}, force=force)
        messages.say(f"wrote {len(scores):,} scores to {output}")
    if accept is not None and matches is None:
        messages.say(f"accepted {accepted:,} of {len(scores):,} pairs; they carry no labels")
    return matches


def _match(
    scores: ListedScores | AllPairScores,
    form: Form | None,
    take: Callable[[Part], None],
    messages: Messages,
) -> Any:
    from damcli.scoring.score import ListedScores
    from damcli.scoring.writing import pairs_in

    with messages.progress("scoring", len(scores), "pairs") as advance:

        def done(part: Part) -> None:
            take(part)
            advance(part.pairs)

        if isinstance(scores, ListedScores) and scores.labelled:
            return scores.matches(form or pairs_in, done)
        if form is not None:
            for part in scores.parts(form):
                done(part)
    return scores if scores.labelled else None
