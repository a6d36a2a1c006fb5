"""The protocols by their names: where the official file lies, and how a result is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from damcli.errors import InputError, UserError
from damcli.protocols.agedb import read_agedb
from damcli.protocols.bins import read_insightface_bin
from damcli.protocols.calfw import read_calfw
from damcli.protocols.cfp import read_cfp
from damcli.protocols.ijb import IJBB_PAIRS, IJBC_PAIRS, IjbPairs
from damcli.protocols.lfw import read_lfw, read_rfw
from damcli.protocols.official import OfficialPairs
from damcli.protocols.trials import Trials
from damcli.protocols.ytf import read_ytf
from damcli.sources.filenames import require_behind

LOW_FARS = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
IJB_FARS = (*LOW_FARS, 1e-1)
Metric = Literal["folds", "tar"]


@dataclass(frozen=True)
class OfficialProtocol:
    """A protocol.

    Attributes
    ----------
    read
        Makes the pairs of the file.
    places
        Where under a root the file may lie, as patterns, the first of which to match counts.
    metric
        What the protocol's results are told in: accuracy over folds, or TAR@FAR.
    fars
        The false accept rates of its tables.
    group
        The groups of pairs that the metric is told for, each by itself.
    """

    read: Callable[[Path], OfficialPairs]
    places: tuple[str, ...]
    metric: Metric = "folds"
    fars: tuple[float, ...] = LOW_FARS
    group: str | None = None


def _under(folders: str, *names: str) -> tuple[str, ...]:
    """List the names in the root itself, then in each of some folders."""
    return tuple(f"{folder}{name}" for folder in ("", *folders.split()) for name in names)


def under_meta(which: str, name: str) -> tuple[str, ...]:
    """List where a file of IJB-B or IJB-C may lie."""
    return _under(f"meta/ {which.upper()}/meta/ {which}/meta/ {which.upper()}/ {which}/", name)


def _ijb(which: str, pairs: int) -> OfficialProtocol:
    places = under_meta(which, f"{which}_template_pair_label.txt")
    return OfficialProtocol(partial(IjbPairs, pairs=pairs), places, "tar", IJB_FARS)


_CFP = _under("Protocol/ cfp-dataset/Protocol/", "Pair_list_F.txt")
PROTOCOLS: dict[str, OfficialProtocol] = {
    "lfw": OfficialProtocol(read_lfw, _under("lfw/ LFW/ lfw_home/", "pairs.txt", "lfw_pairs.txt")),
    "calfw": OfficialProtocol(read_calfw, _under("calfw/ CALFW/", "pairs_CALFW.txt")),
    "cplfw": OfficialProtocol(read_calfw, _under("cplfw/ CPLFW/", "pairs_CPLFW.txt")),
    "cfp-ff": OfficialProtocol(partial(read_cfp, kind="FF"), _CFP),
    "cfp-fp": OfficialProtocol(partial(read_cfp, kind="FP"), _CFP),
    "agedb": OfficialProtocol(
        read_agedb,
        _under("AgeDB/ agedb/ AgeDB-30/", "04_FINAL_protocol_30_years.mat", "agedb_30_pair.txt"),
    ),
    "ytf": OfficialProtocol(read_ytf, _under("YouTubeFaces/ YTF/ ytf/", "splits.txt")),
    "rfw": OfficialProtocol(
        read_rfw,
        _under("txts/ test/txts/ RFW/txts/", "African/African_pairs.txt"),
        group="race",
    ),
    "ijbb": _ijb("ijbb", IJBB_PAIRS),
    "ijbc": _ijb("ijbc", IJBC_PAIRS),
    "insightface-bin": OfficialProtocol(read_insightface_bin, ("*.bin",)),
    "trials": OfficialProtocol(
        Trials, ("trials", "trials.txt", "veri_test2.txt", "veri_test.txt"), "tar"
    ),
}


def open_protocol(name: str, root: Path | str) -> OfficialPairs:
    """Open the pairs of a protocol.

    Parameters
    ----------
    name
        One of `PROTOCOLS`.
    root
        The folder in which the official files lie as they were downloaded; or the official
        file itself, where it lies elsewhere or has another name.

    Returns
    -------
    OfficialPairs
        Pairs for `damcli.score`. Ids are paths under the root, as ``damcli embed`` names
        images; see `damcli.protocols.naming.fit_ids` where embeddings have others.

    Raises
    ------
    UserError
        There is no such protocol.
    InputError
        The file is not found, not of its layout, lacks pairs, or is a link out of the root.
    """
    if name not in PROTOCOLS:
        raise UserError(f"no protocol '{name}'; expected one of {', '.join(PROTOCOLS)}")
    protocol = PROTOCOLS[name]
    root = Path(root)
    pairs = protocol.read(find_official(f"pairs of {name}", root, protocol.places))
    if root.is_dir():
        for file in pairs.files:
            require_behind(os.path.realpath(root), str(file))
    return pairs


def find_official(what: str, root: Path, places: tuple[str, ...]) -> Path:
    """Find an official file.

    Parameters
    ----------
    what
        It, in words.
    root
        The folder that it lies under; or the file itself.
    places
        Patterns of where it may lie, the first of which to match counts.

    Raises
    ------
    InputError
        It lies in none of these places, is a link out of the root, or several files match one
        of them.
    """
    if root.is_file():
        return root
    hint = "give the folder that holds the official files, or the file itself: --root FILE"
    if not root.exists():
        raise InputError(str(root), "no such folder", hint=hint)
    for place in places:
        found = sorted(path for path in root.glob(place) if path.is_file())
        if len(found) > 1:
            listed = ", ".join(path.name for path in found)
            raise InputError(str(root), f"holds {listed}; expected one {place}", hint=hint)
        if found:
            require_behind(os.path.realpath(root), str(found[0]))
            return found[0]
    raise InputError(str(root), f"holds no {what}; looked for {', '.join(places)}", hint=hint)
