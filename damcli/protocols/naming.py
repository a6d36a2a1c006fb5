"""Official ids to those of embeddings, which may lack a suffix or a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from damcli.errors import InputError
from damcli.protocols.official import IdKind, OfficialPairs
from damcli.protocols.pairs import Coded, PairChunk
from damcli.sources.decoding import IMAGE_SUFFIXES
from damcli.storage.embeddings import POOLED, Embeddings

_SUFFIXES = (*IMAGE_SUFFIXES, ".wav", ".flac", ".m4a")
_SHOWN = 3
WHOLE = "whole ids"
_POOLED_UNITS = {
    "templates": "damcli pool emb.h5 --templates ijbc_face_tid_mid.txt -o templates.h5",
    "videos": "damcli pool emb.h5 --by video -o videos.h5",
}


@dataclass(frozen=True)
class Naming:
    """How official ids became those of the embeddings.

    Attributes
    ----------
    rule
        In words.
    names
        The id of the embedding by the official id, as far as there is one.
    missing
        The official ids that have no embedding, in their order.
    """

    rule: str
    names: dict[str, str]
    missing: tuple[str, ...]


def name_ids(official: Iterable[str], present: Iterable[str], kind: IdKind = "paths") -> Naming:
    """Find the embedding of each official id, by one rule for all of them.

    Rules are, in this order: the whole id; the whole id but for its suffix; its last parts
    but for the suffix, from as many as the official ids have down to the file name alone. A
    rule by which one name would stand for two images is none. The first rule that finds
    every id is taken, or else the one that finds most.

    Parameters
    ----------
    official, present
        Ids of the protocol and of the embeddings.
    kind
        Numbers are known by the whole id only.
    """
    wanted, there = sorted(set(official)), set(present)
    best = Naming(WHOLE, {name: name for name in wanted if name in there}, ())
    if kind == "paths":
        depth = max(name.count("/") for name in wanted) + 1
        for parts in (None, *range(depth, 0, -1)):
            if len(best.names) == len(wanted):
                break
            names = _by_parts(wanted, there, parts)
            if names is not None and len(names) > len(best.names):
                best = Naming(_in_words(parts), names, ())
    return replace(best, missing=tuple(name for name in wanted if name not in best.names))


def _by_parts(wanted: list[str], there: set[str], parts: int | None) -> dict[str, str] | None:
    """Match ids by their last parts, all where None; None where that is ambiguous."""
    keys = {name: _key(name, parts) for name in wanted}
    asked = set(keys.values())
    if len(asked) < len(wanted):
        return None
    found: dict[str, str] = {}
    for name in there:
        key = _key(name, parts)
        if key in asked:
            if key in found:
                return None
            found[key] = name
    return {name: found[key] for name, key in keys.items() if key in found}


def _key(name: str, parts: int | None) -> str:
    lowered = name.lower()
    suffix = next((suffix for suffix in _SUFFIXES if lowered.endswith(suffix)), "")
    bare = name[: len(name) - len(suffix)]
    return bare if parts is None else "/".join(bare.split("/")[-parts:])


def _in_words(parts: int | None) -> str:
    if parts is None:
        return "whole ids but for the suffix"
    return f"the last {parts} parts of ids" if parts > 1 else "the file name alone"


class FittedPairs:
    """The pairs of a protocol under the embeddings' ids; see `OfficialPairs`.

    An id without an embedding stays as it is, so that scoring counts and names its pairs.
    """

    def __init__(self, pairs: OfficialPairs, probes: Naming, references: Naming) -> None:
        self._pairs = pairs
        self.origin = pairs.origin
        self.labelled = pairs.labelled
        self.has_folds = pairs.has_folds
        self.group_names = pairs.group_names
        self.files = pairs.files
        self.unit = pairs.unit
        self.id_kind = pairs.id_kind
        self.probes, self.references = probes, references

    def chunks(self) -> Iterator[PairChunk]:
        """Yield the pairs in order."""
        for chunk in self._pairs.chunks():
            yield replace(
                chunk,
                probes=_renamed(chunk.probes, self.probes),
                references=_renamed(chunk.references, self.references),
            )


def _renamed(column: Coded, naming: Naming) -> Coded:
    names = np.empty(len(column.names), dtype=object)
    names[:] = [naming.names.get(name, name) for name in column.names]
    return Coded(column.codes, names)


def fit_ids(
    pairs: OfficialPairs,
    embeddings: Embeddings,
    gallery: Embeddings | None = None,
    *,
    skip_missing: bool = False,
) -> FittedPairs:
    """Put the embeddings' ids in the place of the official ones; see `name_ids`.

    Parameters
    ----------
    pairs
        From `open_protocol`.
    embeddings
        Where the first of each pair stands, and the second too without a gallery.
    gallery
        Where the second stands.
    skip_missing
        Let ids have no embedding.

    Raises
    ------
    InputError
        The official file is not what it should be, or an id has no embedding.
    """
    probes: set[str] = set()
    others: set[str] = set()
    for chunk in pairs.chunks():
        probes.update(chunk.probes.names)
        others.update(chunk.references.names)
    if gallery is None:
        one = name_ids(probes | others, embeddings.ids, pairs.id_kind)
        fitted = FittedPairs(pairs, one, one)
    else:
        fitted = FittedPairs(
            pairs,
            name_ids(probes, embeddings.ids, pairs.id_kind),
            name_ids(others, gallery.ids, pairs.id_kind),
        )
    if not skip_missing:
        references = embeddings if gallery is None else gallery
        require_all(pairs.origin, pairs.unit, fitted.probes, embeddings)
        require_all(pairs.origin, pairs.unit, fitted.references, references)
    return fitted


def missing_text(naming: Naming, unit: str, side: Embeddings) -> str:
    """Count and name the ids without an embedding."""
    total = len(naming.names) + len(naming.missing)
    some = ", ".join(f"'{name}'" for name in naming.missing[:_SHOWN])
    more = ", …" if len(naming.missing) > _SHOWN else ""
    return (
        f"{len(naming.missing):,} of {total:,} {unit} have no embedding in {side.origin}: "
        f"{some}{more}"
    )


def needs_pooling(unit: str, side: Embeddings) -> bool:
    """Whether templates or videos are asked of a file that does not say it holds any."""
    return unit in _POOLED_UNITS and POOLED not in side.attributes


def _hint(unit: str, naming: Naming, side: Embeddings, what: str) -> str:
    looks = f"its ids look like '{side.ids[0]}'"
    if needs_pooling(unit, side) and not naming.names:
        return f"{looks}: if they are of images, pool them: {_POOLED_UNITS[unit]}"
    return f"{looks}; leave such {what} out, counted and named, with --skip-missing"


def require_all(
    origin: str, unit: str, naming: Naming, side: Embeddings, *, what: str = "pairs"
) -> None:
    """Refuse ids without an embedding.

    Parameters
    ----------
    origin
        Their list, for messages.
    unit
        What an id names, in the plural.
    naming
        What was found of them.
    side
        The embeddings.
    what
        What could be left out instead.

    Raises
    ------
    InputError
        There are some.
    """
    if naming.missing:
        raise InputError(
            origin, missing_text(naming, unit, side), hint=_hint(unit, naming, side, what)
        )
