"""What ``damcli report`` finds out about one scores file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from damcli.cli.console import Messages, evaluate_with_progress
from damcli.errors import InputError

if TYPE_CHECKING:
    from damcli.evaluation import Evaluation
    from damcli.lid.outlook import Outlook
    from damcli.reports.figures import Picture
    from damcli.reports.page import Section
    from damcli.scoring.matches import MatchSpool
    from damcli.storage.embeddings import Embeddings

# Enough for bands that the eye cannot tell from those of more.
_BAND_RESAMPLES = 200
_WITH = {"anchors": "DAM-R", "lidr": "DAM-L"}


class Job(NamedTuple):
    """The options that hold for every scores file."""

    columns: tuple[str, ...]
    label: str | None
    fars: tuple[float, ...]
    groups: tuple[str, ...]
    resamples: int
    seed: int
    embeddings: Path | None
    anchors: Path | None


def section_of(scores: str, job: Job, messages: Messages) -> Section:
    """Evaluate one scores file, and draw its figures."""
    from damcli.cli.groups import evaluate_by_groups
    from damcli.evaluation.thresholds import main_score
    from damcli.protocols.scores import ScoreList
    from damcli.reports.cautions import cautions
    from damcli.reports.page import Section
    from damcli.scoring.listed import matches_of
    from damcli.storage.digests import file_digest
    from damcli.storage.made_with import read_record

    scored = ScoreList(scores, job.columns, job.label, job.groups)
    record = read_record(Path(scores))
    seen, probes = _look(scores, record, job, messages)
    matches = matches_of(scored)
    main = main_score(scored.metrics)
    names = _names(scored.metrics, record)
    matches.metrics = tuple(names.values())
    evaluation = evaluate_with_progress(matches, job.fars, job.resamples, job.seed, messages)
    groups = evaluate_by_groups(matches, evaluation, None, messages)
    said = cautions(evaluation, names[main], groups, record)
    pictures = _of_scores(matches, evaluation, job, messages)
    if seen is not None and probes is not None:
        pictures += _of_lids(seen, probes, job.groups)
        said += _of_anchors(seen)
    return Section(
        name=scores,
        digest=file_digest(Path(scores)),
        metric=names[main],
        evaluation=evaluation,
        groups=groups,
        record=record,
        cautions=said,
        pictures=pictures,
    )


def _names(metrics: Sequence[str], record: Mapping[str, Any] | None) -> dict[str, str]:
    """Call the column ``score`` what it is, where the record tells."""
    known = record or {}
    kinds = [name for role, name in _WITH.items() if str(known.get(role)) not in ("None", "")]
    names = {name: name for name in metrics}
    if "score" in names and len(kinds) == 1 and kinds[0] not in names:
        names["score"] = kinds[0]
    return names


def _of_scores(
    matches: MatchSpool, evaluation: Evaluation, job: Job, messages: Messages
) -> list[Picture]:
    from damcli.evaluation.roc import histograms, roc_curves
    from damcli.reports.figures import det_picture, histogram_picture, roc_picture

    resamples = min(job.resamples, _BAND_RESAMPLES)
    with messages.progress("bands", resamples, "resamples") as advance:
        curves = roc_curves(matches, resamples=resamples, seed=job.seed, progress=advance)
    told = [place for place, far in enumerate(job.fars) if evaluation.metrics[0].tars[place]]
    place = min(told, key=lambda one: job.fars[one], default=None)
    thresholds = [
        None if place is None else metric.points[place].threshold for metric in evaluation.metrics
    ]
    spread = histogram_picture(
        histograms(matches), None if place is None else job.fars[place], thresholds
    )
    drawn = [roc_picture(curves, job.fars), det_picture(curves, job.fars), spread]
    return [picture for picture in drawn if picture is not None]


def _look(
    scores: str, record: Mapping[str, Any] | None, job: Job, messages: Messages
) -> tuple[Outlook | None, Embeddings | None]:
    """Look at the anchors from the probes, if both were given."""
    if job.embeddings is None or job.anchors is None:
        return None, None
    from damcli.lid.outlook import outlook
    from damcli.storage.files import read_anchors, read_embeddings
    from damcli.storage.made_with import MadeWith

    probes, anchors = read_embeddings(job.embeddings), read_anchors(job.anchors)
    for role, side in (("embeddings", probes), ("anchors", anchors)):
        _check_digest(scores, record, role, side.origin, side.digest)
    made = MadeWith() if record is None else MadeWith.of(record)
    with messages.progress("LID", None, "embeddings") as advance:
        seen = outlook(probes, anchors, k=made.k or 10, s=made.s or 1.0, progress=advance)
    return seen, probes


def _check_digest(
    scores: str, record: Mapping[str, Any] | None, role: str, origin: str, digest: str | None
) -> None:
    """Refuse another file than the scores were made with."""
    recorded = None if record is None else record.get(role)
    if recorded in (None, "None") or digest is None or recorded == digest:
        return
    raise InputError(
        origin,
        f"has SHA-256 {digest[:12]}…; {scores} was made with {role} of {str(recorded)[:12]}…",
        hint=f"give the {role} that made the scores, or leave --embeddings and --anchors out",
    )


def _of_lids(seen: Outlook, probes: Embeddings, groups: Sequence[str]) -> list[Picture]:
    from damcli.reports.lid_figures import group_lid_picture, lid_picture, similarity_picture

    pictures = [similarity_picture(seen), lid_picture(seen)]
    for column in groups:
        labels = probes.groups.get(column)
        if labels is None:
            continue
        mine = labels[seen.probe_rows]
        by_group = {
            str(label): seen.probe_log_lid[mine == label]
            for label in dict.fromkeys(mine)
            if str(label).strip()
        }
        if by_group:
            pictures.append(group_lid_picture(column, by_group, seen))
    return pictures


def _of_anchors(seen: Outlook) -> list[str]:
    if not seen.is_far_apart:
        return []
    where = "emptier" if seen.more_crowded < 0.5 else "more crowded"
    return [
        f"The anchors may be out of domain: it is {where} around the probes than around the "
        f"anchors themselves (a probe's LID is above an anchor's with a chance of "
        f"{100 * seen.more_crowded:.0f} %; about 50 % is what anchors of the same kind give)."
    ]
