"""Images in files of their own: what a folder tree or a pattern names."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from damcli.errors import InputError
from damcli.sources.decoding import IMAGE_SUFFIXES, decode
from damcli.sources.source import Image, Sample

_PACKED = (".rec", ".bin", ".npy", ".npz")
_SHOWN = 3


class FileSource:
    """Images in files; see `damcli.sources.source.ImageSource`.

    Parameters
    ----------
    origin
        The source, as the user named it.
    base
        The folder that the paths are relative to.
    paths
        N paths; a file that is not there shows when it is read.
    ids
        N unique ids.
    subjects
        Whom each shows, or None.
    groups
        Further columns, by name.
    notes
        What the user should hear of.
    walled
        Refuse to read what links lead to out of the folder.
    """

    unit = "image"

    def __init__(
        self,
        origin: str,
        base: Path,
        paths: Sequence[str],
        ids: Sequence[str],
        subjects: Sequence[str] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        notes: Iterable[str] = (),
        *,
        walled: bool = False,
    ) -> None:
        self.origin = origin
        self.notes = tuple(notes)
        self._base = str(base)
        self._paths = paths
        self._ids = ids
        self._subjects = subjects
        self._groups = dict(groups or {})
        self._wall = os.path.realpath(base) if walled else None

    @property
    def has_subjects(self) -> bool:
        """Whether every sample says whom it shows."""
        return self._subjects is not None

    @property
    def group_names(self) -> tuple[str, ...]:
        """The further columns that every sample has."""
        return tuple(self._groups)

    def __len__(self) -> int:
        return len(self._ids)

    def id_of(self, row: int) -> str:
        """Return the id of an image."""
        return self._ids[row]

    def place_of(self, row: int) -> str:
        """Return the path of an image."""
        return os.path.normpath(os.path.join(self._base, self._paths[row]))  # noqa: PTH118

    def subject_of(self, row: int) -> str | None:
        """Return whom an image shows."""
        return None if self._subjects is None else self._subjects[row]

    def read(self, row: int) -> Sample:
        """Read and decode an image; see `damcli.sources.source.ImageSource.read`."""
        groups = {name: column[row] for name, column in self._groups.items()}
        place = self.place_of(row)
        if self._wall is not None:
            require_behind(self._wall, place)
        return Sample(read_image(place), self.subject_of(row), groups)


def require_behind(wall: str, place: str) -> None:
    """Refuse a file that links lead to out of a folder, whose path holds no link."""
    real = os.path.realpath(place)
    if os.path.commonpath([wall, real]) != wall:
        raise InputError(place, f"is or lies behind a link out of --root, to {real}")


def read_image(place: str) -> Image:
    """Read and decode one file."""
    try:
        with open(place, "rb", buffering=0) as file:  # noqa: PTH123 - half the time of pathlib
            data = file.read()
    except OSError as error:
        said = "no such file" if isinstance(error, FileNotFoundError) else error.strerror
        raise InputError(place, f"{said}; expected an image") from error
    return decode(data, place)


def folder_source(folder: Path) -> FileSource:
    """Take all images of a folder and of the folders in it.

    Their ids are their paths in the folder. The first folder on an image's way is its
    subject; where an image lies in the folder itself, none has a subject. Hidden files,
    hidden folders and files without an image's suffix are left out and noted.

    Raises
    ------
    InputError
        There is no image in it, or it cannot be read.
    """
    left_out = _LeftOut()
    return _tree(str(folder), folder, _walk(folder, left_out), left_out)


def pattern_source(pattern: str) -> FileSource:
    """Take the images whose paths match a shell pattern; ``**`` stands for any folders.

    Ids are the paths from the last folder before the first wildcard; subjects are as in
    `folder_source`.

    Raises
    ------
    InputError
        No image matches.
    """
    parts = Path(pattern).parts
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    base = Path(*parts[:fixed])
    found = set(glob.iglob(os.path.join(*parts[fixed:]), root_dir=base, recursive=True))  # noqa: PTH118, PTH207
    left_out = _LeftOut()
    matches = (PurePath(name).as_posix() for name in found if not (base / name).is_dir())
    return _tree(pattern, base, (name for name in matches if left_out.passes(name)), left_out)


def is_pattern(name: str) -> bool:
    """Whether a name has wildcards and is not simply that of a file."""
    return glob.has_magic(name) and not Path(name).exists()


class _LeftOut:
    """Decides by the name what is an image, and keeps count of what is not."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, list[str]] = {}

    def passes(self, name: str) -> bool:
        if PurePath(name).name.startswith("."):
            return self.add("hidden", name)
        if not name.lower().endswith(IMAGE_SUFFIXES):
            return self.add("not images by their suffix", name)
        if not name.isprintable() and not _is_unicode(name):
            return self.add("of a name that is not UTF-8", name)
        return True

    def add(self, why: str, name: str) -> bool:
        self._counts[why] = self._counts.get(why, 0) + 1
        self._examples.setdefault(why, [])
        if len(self._examples[why]) < _SHOWN:
            self._examples[why].append(ascii(name)[1:-1] if not _is_unicode(name) else name)
        return False

    def packed(self) -> str | None:
        """Return a packed data set among what was left out."""
        names = [name for examples in self._examples.values() for name in examples]
        return next((name for name in sorted(names) if name.endswith(_PACKED)), None)

    def notes(self) -> Iterator[str]:
        for why, count in sorted(self._counts.items()):
            examples = sorted(self._examples[why])
            more = ", …" if count > len(examples) else ""
            yield f"{count} left out, {why}: {', '.join(examples)}{more}"


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _walk(folder: Path, left_out: _LeftOut) -> Iterator[str]:
    """Yield the images' paths in the folder; linked folders are entered, but no loop."""

    def refuse(error: OSError) -> None:
        raise InputError(str(error.filename), f"cannot be read ({error.strerror})") from error

    start = str(folder)
    for place, folders, files in os.walk(start, onerror=refuse, followlinks=True):
        inside = PurePath(place).relative_to(start).as_posix().removeprefix(".")
        prefix = f"{inside}/" if inside else ""
        folders[:] = [name for name in sorted(folders) if _enters(place, prefix, name, left_out)]
        for name in sorted(files):
            if left_out.passes(prefix + name):
                yield prefix + name


