"""Lists of which images make up which template: IJB's layout, and damcli's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from damcli.errors import InputError
from damcli.protocols.batches import STDIN, TextTable
from damcli.protocols.columns import check_distinct, refuse_fractions
from damcli.protocols.pairs import Coded, coded
from damcli.protocols.templates import TemplateList
from damcli.sources.decoding import IMAGE_SUFFIXES
from damcli.storage.embeddings import Names, Rows
from damcli.storage.tables import ID_NAMES

_ROWS = "template_id,media_id,id[,weight]"
_NAMES = {
    "template": ("template_id", "template", "tid"),
    "media": ("media_id", "media", "medium", "mid", "video"),
    "image": ("sample_id", *ID_NAMES, "image", "file", "filename", "path"),
    "weight": ("weight", "detector_score"),
    "subject": ("subject", "subject_id", "identity", "person_id"),
}
_IJB = ("image", "template", "media")
_PLACES = ("template", "media", "image", "weight")


class _Layout(NamedTuple):
    names: tuple[str, ...]
    places: dict[str, str]
    """The column that plays each part."""
    header: bool


def read_templates(path: Path | str) -> TemplateList:
    """Read which images make up which template.

    Parameters
    ----------
    path
        IJB's ``*_face_tid_mid.txt`` (image, template, medium), or a list with the columns
        ``template_id,media_id,id[,weight]``, in any order under a header, which may have
        ``subject`` and further columns too, and may lack ``media_id``: each image is then a
        medium of its own. Plain or ``.gz``/``.zst``/``.bz2``; Parquet; ``-`` for stdin.

    Raises
    ------
    InputError
        The file is not of these layouts, a cell is empty or no weight, an image stands twice in
        one medium, or the rows of a template differ in a column that tells of the template.
    """
    table = TextTable(str(path), _ROWS)
    names, places, header = _layout(table.first, table.origin)
    ids = [names.index(places[role]) for role in ("image", "template")]
    refuse_fractions(table.schema, ids, table.origin)
    batches = [one for one in table.batches(names, skip_first=header) if len(one)]
    if not batches:
        raise InputError(table.origin, f"holds a header but no rows; expected {_ROWS}")
    lines = np.concatenate([np.asarray(one.lines, dtype=np.int64) for one in batches])
    columns = {name: _column(batches, names.index(name)) for name in names}
    roles = {role: columns[name] for role, name in places.items()}
    for role in set(roles) - {"weight"}:
        _require_cells(roles[role], places[role], lines, table.origin)
    templates, images = roles["template"], roles["image"]
    medium = roles.get("media")
    media = np.arange(len(lines)) if medium is None else _combined(templates.codes, medium.codes)
    _require_once(media, templates, images, lines, table.origin)
    weight = roles.get("weight")
    of_template = {
        name: _of_templates(templates, column, name, lines, table.origin)
        for name, column in columns.items()
        if name == places.get("subject") or name not in places.values()
    }
    return TemplateList(
        origin=table.origin,
        templates=templates,
        media=media,
        images=images,
        lines=lines,
        weights=None if weight is None else _weights(weight, lines, table.origin),
        weighted_by="none" if weight is None else f"column {places['weight']}",
        subjects=of_template.pop(places["subject"]) if "subject" in places else None,
        groups=of_template,
        path=None if str(path) == STDIN else Path(path),
    )


def _layout(first: Sequence[str], origin: str) -> _Layout:
    """Name the columns, and say which of them plays which part."""
    cells = tuple(cell.strip() for cell in first)
    lowered = {cell.lower(): cell for cell in reversed(cells)}
    places = {
        role: next((lowered[name] for name in known if name in lowered), "")
        for role, known in _NAMES.items()
    }
    if places["template"] and places["image"]:
        check_distinct(cells, origin)
        return _Layout(cells, {role: name for role, name in places.items() if name}, header=True)
    if {"probe_id", "reference_id"} & set(lowered):
        raise InputError(
            origin,
            f"is a list of pairs ('{','.join(cells)[:60]}'); expected {_ROWS}",
            row=1,
            hint="pairs are for damcli score, once the templates are made",
        )
    image, *numbers = cells
    if image.lower().endswith(IMAGE_SUFFIXES) and [n.isdigit() for n in numbers] == [True, True]:
        return _Layout(_IJB, {role: role for role in _IJB}, header=False)
    if len(cells) not in (3, 4):
        raise InputError(
            origin,
            f"{len(cells)} columns ('{' '.join(cells)[:60]}'); expected {_ROWS}",
            row=1,
            hint="name them in a header: template_id, media_id, id, weight, subject, …",
        )
    names = _PLACES[: len(cells)]
    return _Layout(names, {role: role for role in names}, header=False)


def _column(batches: Sequence[Any], place: int) -> Coded:
    import pyarrow as pa

    return coded(pa.chunked_array([one.column(place) for one in batches]).combine_chunks())


def _require_cells(column: Coded, name: str, lines: Rows, origin: str) -> None:
    for place in np.flatnonzero(column.names == ""):
        row = int(lines[np.flatnonzero(column.codes == place)[0]])
        raise InputError(origin, f"an empty {name}; expected {_ROWS}", row=row)


def _combined(one: Rows, other: Rows) -> Rows:
    """Give the pairs of two codes numbers from 0 on."""
    keys = one * (int(other.max()) + 1) + other
    return np.asarray(np.unique(keys, return_inverse=True)[1], dtype=np.int64)


def _require_once(media: Rows, templates: Coded, images: Coded, lines: Rows, origin: str) -> None:
    keys = media * len(images.names) + images.codes
    first = np.unique(keys, return_index=True)[1]
    if len(first) < len(keys):
        again = np.ones(len(keys), dtype=bool)
        again[first] = False
        place = int(np.flatnonzero(again)[0])
        before = int(lines[np.flatnonzero(keys == keys[place])[0]])
        raise InputError(
            origin,
            f"'{images.values[place]}' stands in that medium of template "
            f"'{templates.values[place]}' already, in row {before}; expected each image once",
            row=int(lines[place]),
            hint="drop one of the two rows: it would count twice",
        )


def _of_templates(templates: Coded, column: Coded, name: str, lines: Rows, origin: str) -> Names:
    """Take what a column says of each template, which all its rows must say alike."""
    first = np.unique(templates.codes, return_index=True)[1]
    wrong = np.flatnonzero(column.codes != column.codes[first][templates.codes])
    if len(wrong):
        place = int(wrong[0])
        before = column.values[first[templates.codes[place]]]
        raise InputError(
            origin,
            f"{name} '{column.values[place]}' for template '{templates.values[place]}', which "
            f"has '{before}' above; expected one {name} a template",
            row=int(lines[place]),
            hint="mend the list, or leave the column out",
        )
    return np.asarray(column.values[first])


def _weights(column: Coded, lines: Rows, origin: str) -> NDArray[np.float64]:
    values = np.empty(len(column.names))
    for place, cell in enumerate(column.names):
        try:
            values[place] = float(cell)
        except ValueError:
            values[place] = np.nan
        if not (np.isfinite(values[place]) and values[place] >= 0):
            row = int(lines[np.flatnonzero(column.codes == place)[0]])
            hint = f"if row 1 is a header, name its columns {_ROWS}" if row == 1 else None
            raise InputError(
                origin, f"weight '{cell}'; expected a number not below 0", row=row, hint=hint
            )
    return np.asarray(values[column.codes])
