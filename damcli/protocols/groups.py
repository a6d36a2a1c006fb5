"""Where a column of groups stands in a list of pairs or scores."""

from __future__ import annotations

from collections.abc import Sequence

from damcli.errors import InputError

SIDES = ("probe", "reference")


def side_columns(name: str) -> tuple[str, str]:
    """Name the columns that hold the groups of probes and references."""
    probe, reference = (f"{side}_{name}" for side in SIDES)
    return probe, reference


def listed_columns(name: str, columns: Sequence[str]) -> tuple[str, str] | None:
    """Find the columns of both sides' groups; a column of the pair itself serves both.

    Returns
    -------
    tuple of str or None
        None where the list has neither.
    """
    if name in columns:
        return name, name
    sides = side_columns(name)
    return sides if all(side in columns for side in sides) else None


def no_such_column(
    name: str, columns: Sequence[str], of_embeddings: Sequence[str], origin: str
) -> InputError:
    """Say that a column is not there, and which are."""
    known = list(dict.fromkeys([*_groupable(columns), *of_embeddings]))
    there = f"expected one of {', '.join(known)}" if known else "there are no further columns"
    return InputError(
        origin,
        f"no column '{name}' to group by; {there}",
        hint="groups stand in a column of the list, or as group/NAME in the embeddings; "
        "damcli score --group NAME writes those into its scores",
    )


def _groupable(columns: Sequence[str]) -> list[str]:
    """List what could be asked for: both sides' columns go by their common name."""
    stems = [name.removeprefix(f"{SIDES[0]}_") for name in columns]
    both = [stem for stem in stems if listed_columns(stem, columns) == side_columns(stem)]
    hidden = {column for stem in both for column in side_columns(stem)}
    return [name for name in columns if name not in hidden] + both
