"""Images embedded by workers, some batches a task."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Any

from damcli.cluster.packing import Packer, unpack
from damcli.cluster.tasks import Tasks
from damcli.embedding.at_work import AtWork
from damcli.embedding.run import Done
from damcli.errors import UserError
from damcli.sources.source import ImageSource
from damcli.storage.embeddings import Rows

_GROUPS = 8  # batches a task: decoding runs ahead within it
_OPENED: dict[bytes, AtWork] = {}
_OPENING = Lock()


@dataclass(frozen=True)
class ClusterAtWork:
    """Lets workers read and embed images, a `damcli.embedding.at_work.Workers`.

    Attributes
    ----------
    opener
        Opens source and model where it is called; it is called once on each worker.
    here
        What it opens here, to compare with.
    tasks, packer
        The cluster.
    """

    opener: Callable[[], AtWork]
    here: AtWork
    tasks: Tasks
    packer: Packer

    @contextmanager
    def embedded(self, groups: Sequence[Rows]) -> Iterator[Iterator[Done]]:
        """Give what comes of each group of rows, in their order."""
        packed = self.packer.pack((self.opener, _fingerprint(self.here)))
        shares = (groups[start : start + _GROUPS] for start in range(0, len(groups), _GROUPS))
        futures = (self.tasks.submit("embed", _embed, *packed, share) for share in shares)
        yield (self._placed(done) for found in self.tasks.in_order(futures) for done in found)

    def _placed(self, done: Done) -> Done:
        """Name places as they are called here, and not by the paths that workers open."""
        source = self.here.source
        rejects = [one._replace(place=source.place_of(one.row)) for one in done.rejects]
        odd = [one._replace(place=source.place_of(one.row)) for one in done.odd]
        return done._replace(rejects=rejects, odd=odd)


def _fingerprint(opened: AtWork) -> dict[str, str]:
    """Say what must be the same for all who embed."""
    return {
        "images": _ids_digest(opened.source),
        "model": opened.embedder.network.digest,
        "runtime": opened.embedder.network.runtime,
        "framing": opened.framing.describe(),
        "preprocessing": opened.preprocessing.as_json(),
    }


def _ids_digest(source: ImageSource) -> str:
    digest = hashlib.sha256()
    for row in range(len(source)):
        digest.update(source.id_of(row).encode(errors="surrogatepass") + b"\0")
    return f"{len(source)}, {digest.hexdigest()[:12]}"


def _embed(content: bytes, data: list[Any], groups: Sequence[Rows]) -> list[Done]:
    """Embed some groups; runs on a worker."""
    with _opened(content, data).embedded(groups) as done:
        return list(done)


def _opened(content: bytes, data: list[Any]) -> AtWork:
    """Open source and model once in this process.

    Raises
    ------
    UserError
        They are not those of the process that asks.
    """
    with _OPENING:
        if content not in _OPENED:
            opener, expected = unpack(content, data)
            opened = opener()
            found = _fingerprint(opened)
            for name, value in expected.items():
                if found[name] != value:
                    raise UserError(
                        f"a worker finds {name} {found[name]}; expected {value}, as here",
                        hint="let all workers see the same files, and run on the same device",
                    )
            _OPENED.clear()
            _OPENED[content] = opened
        return _OPENED[content]
