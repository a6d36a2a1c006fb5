"""The files that a score is made of: embeddings of both sides, and where LIDs come from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.anchor_options import nameless
from damcli.cli.console import STDOUT, Messages, usage_error

if TYPE_CHECKING:
    from damcli.lid.pooled import LidOf
    from damcli.lid.source import LidSource


def check_lid_options(
    anchors: Path | None,
    lidr: Path | None,
    k: int | None,
    s: float | None,
    *,
    product: bool = False,
    linear: bool = False,
    pooled: bool = False,
) -> None:
    """Refuse options about LIDs that do not go together, before any file is read."""
    if anchors is not None and lidr is not None:
        raise usage_error("--anchors and --lidr exclude each other: LIDs come from one of them")
    check_scale(s)
    if anchors is None and lidr is None and not pooled:
        asked = {"-k": k is not None, "-s": s is not None, "--linear": linear}
        asked["--combine product"] = product
        for option, given in asked.items():
            if given:
                raise usage_error(f"{option} is about DAM, which needs --anchors or --lidr")


def check_scale(s: float | None) -> None:
    """Refuse a scale that is none."""
    if s is not None and not 0 < s < float("inf"):
        raise usage_error(f"-s {s:g}: expected a number above 0")


def check_pair_options(
    pairs: str | None,
    all_pairs: bool,
    output: str | None,
    as_json: bool,
    as_csv: bool,
    skip_missing: bool,
    *,
    protocol: str | None = None,
    ways: str = "a pair list or --all-pairs",
) -> None:
    """Refuse options about pairs that do not go together, before any file is read."""
    if (pairs is not None) + all_pairs + (protocol is not None) != 1:
        raise usage_error(f"give either {ways}")
    if as_json and as_csv:
        raise usage_error("--json and --csv exclude each other")
    if output == STDOUT and (as_json or as_csv):
        raise usage_error("-o - and --json or --csv would both write to stdout")
    if all_pairs and skip_missing:
        raise usage_error("--skip-missing goes with a pair list: of all pairs, none is missing")


def read_sides(
    embeddings: Path,
    gallery: Path | None,
    anchors: Path | None,
    lidr: Path | None,
    k: int | None,
    s: float | None,
    messages: Messages,
) -> dict[str, Any]:
    """Read the files, by their roles; those that are not given are None."""
    from damcli.storage.files import read_anchors, read_embeddings
    from damcli.storage.lidr import read_lidr

    sides: dict[str, Any] = {"embeddings": read_embeddings(embeddings)}
    sides["gallery"] = None if gallery is None else read_embeddings(gallery)
    sides["anchors"] = None if anchors is None else read_anchors(anchors)
    sides["lidr"] = None if lidr is None else read_lidr(lidr)
    if anchors is not None:
        tell_anchors(sides["anchors"], 10 if k is None else k, messages)
    if lidr is not None:
        tell_lidr(sides["lidr"], k, s, messages)
    return sides


def source_of(
    sides: dict[str, Any], k: int | None, s: float | None, lid: LidOf = "own"
) -> LidSource | None:
    """Return where LIDs come from."""
    from damcli.lid.pooled import lid_of

    return lid_of(lid, sides["embeddings"], sides["anchors"], sides["lidr"], k=k, s=s)


def pooled_from(source: LidSource | None) -> dict[str, str | None]:
    """Return the SHA-256, by its role, of what pooled LIDs were taken from."""
    known = {} if source is None else source.describe()
    pooled, _, role = str(known.get("source")).partition(" ")
    return {role: known["sha256"]} if pooled == "pooled" else {}


def tell_anchors(found: Any, k: int, messages: Messages) -> None:
    """Say what anchors were read, and what is odd about them."""
    from damcli.storage.anchors import NAMELESS

    messages.say(f"{len(found):,} {found.kind} anchors from {found.origin}")
    if len(found) < k:
        messages.warn(more_than_there_are(found.origin, len(found), k))
    if NAMELESS in found.attributes:
        messages.warn(nameless(found.origin))
    if "looked_at_evaluation_set" in found.attributes:
        messages.say(
            "these anchors were cleared of near-duplicates of "
            f"{found.attributes['looked_at_evaluation_set']}"
        )


def tell_lidr(found: Any, k: int | None, s: float | None, messages: Messages) -> None:
    """Say what regressor was read; refuse another k or s than it was fitted with."""
    for option, wanted, fitted in (("-k", k, found.k), ("-s", s, found.s)):
        if wanted is not None and wanted != fitted:
            raise usage_error(
                f"{option} {wanted:g}: {found.origin} was fitted with {option} {fitted:g}; "
                "leave it out"
            )
    messages.say(
        f"{found.origin}: LIDs as from {found.anchor_count:,} anchors, k = {found.k}, "
        f"s = {found.s:g}"
    )


def more_than_there_are(origin: str, count: int, k: int) -> str:
    """Say that all anchors count where more neighbours were asked for."""
    return f"{origin}: holds {count:,} anchors, so k is {count}, not {k}"
