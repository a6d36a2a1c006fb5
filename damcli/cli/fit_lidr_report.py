"""What ``damcli fit-lidr`` tells: how near the regressor comes to the anchors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.storage.anchors import Anchors
    from damcli.storage.embeddings import Embeddings
    from damcli.storage.files import EmbeddingFile
    from damcli.storage.lidr import Lidr

_FARS = (1e-5, 1e-4, 1e-3, 1e-2)
# All pairs of so many are 8 million: seconds, and enough for TAR at FAR 1e-5.
_TABLE_ROWS = 4096


def report(
    lidr: Lidr,
    source: EmbeddingFile,
    anchors: Anchors,
    output: Path,
    messages: Messages,
    *,
    as_json: bool,
) -> None:
    """Print how well the held-out LIDs are told, and what that does to their pairs."""
    import json

    from damcli.reports import documents
    from damcli.reports.tables import print_report
    from damcli.storage.digests import file_digest

    about = lidr.attributes
    messages.say(
        f"kept iteration {about['kept_iteration']:,}; on {about['heldout_rows']:,} held-out "
        f"embeddings: R² {_shown(about, 'heldout_r2')}, rank correlation "
        f"{_shown(about, 'heldout_spearman')} of log G, median relative error of G "
        f"{_shown(about, 'heldout_relative_error')}"
    )
    _tell_skipped_anchors(about, messages)
    heldout = _held_out(lidr, source)
    evaluation = _evaluation(heldout, lidr, anchors, messages)
    settings = {"k": lidr.k, "s": lidr.s, **about}
    inputs = {"embeddings": source.digest, "anchors": anchors.digest, "lidr": file_digest(output)}
    if as_json and evaluation is not None:
        document = documents.as_document(
            evaluation, command="fit-lidr", inputs=inputs, settings=settings
        )
        print(json.dumps(document, indent=2))
    elif as_json:
        from damcli.cli.console import print_json

        print_json("fit-lidr", {"inputs": inputs, "settings": settings})
    elif evaluation is not None:
        print_report(evaluation)


def _tell_skipped_anchors(about: Any, messages: Messages) -> None:
    """Say for how many embeddings anchors were skipped that may be of the same person."""
    limit = about["max_anchor_similarity"]
    if limit != "none":
        messages.say(
            f"{about['skipped_rows']:,} embeddings have a few anchors above cosine {limit:.3f}, "
            "skipped as photographs of the same person"
        )


def _shown(about: Any, name: str) -> str:
    return f"{about[name]:.3f}" if name in about else "n/a"


def _held_out(lidr: Lidr, source: EmbeddingFile) -> Embeddings:
    """Read held-out rows, the same people as in fitting, and of many only the first."""
    from damcli.lid.training_set import hold_out

    split = hold_out(source, lidr.attributes["holdout"], lidr.attributes["seed"])
    return source.take(split.heldout[:_TABLE_ROWS])


def _evaluation(
    heldout: Embeddings, lidr: Lidr, anchors: Anchors, messages: Messages
) -> Evaluation | None:
    """Evaluate cosine, DAM-R and DAM-L on all pairs of the held-out people."""
    from damcli.evaluation import evaluate
    from damcli.scoring.all_pairs import all_pairs
    from damcli.scoring.score import score

    if heldout.subjects is None:
        messages.say("without subjects there are no genuine pairs to try it on")
        return None
    pairs = all_pairs(heldout)
    if not len(pairs.genuine) or len(pairs.genuine) == len(pairs):
        messages.say("the held-out people make no table: it needs genuine and impostor pairs")
        return None
    by_anchors, by_lidr = (
        evaluate(
            score(pairs, heldout, **source, allow_overlap=True, allow_mixed_models=True).matches(),
            fars=_FARS,
        )
        for source in ({"anchors": anchors, "k": lidr.k, "s": lidr.s}, {"lidr": lidr})
    )
    return replace(by_anchors, metrics=by_anchors.metrics + by_lidr.metrics[1:])
