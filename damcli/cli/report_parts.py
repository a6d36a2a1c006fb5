"""The sections of ``damcli report`` that are about other files than scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from damcli.cli.console import Messages, usage_error

if TYPE_CHECKING:
    from damcli.reports.parts import Part

_ROWS = 5_000  # samples, beyond which a figure shows nothing more
_MOST_SEGMENTS = 4  # that a legend has room for


def read_sweep_part(path: Path) -> Part:
    """Draw the curves of a sweep's file."""
    from damcli.reports.sweep_file import read_sweep
    from damcli.reports.sweep_part import sweep_part
    from damcli.storage.digests import file_digest

    stored = read_sweep(path)
    return sweep_part(str(path), file_digest(path), stored)


def parse_segments(texts: Sequence[str]) -> list[tuple[float, float]]:
    """Read LOW:HIGH of each segment of cosine."""
    if len(texts) > _MOST_SEGMENTS:
        raise usage_error(f"{len(texts)} times --segment; expected at most {_MOST_SEGMENTS}")
    return [_segment(text) for text in texts]


def _segment(text: str) -> tuple[float, float]:
    low, _, high = text.partition(":")
    try:
        ends = float(low), float(high)
    except ValueError:
        ends = 0.0, 0.0
    if not -1 <= ends[0] < ends[1] <= 1:
        raise usage_error(
            f"--segment {text}: expected LOW:HIGH, two cosines, the lower first, as in 0.4:0.5"
        )
    return ends


def read_softmax_part(
    path: Path,
    anchors: Path,
    scores: Path,
    segments: Sequence[tuple[float, float]],
    resamples: int,
    seed: int,
    messages: Messages,
) -> Part:
    """Draw softmax probability against cosine and DAM, at the k and s of the scores."""
    import numpy as np

    from damcli.lid import log_lid
    from damcli.reports.softmax_figures import Seen, Segment, softmax_part, thirds
    from damcli.storage.digests import file_digest
    from damcli.storage.files import read_anchors
    from damcli.storage.logits import read_logits
    from damcli.storage.made_with import MadeWith, read_record

    whole, others = read_logits(path), read_anchors(anchors)
    count = len(whole.cosine)
    logits = whole.take(np.unique(np.linspace(0, count - 1, min(count, _ROWS)).astype(np.int64)))
    made = MadeWith.of(read_record(scores) or {})
    k, s = made.k or 10, made.s or 1.0
    with messages.progress("LID", len(logits.cosine), "samples") as advance:
        seen = Seen(logits, log_lid(logits.embeddings, others, k=k, s=s, progress=advance), k, s)
    chosen = [Segment(*ends) for ends in segments] or thirds(logits.cosine)
    return softmax_part(file_digest(path), seen, chosen, of=count, resamples=resamples, seed=seed)
