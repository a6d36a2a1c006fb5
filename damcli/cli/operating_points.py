"""Thresholds on the command line: picking one, and applying one to other scores."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages, command_line
from damcli.errors import InputError

if TYPE_CHECKING:
    from damcli.evaluation.thresholds import Decisions, PickedThreshold
    from damcli.scoring.all_pairs import AllPairScores
    from damcli.scoring.matches import Matches
    from damcli.scoring.score import ListedScores
    from damcli.scoring.table import Accept
    from damcli.storage.made_with import MadeWith
    from damcli.storage.threshold import Threshold

PICK_ANEW = "damcli evaluate dev.csv --threshold-at 1e-4 -o threshold.json"


def pick(
    matches: Matches, far: float, score: str, resamples: int, seed: int, messages: Messages
) -> PickedThreshold:
    """Pick a threshold, and say what it is worth."""
    from damcli.evaluation.thresholds import FEW_FALSE_ACCEPTS, pick_threshold

    with messages.progress("picking the threshold", matches.impostor_count, "pairs") as advance:
        picked = pick_threshold(
            matches, far, score=score, resamples=resamples, seed=seed, progress=advance
        )
    messages.say(f"the threshold is one on '{score}'")
    if picked.allowed < FEW_FALSE_ACCEPTS:
        messages.warn(
            f"FAR {far:g} allows {picked.allowed} false accepts of these pairs: the threshold "
            f"hangs on the {picked.allowed + 1} highest impostor scores, and its interval ends "
            "too low"
        )
    return picked


def in_file(
    picked: PickedThreshold,
    *,
    distance: bool,
    scores_sha256: str | None,
    made_with: MadeWith | None,
) -> Threshold:
    """Lay a picked threshold out for its file, in the user's own unit."""
    from damcli.storage.threshold import Development, Threshold

    sign = -1.0 if distance else 1.0
    interval = picked.threshold.interval
    decisions = picked.decisions
    return Threshold(
        score=picked.score,
        distance=distance,
        far=picked.far,
        threshold=sign * picked.threshold.value,
        threshold_interval=None if interval is None else _sorted(*(sign * end for end in interval)),
        development=Development(
            scores_sha256=scores_sha256,
            genuine=decisions.genuine,
            impostors=decisions.impostors,
            subjects=picked.subjects,
            allowed_false_accepts=picked.allowed,
            false_accepts=decisions.false_accepts,
            true_accepts=decisions.true_accepts,
            achieved_far=decisions.far.value,
            tar=decisions.tar.value,
            achieved_far_interval=decisions.far.interval,
            tar_interval=decisions.tar.interval,
            resampled=picked.resampled,
            resamples=picked.resamples,
            seed=picked.seed,
        ),
        made_with=made_with,
    )


def _sorted(one: float, other: float) -> tuple[float, float]:
    return min(one, other), max(one, other)


def write(path: Path, threshold: Threshold, force: bool, messages: Messages) -> None:
    """Write a threshold, and say what is not known of it."""
    from damcli import __version__
    from damcli.storage.threshold import write_threshold

    about = {"command": command_line(), "damcli_version": __version__}
    write_threshold(path, threshold, about=about, force=force)
    messages.say(f"wrote the threshold to {path}")
    if threshold.made_with is None:
        messages.warn(
            "what these scores were made with is not known, so the threshold cannot be checked "
            "against what it is applied to; damcli score records it"
        )


def check(threshold: Threshold, made_with: MadeWith | None, where: str, messages: Messages) -> None:
    """Refuse a threshold that does not belong to the scores; warn where that is not known."""
    from damcli.scoring.compatibility import check_threshold

    check_threshold(threshold, made_with, where)
    if threshold.made_with is None or made_with is None:
        unknown = where if made_with is None else f"the scores behind {threshold.origin}"
        messages.warn(f"it is not known what made {unknown}: is the threshold meant for these?")
    elif None in (threshold.made_with.model, made_with.model):
        messages.warn(
            f"the model is not known on both sides, so {threshold.origin} may be another model's"
        )


