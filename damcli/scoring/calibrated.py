"""The calibrated score as a metric, and the check that it belongs to these files."""

from __future__ import annotations

from typing import Any, cast

from damcli.errors import InputError
from damcli.lid.source import LidSource
from damcli.metrics.calibrated import log_likelihood_ratio, posterior, terms_of
from damcli.metrics.dam import Combination
from damcli.scoring.scorer import Metric
from damcli.scoring.table import ScoredChunk
from damcli.storage.calibration import Calibration
from damcli.storage.embeddings import MODEL_DIGEST, Embeddings

CALIBRATED = "calibrated"
LLR_COLUMN = "llr"
PROBABILITY_COLUMN = "probability"
_HINT = "score as the calibration was made, or calibrate again with these files and settings"


def llr_metric(calibration: Calibration) -> Metric:
    """Return the log-likelihood ratio as a metric."""
    combine = cast(Combination, calibration.combine)

    def of(pairs: Any) -> Any:
        terms = terms_of(*pairs, lid_range=calibration.lid_range, combine=combine)
        return log_likelihood_ratio(calibration.coefficients, terms)

    return Metric(CALIBRATED, LLR_COLUMN, of)


def with_probability(chunk: ScoredChunk, prior: float) -> ScoredChunk:
    """Add the probability that a pair is genuine to a chunk that has an llr."""
    llr = chunk.scores[chunk.score_columns.index(LLR_COLUMN)]
    return chunk._replace(
        scores=[*chunk.scores, posterior(llr, prior)],
        score_columns=(*chunk.score_columns, PROBABILITY_COLUMN),
    )


def check_calibration(
    calibration: Calibration,
    source: LidSource | None,
    combine: Combination,
    embeddings: Embeddings,
    *,
    allow_mixed_models: bool = False,
) -> None:
    """Refuse a calibration that was made with other LIDs, settings or another model.

    Digests are compared as far as both sides know theirs.

    Raises
    ------
    InputError
        Something differs, or there are no LIDs at all.
    """
    if source is None:
        raise InputError(
            calibration.origin,
            f"needs LIDs from the {calibration.lid['source']} that it was made with",
            hint="give them with --anchors or --lidr",
        )
    mine, theirs = source.describe(), calibration.lid
    for name, what in (("source", "LIDs from"), ("k", "k ="), ("s", "s =")):
        if mine[name] != theirs.get(name):
            raise _differs(calibration, f"{what} {theirs.get(name)}", mine[name])
    if combine != calibration.combine:
        raise _differs(calibration, f"combine = {calibration.combine}", combine)
    if _differ(mine["sha256"], theirs.get("sha256")):
        raise _differs(
            calibration,
            f"{mine['source']} of SHA-256 {str(theirs['sha256'])[:12]}…",
            f"{str(mine['sha256'])[:12]}… of {source.origin}",
        )
    model = embeddings.attributes.get(MODEL_DIGEST)
    if _differ(model, theirs.get(MODEL_DIGEST)) and not allow_mixed_models:
        raise _differs(
            calibration,
            f"model {str(theirs[MODEL_DIGEST])[:12]}…",
            f"{str(model)[:12]}… of {embeddings.origin}",
        )


def _differ(one: Any, other: Any) -> bool:
    return bool(one) and bool(other) and one != other


def _differs(calibration: Calibration, made_with: str, found: Any) -> InputError:
    return InputError(calibration.origin, f"made with {made_with}; found {found}", hint=_HINT)
