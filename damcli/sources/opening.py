"""What a name stands for: one door to images of every kind."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from damcli.errors import InputError
from damcli.sources.arrays import npy_source, npz_source
from damcli.sources.bin_files import bin_source
from damcli.sources.decoding import IMAGE_SUFFIXES
from damcli.sources.filenames import FileSource, folder_source, is_pattern, pattern_source
from damcli.sources.lines import text_suffix
from damcli.sources.lists import LIST_SUFFIXES, list_source, source_of_lines
from damcli.sources.recordio import record_source
from damcli.sources.source import ImageSource

STDIN = "-"
_PACKED: dict[str, Callable[[Path], ImageSource]] = {
    ".bin": bin_source,
    ".rec": record_source,
    ".npy": npy_source,
    ".npz": npz_source,
}


def open_source(
    name: str, *, root: Path | None = None, listed: Iterable[str] | None = None
) -> ImageSource:
    """Open a source of images.

    ====================================  ===================================================
    ``name``                              ids and subjects
    ====================================  ===================================================
    a folder                              paths in it; the first folder on the way
    a quoted pattern, ``'faces/**/*.jpg'``  the same, from the folder before the first wildcard
    ``.csv``, ``.tsv``, ``.txt``, ``.lst``  a list: `damcli.sources.lists.list_source`
    ``-``                                 the lines of ``listed``, as a list
    ``.bin``                              insightface's pairs: numbers, no subjects
    ``.rec``                              RecordIO: its keys, its labels
    ``.npy``, ``.npz``                    arrays of images: row numbers, or the arrays in it
    an image                              its file name
    ====================================  ===================================================

    Parameters
    ----------
    name
        As the user gave it.
    root
        What the paths of a list are relative to, and may not lead out of: by default the
        list's folder, or the current folder for ``-``, and then they may lead anywhere.
    listed
        The lines of stdin.

    Raises
    ------
    InputError
        There is no such source, it is damaged, or there is no image in it. A file that a
        list names and that is missing or broken shows only when it is read.
    """
    path = Path(name)
    is_list = text_suffix(name) in LIST_SUFFIXES and not path.is_dir()
    if root is not None and name != STDIN and not is_list:
        raise InputError(name, "is no list, so a root for its paths has no meaning")
    if name == STDIN:
        return source_of_lines(listed or (), "stdin", root or Path(), walled=root is not None)
    if is_pattern(name):
        return pattern_source(name)
    if path.is_dir():
        return folder_source(path)
    if not path.exists():
        raise InputError(name, "no such file or folder; expected images", hint="check the name")
    if is_list:
        return list_source(path, root)
    if path.suffix.lower() in _PACKED:
        return _PACKED[path.suffix.lower()](path)
    if name.lower().endswith(IMAGE_SUFFIXES):
        return FileSource(name, path.parent, [path.name], [path.name])
    raise InputError(
        name,
        f"unknown kind of source '{path.suffix}'; expected a folder, an image, or "
        f"{', '.join((*LIST_SUFFIXES, *_PACKED))}",
        hint="give a list of paths the ending .txt",
    )
