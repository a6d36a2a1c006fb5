"""Pure functions of embeddings: cosine similarity and the DAM scores."""

from damcli.metrics.dam import COMBINATIONS, log_dam
from damcli.metrics.similarity import all_similarities, pair_similarities

__all__ = ["COMBINATIONS", "all_similarities", "log_dam", "pair_similarities"]
