"""What a cluster does for scoring, comparing and embedding."""

from __future__ import annotations

from collections.abc import Callable

from damcli.cluster.all_pairs import ClusterAllPairs
from damcli.cluster.embedded import ClusterAtWork
from damcli.cluster.listed import ClusterScores
from damcli.cluster.packing import Packer
from damcli.cluster.sides import ClusterSides
from damcli.cluster.tasks import Tasks
from damcli.embedding.at_work import AtWork
from damcli.scoring.all_pairs import AllPairScores
from damcli.scoring.score import ListedScores
from damcli.storage.embeddings import Embeddings


class ClusterWorkers:
    """The workers of a cluster, as `damcli.scoring.workers.Workers`.

    Parameters
    ----------
    tasks
        The cluster.
    """

    def __init__(self, tasks: Tasks) -> None:
        self.tasks = tasks
        self._packer = Packer(tasks)

    def share(self, *read: Embeddings | None) -> None:
        """Let workers read these from their files, where all of them can; else they are sent.

        Parameters
        ----------
        read
            Embeddings and anchors, whole, as they were read from their files.

        Raises
        ------
        InputError
            A worker finds another file of this name.
        """
        self._packer.share(*(one for one in read if one is not None))

    def embedding(self, opener: Callable[[], AtWork], here: AtWork) -> ClusterAtWork:
        """Return who embeds images for `damcli.embed`; see `ClusterAtWork`."""
        return ClusterAtWork(opener, here, self.tasks, self._packer)

    def sides(self, probes: Embeddings, references: Embeddings) -> ClusterSides:
        """Return both sides of pairs, of which the workers take LIDs."""
        return ClusterSides(probes, references, tasks=self.tasks, packer=self._packer)

    def listed(self, scores: ListedScores) -> ListedScores:
        """Return the same scores as the workers compute them."""
        return ClusterScores(scores, self.tasks, self._packer)

    def all_pairs(self, scores: AllPairScores) -> AllPairScores:
        """Return the same scores as the workers compute them."""
        return ClusterAllPairs(scores, self.tasks, self._packer)
