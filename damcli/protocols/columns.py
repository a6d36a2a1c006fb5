"""What the columns of a pair list mean: by their header, or by their place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from damcli.errors import InputError

PROBE_NAMES = ("probe_id", "probe", "id1", "image1", "file1", "path1", "template1", "enroll")
REFERENCE_NAMES = (
    *("reference_id", "reference", "id2", "image2", "file2", "path2", "template2"),
    *("gallery_id", "gallery", "test"),
)
LABEL_NAMES = ("label", "same", "is_same", "issame", "genuine", "target", "match")
FOLD_NAMES = ("fold", "split")
LABELS = {"1": 1, "0": 0, "1.0": 1, "0.0": 0, "target": 1, "nontarget": 0, "true": 1, "false": 0}
_LABEL_HINT = "write 1 for genuine, 0 for impostor; leave the column out where it is not known"


@dataclass(frozen=True)
class Layout:
    """Which column holds what, by place."""

    names: tuple[str, ...]
    probe: int
    reference: int
    label: int | None = None
    fold: int | None = None
    groups: dict[str, int] = field(default_factory=dict)
    header: bool = False


def layout_of(first: Sequence[str], origin: str) -> Layout:
    """Tell the layout from the first row: its header where it is one, else the places."""
    lowered = [cell.strip().lower() for cell in first]
    if len(first) < 2:
        raise InputError(
            origin,
            f"one column ('{first[0] if first else ''}'); expected probe_id,reference_id[,label]",
            row=1,
            hint="separate the columns by commas, tabs or spaces",
        )
    if any(name in lowered for name in PROBE_NAMES) and any(
        name in lowered for name in REFERENCE_NAMES
    ):
        return _from_header(lowered, tuple(cell.strip() for cell in first), origin)
    return _from_places(first)


def _from_header(lowered: list[str], names: tuple[str, ...], origin: str) -> Layout:
    def place(known: tuple[str, ...]) -> int | None:
        return next((lowered.index(name) for name in known if name in lowered), None)

    check_distinct(names, origin)
    probe, reference = place(PROBE_NAMES), place(REFERENCE_NAMES)
    label, fold = place(LABEL_NAMES), place(FOLD_NAMES)
    assert probe is not None
    assert reference is not None
    taken = {probe, reference, label, fold}
    groups = {name: i for i, name in enumerate(names) if i not in taken}
    return Layout(names, probe, reference, label, fold, groups, header=True)


def check_distinct(names: Sequence[str], origin: str) -> None:
    """Refuse a header that names two columns alike: nobody could say which is meant."""
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise InputError(
            origin,
            f"two columns named '{twice}'; expected distinct names",
            row=1,
            hint="rename one",
        )


def refuse_fractions(schema: Any, places: Sequence[int], origin: str) -> None:
    """Refuse ids that a Parquet file holds as fractions: 7.0 is nobody's name.

    Parameters
    ----------
    schema
        Arrow's; None of a text, where every cell is what it says.
    places
        The columns of ids.
    origin
        The file.

    Raises
    ------
    InputError
        One of them is of such a type.
    """
    if schema is None:
        return
    import pyarrow as pa

    for column in map(schema.field, places):
        if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type):
            raise InputError(
                origin,
                f"{column.name} of type {column.type}; expected text or whole numbers",
                hint="write ids as text, which keeps their leading zeros too",
            )


def _from_places(first: Sequence[str]) -> Layout:
    names = tuple(f"column{i}" for i in range(1, len(first) + 1))
    width = len(first)
    if width == 3 and _is_label(first[0]) and not _is_label(first[2]):
        return Layout(names, probe=1, reference=2, label=0)
    groups = {names[i]: i for i in range(3, width)}
    return Layout(names, probe=0, reference=1, label=2 if width > 2 else None, groups=groups)


def _is_label(cell: str) -> bool:
    return cell.strip().lower() in LABELS


def bad_label(origin: str, cell: str, row: int) -> InputError:
    """Say that a label is neither 1 nor 0."""
    hint = _LABEL_HINT
    if row == 1:
        hint = (
            "if row 1 is a header, name its columns probe_id,reference_id,label; otherwise " + hint
        )
    return InputError(origin, f"label '{cell}'; expected 1 or 0", row=row, hint=hint)
