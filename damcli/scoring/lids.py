"""The LIDs of those embeddings that are scored, and the scores that they make possible."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from damcli.lid.source import AnchorLid, LidSource
from damcli.scoring.compatibility import check_disjoint
from damcli.scoring.scorer import DamForm, Metric, Scorer
from damcli.scoring.sides import Sides


@dataclass(frozen=True)
class LidTaker:
    """Takes the LIDs of those embeddings that are scored.

    Attributes
    ----------
    source
        Where they come from; None for cosine alone.
    form
        How DAM is taken.
    more_metrics
        The scores that come after it.
    allow_overlap
        Let anchors show people that are scored.
    progress
        Called with the embeddings done since the last call.
    """

    source: LidSource | None
    form: DamForm
    more_metrics: tuple[Metric, ...]
    allow_overlap: bool
    progress: Callable[[int], None] | None

    def scorer(self, sides: Sides) -> Scorer:
        """Make the scorer of both sides.

        Raises
        ------
        InputError
            Anchors show what is scored, and may not.
        """
        source = self.source
        if source is None:
            return Scorer(sides.probes, sides.references)
        metrics = (self.form.metric(source.metric), *self.more_metrics)
        if isinstance(source, AnchorLid) and not self.allow_overlap:
            sides.check(partial(check_disjoint, anchors=source.anchors))
        lids = sides.each(source.log_lid, self.progress, source)
        return Scorer(sides.probes, sides.references, *lids, self.form, metrics)
