"""Who does the work of scoring: this process, or others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from damcli.scoring.sides import Sides
from damcli.storage.embeddings import Embeddings

if TYPE_CHECKING:
    from damcli.scoring.all_pairs import AllPairScores
    from damcli.scoring.score import ListedScores


class Workers(Protocol):
    """Those who take LIDs and score pairs; the results are the same whoever they are."""

    def sides(self, probes: Embeddings, references: Embeddings) -> Sides:
        """Return both sides of pairs, of which the workers take LIDs."""
        ...

    def listed(self, scores: ListedScores) -> ListedScores:
        """Return the same scores as the workers compute them."""
        ...

    def all_pairs(self, scores: AllPairScores) -> AllPairScores:
        """Return the same scores as the workers compute them."""
        ...


class ThisProcess:
    """Does everything itself."""

    def sides(self, probes: Embeddings, references: Embeddings) -> Sides:
        """Return both sides of pairs."""
        return Sides(probes, references)

    def listed(self, scores: ListedScores) -> ListedScores:
        """Return the scores as they are."""
        return scores

    def all_pairs(self, scores: AllPairScores) -> AllPairScores:
        """Return the scores as they are."""
        return scores


HERE = ThisProcess()