def place_of(threshold: Threshold, columns: Sequence[str], where: str) -> int:
    """Find the column that a threshold belongs to."""
    if threshold.score not in columns:
        raise InputError(
            threshold.origin,
            f"a threshold on '{threshold.score}'; expected one on {' or '.join(columns)}, "
            f"the scores of {where}",
            hint=f"score or evaluate that column too, or pick a threshold on one of these: "
            f"{PICK_ANEW}",
        )
    return list(columns).index(threshold.score)


def decide(
    threshold: Threshold, matches: Matches, metric: str, resamples: int, seed: int
) -> Decisions:
    """Count what a threshold accepts of labelled pairs."""
    from damcli.evaluation.thresholds import apply_threshold

    value = -threshold.threshold if threshold.distance else threshold.threshold
    return apply_threshold(
        matches, value, score=metric, far=threshold.far, resamples=resamples, seed=seed
    )


def document(threshold: Threshold, decisions: Decisions | None) -> dict[str, Any]:
    """Make the part of a JSON document that tells of a threshold and its decisions."""
    from damcli.storage.threshold import as_document

    found = None
    if decisions is not None:
        rates = {"achieved_far": decisions.far, "tar": decisions.tar}
        found = {
            **{name: asdict(decisions)[name] for name in ("genuine", "impostors")},
            "false_accepts": decisions.false_accepts,
            "true_accepts": decisions.true_accepts,
            **{name: rate.value for name, rate in rates.items()},
            **{f"{name}_interval": rate.interval for name, rate in rates.items()},
        }
    return {"threshold": as_document(threshold), "decisions": found}


def show(threshold: Threshold, decisions: Decisions | None, name: str, *, to_stderr: bool) -> None:
    """Print what a threshold accepts of these pairs beside what it accepted before."""
    from damcli.evaluation.results import Interval
    from damcli.reports.operating_points import print_decisions, threshold_title

    interval = threshold.threshold_interval
    title = threshold_title(
        threshold.threshold,
        None if interval is None else Interval(*interval),
        threshold.score,
        threshold.far,
        distance=threshold.distance,
    )
    rows = [("development pairs", _promised(threshold))]
    if decisions is not None:
        rows.append((name, decisions))
    print_decisions(title, rows, stream=sys.stderr if to_stderr else sys.stdout)


def _promised(threshold: Threshold) -> Decisions:
    from damcli.evaluation.results import Estimate, Interval
    from damcli.evaluation.thresholds import Decisions

    dev = threshold.development
    tar, far = (
        Estimate(value, None if ends is None else Interval(*ends))
        for value, ends in (
            (dev.tar, dev.tar_interval),
            (dev.achieved_far, dev.achieved_far_interval),
        )
    )
    return Decisions(dev.genuine, dev.impostors, dev.true_accepts, dev.false_accepts, tar, far)


def check_given(given: Threshold, about: dict[str, Any], messages: Messages) -> None:
    """Refuse a threshold that was picked on scores made otherwise than those to come."""
    from damcli.storage.made_with import MadeWith

    if given.distance:
        raise InputError(
            given.origin,
            "picked on distances; expected similarities, as damcli score gives them",
            hint=f"pick it on scores of damcli score: {PICK_ANEW}",
        )
    if given.made_with is None:
        raise InputError(
            given.origin,
            "picked on scores of unknown origin; expected those of damcli score",
            hint="pick it on a scores file that damcli score wrote, its .about.json beside it; "
            "or hold it against written scores: damcli evaluate scores.csv --threshold FILE",
        )
    check(given, MadeWith.of(about), "these pairs", messages)


def acceptance(
    given: Threshold | None, scores: ListedScores | AllPairScores
) -> tuple[Accept | None, str]:
    """Say by which score to accept, and what tables call it."""
    from damcli.scoring.table import Accept

    if given is None:
        return None, ""
    place = place_of(given, scores.scorer.columns, "these pairs")
    return Accept(place, given.threshold), scores.metrics[place]