def _enters(place: str, prefix: str, name: str, left_out: _LeftOut) -> bool:
    if name.startswith("."):
        return left_out.add("hidden", f"{prefix}{name}/")
    path = Path(place, name)
    if path.is_symlink():
        target = path.resolve()
        if any(above.resolve().is_relative_to(target) for above in path.parents):
            return left_out.add("links to a folder that they lie in", f"{prefix}{name}/")
    return True


def _tree(origin: str, base: Path, found: Iterable[str], left_out: _LeftOut) -> FileSource:
    names = sorted(found)
    notes = list(left_out.notes())
    if not names:
        packed = left_out.packed()
        raise InputError(
            origin,
            "no image" + "".join(f"; {note}" for note in notes),
            hint=f"give the packed file: {base / packed}"
            if packed
            else f"expected files that end in {', '.join(IMAGE_SUFFIXES)}; in a pattern, **/ "
            "goes into folders",
        )
    direct = [name for name in names if "/" not in name]
    subjects = None if direct else [sys.intern(name.split("/", 1)[0]) for name in names]
    if direct and len(direct) < len(names):
        notes.append(
            f"no subjects: {len(direct)} of {len(names)} images lie in no folder, such as "
            f"{direct[0]}"
        )
    elif subjects and subjects[0] == subjects[-1]:
        notes.append(f"one subject: all images lie in the folder '{subjects[0]}'")
    return FileSource(origin, base, names, names, subjects, notes=notes)
