"""The 1:N lists of IJB-B and IJB-C: whose template each probe and each gallery entry is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from damcli.errors import InputError, UserError
from damcli.protocols.batches import TextTable
from damcli.protocols.naming import missing_text, name_ids, require_all
from damcli.protocols.official import CUT_SHORT, require_count, whole_number
from damcli.protocols.opening import find_official, under_meta
from damcli.storage.embeddings import Embeddings, as_names

_COLUMNS = ("TEMPLATE_ID", "SUBJECT_ID")
_ROWS = "TEMPLATE_ID,SUBJECT_ID,FILENAME,…"
UNIT = "templates"


class SearchCounts(NamedTuple):
    """How many templates the official lists hold."""

    probes: int
    galleries: dict[str, int]
    """By the name of the gallery in the name of its file."""


SEARCHES = {
    "ijbb": SearchCounts(10_270, {"S1": 931, "S2": 914}),
    "ijbc": SearchCounts(19_593, {"G1": 1_772, "G2": 1_759}),
}


@dataclass(frozen=True)
class ListedTemplates:
    """Templates of one list.

    Attributes
    ----------
    path
        The list.
    subjects
        Whom each template shows, by the template's number, in the order of the list.
    """

    path: Path
    subjects: dict[str, str]


@dataclass(frozen=True)
class OfficialSearch:
    """Probes, and the galleries that each of them is searched in by itself."""

    probes: ListedTemplates
    galleries: tuple[ListedTemplates, ...]

    @property
    def lists(self) -> tuple[ListedTemplates, ...]:
        """All lists, the probes first."""
        return (self.probes, *self.galleries)


def open_search(name: str, root: Path | str) -> OfficialSearch:
    """Read the 1:N lists of a protocol.

    Parameters
    ----------
    name
        ``ijbb`` or ``ijbc``.
    root
        The folder of the official files, or the list of probes itself, with the lists of the
        galleries beside it.

    Raises
    ------
    UserError
        The protocol has no 1:N search.
    InputError
        A list is not found, not of its layout, lacks templates, or the galleries do not hold
        each probe's subject exactly once.
    """
    if name not in SEARCHES:
        raise UserError(f"no 1:N search '{name}'; expected one of {', '.join(SEARCHES)}")
    official = SEARCHES[name]
    path = find_official(
        f"1:N probes of {name}", Path(root), under_meta(name, f"{name}_1N_probe_mixed.csv")
    )
    probes = _read(path, official.probes)
    galleries = tuple(
        _read(path.with_name(f"{name}_1N_gallery_{gallery}.csv"), count)
        for gallery, count in official.galleries.items()
    )
    _require_one_mate(probes, galleries)
    return OfficialSearch(probes, galleries)


def _read(path: Path, expected: int) -> ListedTemplates:
    table = TextTable(str(path), _ROWS)
    names = tuple(cell.strip() for cell in table.first)
    lacking = [column for column in _COLUMNS if column not in names]
    if lacking:
        raise InputError(
            table.origin,
            f"no column {lacking[0]}; expected a header {_ROWS}",
            row=1,
            hint=CUT_SHORT,
        )
    places = [names.index(column) for column in _COLUMNS]
    subjects: dict[str, str] = {}
    for batch in table.batches(names, skip_first=True):
        for row, template, subject in zip(
            batch.lines, *(batch.column(place).to_pylist() for place in places), strict=True
        ):
            number, person = (
                str(whole_number(cell.strip(), table.origin, row, column))
                for cell, column in zip((template, subject), _COLUMNS, strict=True)
            )
            if subjects.setdefault(number, person) != person:
                raise InputError(
                    table.origin,
                    f"subject {person} for template {number}, which shows subject "
                    f"{subjects[number]} above; expected one subject a template",
                    row=row,
                    hint="fetch the official file anew",
                )
    require_count(table.origin, len(subjects), expected, UNIT, "as the protocol has")
    return ListedTemplates(path, subjects)


def _require_one_mate(probes: ListedTemplates, galleries: tuple[ListedTemplates, ...]) -> None:
    """Refuse galleries that share a subject, or that lack the subject of a probe."""
    held: dict[str, Path] = {}
    for gallery in galleries:
        for subject in set(gallery.subjects.values()):
            if subject in held:
                raise InputError(
                    str(gallery.path),
                    f"holds subject {subject}, as does {held[subject].name}; expected galleries of "
                    "different people",
                    hint="fetch the official files anew",
                )
            held[subject] = gallery.path
    for template, subject in probes.subjects.items():
        if subject not in held:
            raise InputError(
                str(probes.path),
                f"template {template} shows subject {subject}, whom no gallery holds; expected "
                "each probe to have its mate in one gallery",
                hint="fetch the official files anew",
            )


class FittedSearch(NamedTuple):
    """The embeddings of a 1:N search, with the subjects that the lists give them."""

    probes: Embeddings
    galleries: list[Embeddings]
    missing: tuple[str, ...]
    """What has no embedding and was left out, in words for each list."""
    missing_count: int
    """How many templates that are."""


def fit_search(
    search: OfficialSearch, templates: Embeddings, *, skip_missing: bool = False
) -> FittedSearch:
    """Find the embeddings of the templates.

    Parameters
    ----------
    search
        The lists.
    templates
        Pooled embeddings, whose ids are the templates' numbers.
    skip_missing
        Leave out templates without an embedding, and tell them in ``missing``.

    Raises
    ------
    InputError
        A template has no embedding, or none of a list has one.
    """
    sides, missing, count = [], [], 0
    for listed in search.lists:
        naming = name_ids(listed.subjects, templates.ids, "numbers")
        if not (skip_missing and naming.names):
            require_all(str(listed.path), UNIT, naming, templates, what=UNIT)
        if naming.missing:
            count += len(naming.missing)
            missing.append(f"{listed.path}: {missing_text(naming, UNIT, templates)}")
        there = [number for number in listed.subjects if number in naming.names]
        found = templates.take(templates.rows_of(as_names(there)))
        people = as_names([listed.subjects[number] for number in there])
        sides.append(replace(found, subjects=people, origin=str(listed.path)))
    return FittedSearch(sides[0], sides[1:], tuple(missing), count)
