"""The scores of another list for the same pairs, in the order of the first list."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.protocols.scores import ScoreChunk, ScoreList
from damcli.storage.spool import Spool

_RECORD = np.dtype([("pair", np.int64), ("label", np.int8), ("score", np.float64)])
_CHUNK = 1 << 18
_HINT = "score the same pair list with both, and keep the columns probe_id and reference_id"


class _Ids:
    """Numbers for ids, the same for all lists, so that a pair becomes one integer."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def pairs(self, chunk: ScoreChunk, places: tuple[int, int]) -> NDArray[np.int64]:
        """Return a number for each pair of a chunk."""
        probe, reference = (self._column(chunk, place) for place in places)
        return (probe << 32) | reference

    def _column(self, chunk: ScoreChunk, place: int) -> NDArray[np.int64]:
        column = chunk.column(place)
        known = self._numbers
        numbers = [known.setdefault(str(name), len(known)) for name in column.names]
        return np.array(numbers, dtype=np.int64)[column.codes]

    def names(self, pair: int) -> str:
        """Give a pair its ids back, for a message."""
        ids = list(self._numbers)
        return f"'{ids[pair >> 32]}', '{ids[pair & 0xFFFFFFFF]}'"


def joined_scores(scores: ScoreList, other: ScoreList, name: str) -> Spool:
    """Read the scores that another list has for the same pairs.

    Lists in the same order pass through in bounded memory; otherwise some 70 bytes a row must
    fit. A pair that stands several times meets its repetitions in order.

    Parameters
    ----------
    scores, other
        The lists, both with ids of probes and references.
    name
        The column of ``other``.

    Returns
    -------
    Spool
        float64, in the order of ``scores``.

    Raises
    ------
    InputError
        A list has no ids, they do not hold the same pairs, or labels differ.
    """
    ids = _Ids()
    mine, theirs = _records(scores, None, ids), _records(other, name, ids)
    same_order = len(mine) == len(theirs) and all(
        np.array_equal(one["pair"], two["pair"])
        for one, two in zip(mine.chunks(_CHUNK), theirs.chunks(_CHUNK), strict=True)
    )
    if not same_order:
        theirs = _reordered(scores, other, mine, theirs, ids)
    return _checked(scores, other, mine, theirs, ids)


def _records(scores: ScoreList, name: str | None, ids: _Ids) -> Spool:
    places = scores.id_places()
    spool = Spool(_RECORD)

    def take(chunk: ScoreChunk) -> None:
        records = np.zeros(len(chunk), dtype=_RECORD)
        records["pair"] = ids.pairs(chunk, places)
        records["label"] = chunk.labels
        if name is not None:
            records["score"] = chunk.scores(name)
        spool.append(records)

    scores.read(take)
    return spool


def _reordered(scores: ScoreList, other: ScoreList, mine: Spool, theirs: Spool, ids: _Ids) -> Spool:
    pairs, found = (
        np.concatenate([records["pair"] for records in spool.chunks(_CHUNK)])
        for spool in (mine, theirs)
    )
    order, other_order = (np.argsort(one, kind="stable") for one in (pairs, found))
    if len(pairs) != len(found) or (pairs[order] != found[other_order]).any():
        raise _different(scores, other, pairs, found, ids)
    rows = np.empty(len(pairs), dtype=np.int64)
    rows[order] = other_order
    whole = np.concatenate(list(theirs.chunks(_CHUNK)))
    spool = Spool(_RECORD)
    for start in range(0, len(rows), _CHUNK):
        spool.append(whole[rows[start : start + _CHUNK]])
    return spool


def _different(
    scores: ScoreList,
    other: ScoreList,
    mine: NDArray[np.int64],
    theirs: NDArray[np.int64],
    ids: _Ids,
) -> InputError:
    both, counts = np.unique(np.concatenate([mine, theirs]), return_inverse=True)
    surplus = np.bincount(counts[: len(mine)], minlength=len(both)) - np.bincount(
        counts[len(mine) :], minlength=len(both)
    )
    first = ids.names(int(both[np.flatnonzero(surplus)[0]]))
    return InputError(
        other.origin,
        f"lacks {surplus[surplus > 0].sum():,} pairs of {scores.origin} and has "
        f"{-surplus[surplus < 0].sum():,} others, {first} for one; expected the same pairs",
        hint=_HINT,
    )


def _checked(scores: ScoreList, other: ScoreList, mine: Spool, theirs: Spool, ids: _Ids) -> Spool:
    found = Spool(np.float64)
    for one, two in zip(mine.chunks(_CHUNK), theirs.chunks(_CHUNK), strict=True):
        wrong = np.flatnonzero(one["label"] != two["label"])
        if len(wrong):
            at = int(wrong[0])
            raise InputError(
                other.origin,
                f"label {two['label'][at]} of the pair {ids.names(int(one['pair'][at]))}; "
                f"expected {one['label'][at]}, its label in {scores.origin}",
                hint="one of the two lists is mislabelled",
            )
        found.append(two["score"])
    return found
