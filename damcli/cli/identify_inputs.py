"""What ``damcli identify`` searches, and how much of it: its arguments and its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from damcli.cli.console import Messages, parse_number_list, usage_error
from damcli.errors import UserError
from damcli.storage.inputs import real_path

if TYPE_CHECKING:
    from damcli.protocols.ijb_search import OfficialSearch
    from damcli.storage.embeddings import Embeddings


def check_usage(
    probes: Path | None,
    galleries: list[Path],
    protocol: str | None,
    root: Path | None,
    embeddings: Path | None,
    skip_missing: bool,
) -> None:
    """Refuse arguments that do not go together, before any file is read."""
    if protocol is None:
        if probes is None or not galleries:
            raise usage_error("give probes and a gallery, or --protocol NAME --root DIR -e FILE")
        for option, given in (("--root", root), ("--embeddings", embeddings)):
            if given is not None:
                raise usage_error(f"{option} goes with --protocol")
        if skip_missing:
            raise usage_error("--skip-missing goes with --protocol: of two files, none is missing")
        if len({real_path(path) for path in galleries}) < len(galleries):
            raise usage_error("a gallery is given twice")
        return
    from damcli.protocols.ijb_search import SEARCHES

    if protocol not in SEARCHES:
        raise usage_error(f"--protocol {protocol}: expected one of {', '.join(SEARCHES)}")
    if probes is not None:
        raise usage_error("give either probes and a gallery, or --protocol")
    if root is None or embeddings is None:
        raise usage_error("--protocol NAME needs --root DIR and --embeddings FILE")


def parse_ranks(text: str) -> tuple[int, ...]:
    """Read ``1,5,10``; anything else is a usage error."""
    from damcli.identification.identify import check_ranks

    numbers = parse_number_list(text, "--ranks", "1,5,10")
    try:
        if any(not number.is_integer() for number in numbers):
            raise UserError("expected whole numbers from 1 on")
        ranks = tuple(int(number) for number in numbers)
        check_ranks(ranks)
    except UserError as error:
        raise usage_error(f"--ranks {text}: {error}") from error
    return ranks


def parse_fpirs(text: str) -> tuple[float, ...]:
    """Read ``1e-2,1e-1``; anything else is a usage error."""
    from damcli.identification.identify import check_fpirs

    fpirs = parse_number_list(text, "--fpir", "1e-2,1e-1")
    try:
        check_fpirs(fpirs)
    except UserError as error:
        raise usage_error(f"--fpir {text}: {error}") from error
    return fpirs


def open_official(protocol: str | None, root: Path | None) -> OfficialSearch | None:
    """Read the 1:N lists of a protocol, where one is named."""
    from damcli.protocols import ijb_search

    return None if protocol is None or root is None else ijb_search.open_search(protocol, root)


class Searched(NamedTuple):
    """Who is searched for, and the galleries."""

    probes: Embeddings
    galleries: list[Embeddings]
    digests: dict[str, str | None]
    """SHA-256 of the galleries' files, or of the protocol's lists, by their roles."""
    missing: int
    """How many templates of a protocol were left out."""


def read_searched(
    sides: dict[str, Any],
    probes: Path | None,
    galleries: list[Path],
    official: OfficialSearch | None,
    skip_missing: bool,
    messages: Messages,
) -> Searched:
    """Read who is searched for, and the galleries."""
    from damcli.protocols.ijb_search import fit_search
    from damcli.storage.digests import file_digest
    from damcli.storage.files import read_embeddings

    mine = sides["embeddings"]
    if official is None:
        assert probes is not None
        same = [real_path(path) == real_path(probes) for path in galleries]
        found = [
            mine if is_same else read_embeddings(path)
            for path, is_same in zip(galleries, same, strict=True)
        ]
        if any(same):
            messages.say(f"leave-one-out: {mine.origin} is probes and gallery")
        return Searched(mine, found, _by_number([one.digest for one in found]), 0)
    _warn_unless_pooled(mine, messages)
    fitted = fit_search(official, mine, skip_missing=skip_missing)
    for text in fitted.missing:
        messages.warn(text)
    digests = [file_digest(listed.path) for listed in official.lists]
    return Searched(
        fitted.probes,
        fitted.galleries,
        {"probe_list": digests[0], **_by_number(digests[1:], "gallery_list")},
        fitted.missing_count,
    )


def _by_number(digests: Sequence[str | None], role: str = "gallery") -> dict[str, str | None]:
    if len(digests) == 1:
        return {role: digests[0]}
    return {f"{role} ({number})": digest for number, digest in enumerate(digests, start=1)}


def _warn_unless_pooled(side: Embeddings, messages: Messages) -> None:
    from damcli.protocols.ijb_search import UNIT
    from damcli.protocols.naming import needs_pooling

    if needs_pooling(UNIT, side):
        messages.warn(f"{side.origin} does not say that it was pooled; expected {UNIT}, not images")
