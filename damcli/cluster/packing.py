"""Work packed for other processes: what is large is not packed but referred to.

Embeddings that all workers can read from the same file are read there; other large arrays
are sent once. What is packed comes from this process alone, over Dask's own connections.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from damcli.cluster.tasks import Tasks
from damcli.errors import InputError
from damcli.storage.anchors import Anchors
from damcli.storage.digests import file_digest
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import read_anchors, read_embeddings

_LARGE = 1 << 16  # bytes of an array that is worth sending apart
_FILES: dict[tuple[FileRef, str], Embeddings] = {}
_READING = Lock()


class FileRef(NamedTuple):
    """Embeddings in a file that workers read themselves."""

    path: str
    digest: str
    anchors: bool

    def load(self, origin: str) -> Embeddings:
        """Read the file, once in each process.

        Raises
        ------
        InputError
            It cannot be read here, or is another file.
        """
        with _READING:
            if (self, origin) not in _FILES:
                found = digest_here(self.path)
                if found != self.digest:
                    raise InputError(
                        self.path,
                        "cannot be read by a worker"
                        if found is None
                        else f"is another file to a worker, of SHA-256 {found[:12]}…; expected "
                        f"{self.digest[:12]}…",
                        hint="let all workers see the same files",
                    )
                read = read_anchors if self.anchors else read_embeddings
                _FILES[self, origin] = replace(read(self.path), origin=origin)
            return _FILES[self, origin]


def digest_here(path: str) -> str | None:
    """Return the SHA-256 of a file as this process sees it; None where it cannot be read."""
    try:
        return file_digest(Path(path))
    except OSError:
        return None


def forget_files() -> None:
    """Let go of all files that were read for tasks."""
    with _READING:
        _FILES.clear()


class Packed(NamedTuple):
    """Something packed; ``data`` are futures of what was sent apart."""

    content: bytes
    data: list[Any]


class Packer:
    """Packs what tasks need.

    Parameters
    ----------
    tasks
        The cluster.
    """

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._files: dict[int, tuple[Embeddings, FileRef | None]] = {}
        self._sent: dict[int, tuple[Any, Any]] = {}

    def share(self, *read: Embeddings) -> None:
        """Let workers read these from their files, where all of them can.

        Raises
        ------
        InputError
            A worker finds another file of this name.
        """
        for one in read:
            if one.path is not None and id(one) not in self._files:
                self._files[id(one)] = one, self._file_of(one)

    def _file_of(self, one: Embeddings) -> FileRef | None:
        path = str(Path(str(one.path)).resolve())
        found = self._tasks.everywhere("digest", digest_here, path)
        for worker, digest in found.items():
            if digest not in (None, one.digest):
                raise InputError(
                    one.origin,
                    f"is another file to worker {worker}, of SHA-256 {str(digest)[:12]}…; expected "
                    f"{str(one.digest)[:12]}…, as here",
                    hint="let all workers see the same files, or none of them",
                )
        readable = all(digest is not None for digest in found.values())
        return FileRef(path, str(one.digest), isinstance(one, Anchors)) if readable else None

    def pack(self, thing: Any) -> Packed:
        """Pack anything, code included."""
        import cloudpickle

        data: list[Any] = []

        class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
            def persistent_id(inner, obj: Any) -> Any:  # noqa: N805
                if isinstance(obj, Embeddings):
                    _, file = self._files.get(id(obj), (obj, None))
                    return None if file is None else (file, obj.origin)
                if isinstance(obj, np.ndarray) and obj.nbytes >= _LARGE:
                    data.append(self._send(obj))
                    return len(data) - 1
                return None

        content = io.BytesIO()
        Pickler(content).dump(thing)
        return Packed(content.getvalue(), data)

    def _send(self, array: Any) -> Any:
        """Send an array to all workers, once."""
        if id(array) not in self._sent:
            future = self._tasks.client.scatter(array, broadcast=True, hash=False)
            self._sent[id(array)] = array, future
        return self._sent[id(array)][1]


def unpack(content: bytes, data: Sequence[Any]) -> Any:
    """Restore what was packed, on a worker."""

    class Unpickler(pickle.Unpickler):
        def persistent_load(inner, reference: Any) -> Any:  # noqa: N805
            if isinstance(reference, int):
                return data[reference]
            file, origin = reference
            return file.load(origin)

    return Unpickler(io.BytesIO(content)).load()
