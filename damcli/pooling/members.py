"""The embeddings of a list's images, and what they say of the templates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from damcli.errors import InputError
from damcli.protocols.naming import name_ids
from damcli.protocols.templates import TemplateList
from damcli.storage.embeddings import EmbeddingSource, Names, Rows

_SHOWN = 3


@dataclass(frozen=True, eq=False)
class Found:
    """The images of a list that have an embedding, Q of P, and their templates, T of all.

    Attributes
    ----------
    places
        (Q,) where each stands in the list.
    rows
        (Q,) where it stands in the embeddings.
    templates
        (Q,) its template, 0 to T - 1.
    present
        (T,) the number of each template in the list.
    names
        (T,) their ids.
    missing
        (P - Q,) the places of the images without an embedding.
    empty
        The templates that have none.
    rule
        By which the embeddings were found.
    """

    places: Rows
    rows: Rows
    templates: Rows
    present: Rows
    names: Names
    missing: Rows
    empty: list[str]
    rule: str

    @property
    def count(self) -> int:
        """T, how many templates there are."""
        return len(self.present)

    def kept(self, columns: Mapping[str, Names]) -> dict[str, Names]:
        """Take the values of these templates from columns of the list's."""
        return {name: column[self.present] for name, column in columns.items()}


def find_members(
    embeddings: EmbeddingSource, templates: TemplateList, *, skip_missing: bool
) -> Found:
    """Find the embeddings of a list's images, by one rule for all of them.

    Raises
    ------
    InputError
        An image has no embedding and that was not allowed, or none has.
    """
    import pandas as pd

    images = templates.images
    naming = name_ids(images.names, embeddings.ids)
    index = pd.Index(embeddings.ids, dtype=object)
    wanted = pd.Index([naming.names.get(name) for name in images.names], dtype=object)
    rows = np.asarray(index.get_indexer(wanted), dtype=np.int64)[images.codes]
    places, missing = np.flatnonzero(rows >= 0), np.flatnonzero(rows < 0)
    if len(missing) and not (skip_missing and len(places)):
        raise InputError(
            templates.origin,
            missing_text(templates, missing, embeddings.origin),
            hint=f"its ids look like '{embeddings.ids[0]}'"
            + (
                "; leave such images out, counted and named, with --skip-missing"
                * bool(len(places))
            ),
        )
    present, codes = np.unique(templates.templates.codes[places], return_inverse=True)
    empty = np.setdiff1d(np.arange(len(templates.templates.names)), present)
    return Found(
        places=places,
        rows=rows[places],
        templates=codes.astype(np.int64),
        present=present,
        names=templates.templates.names[present],
        missing=missing,
        empty=[str(name) for name in templates.templates.names[empty]],
        rule=naming.rule,
    )


def missing_text(templates: TemplateList, missing: Rows, origin: str) -> str:
    """Count and name the images without an embedding."""
    ids = templates.images.values
    some = ", ".join(f"'{ids[at]}' (row {templates.lines[at]})" for at in missing[:_SHOWN])
    more = ", …" if len(missing) > _SHOWN else ""
    return (
        f"{len(missing):,} of {len(templates):,} images have no embedding in {origin}: {some}{more}"
    )


def subjects_of(embeddings: EmbeddingSource, templates: TemplateList, found: Found) -> Names | None:
    """Say whom each template shows: as the list says, else as all its images do.

    Raises
    ------
    InputError
        The images of a template show different subjects.
    """
    people = embeddings.subjects
    if people is not None:
        wrong = _differing(people, found)
        if len(wrong):
            place = int(wrong[0])
            code = found.templates[place]
            first = people[found.rows[found.templates == code][0]]
            raise InputError(
                templates.origin,
                f"template '{found.names[code]}' holds images of '{first}' and of "
                f"'{people[found.rows[place]]}' "
                f"('{templates.images.values[found.places[place]]}'); "
                "expected one subject a template",
                row=int(templates.lines[found.places[place]]),
                hint=f"mend the list, or the subjects of {embeddings.origin}",
            )
    if templates.subjects is not None:
        return templates.subjects[found.present]
    return None if people is None else _of_first(people, found)


def said_of_templates(
    embeddings: EmbeddingSource, found: Found, *, without: Collection[str] = ()
) -> tuple[dict[str, Names], list[str]]:
    """Take the groups in which the images of every template agree; name the others."""
    agreed, dropped = {}, []
    for name, column in embeddings.groups.items():
        if name in without:
            continue
        if len(_differing(column, found)):
            dropped.append(name)
        else:
            agreed[name] = _of_first(column, found)
    return agreed, dropped


def _of_first(column: Names, found: Found) -> Names:
    first = np.unique(found.templates, return_index=True)[1]
    return np.asarray(column[found.rows[first]])


def _differing(column: Names, found: Found) -> Rows:
    """Find the images of which a column says something else than of their template's first."""
    differs = column[found.rows] != _of_first(column, found)[found.templates]
    return np.flatnonzero(differs.astype(bool))
