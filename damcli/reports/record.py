"""How scores were made, in words for a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NAMES = {
    "command": "command",
    "damcli_version": "damcli of the scores",
    "model_name": "model",
    "model": "model, SHA-256",
    "pairs": "pairs, SHA-256",
    "embeddings": "embeddings, SHA-256",
    "gallery": "gallery, SHA-256",
    "anchor_kind": "anchors, kind",
    "anchor_count": "anchors, number",
    "anchors_dropped": "anchors, left out",
    "anchors_looked_at": "anchors cleared by looking at",
    "anchors": "anchors, SHA-256",
    "lidr": "lidr, SHA-256",
    "calibration": "calibration, SHA-256",
    "threshold": "threshold, SHA-256",
    "k": "k",
    "s": "s",
    "combine": "form",
    "linear": "Eq. 3 itself, not its logarithm",
    "lid": "LID",
    "allow_overlap": "overlap allowed",
}
_WORDS = {"True": "yes", "False": "no"}


def recorded(record: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known, the most telling first; what was not used is left out."""
    known = {name: str(value) for name, value in record.items() if str(value) != "None"}
    for name in [*_NAMES, *(other for other in known if other not in _NAMES)]:
        if name in known:
            yield _NAMES.get(name, name), _WORDS.get(known[name], known[name])
