"""Who turns groups of images into embeddings: this process, or others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Protocol

from damcli.embedding.batches import batches
from damcli.embedding.run import Done, Embedder
from damcli.models.preprocessing import Preprocessing
from damcli.sources.framing import Framing
from damcli.sources.source import ImageSource
from damcli.storage.embeddings import Rows


class Workers(Protocol):
    """Those who embed; the results are the same whoever they are."""

    def embedded(self, groups: Sequence[Rows]) -> AbstractContextManager[Iterator[Done]]:
        """Give what comes of each group of rows, in their order."""
        ...


@dataclass(frozen=True)
class AtWork:
    """Reads and embeds images in this process.

    Attributes
    ----------
    source, framing, preprocessing
        What makes the pixels.
    embedder
        The model.
    threads
        How many decode.
    """

    source: ImageSource
    framing: Framing
    preprocessing: Preprocessing
    embedder: Embedder
    threads: int

    @contextmanager
    def embedded(self, groups: Sequence[Rows]) -> Iterator[Iterator[Done]]:
        """Give what comes of each group of rows, in their order."""
        made = self.source, self.framing, self.preprocessing
        with batches(*made, groups, workers=self.threads) as ready:
            yield map(self.embedder.embed, ready)
