"""How a chunk of scored pairs is written; a form can be sent to where the scores are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from damcli.scoring.calibrated import with_probability
from damcli.scoring.formulas import escaped
from damcli.scoring.table import Accept, ScoredChunk, as_csv, as_table, columns_of
from damcli.storage.embeddings import Embeddings


class Part(NamedTuple):
    """A chunk in its form."""

    pairs: int
    accepted: int
    content: Any
    """A `pyarrow.Table`, or its rows as CSV."""


@dataclass(frozen=True)
class Form:
    """Makes of a chunk what is written.

    Attributes
    ----------
    probes, references
        Whose ids and subjects are written.
    accept
        What to decide by; None for scores alone.
    prior
        The share of genuine pairs; None for no column of probabilities.
    as_text
        Whether the columns are turned into CSV as well.
    escape
        Whether text that a spreadsheet would take for a formula is made plain.
    """

    probes: Embeddings
    references: Embeddings
    accept: Accept | None = None
    prior: float | None = None
    as_text: bool = False
    escape: bool = False

    def __call__(self, chunk: ScoredChunk) -> Part:
        """Make it."""
        accepted = 0 if self.accept is None else int(self.accept.of(chunk).sum())
        whole = chunk if self.prior is None else with_probability(chunk, self.prior)
        columns = columns_of(whole, self.probes, self.references, self.accept)
        table = as_table(escaped(columns) if self.escape else columns)
        content = as_csv(table) if self.as_text else table
        return Part(len(chunk.probe_rows), accepted, content)


def pairs_in(chunk: ScoredChunk) -> Part:
    """Count the pairs of a chunk that is not written."""
    return Part(len(chunk.probe_rows), 0, None)
