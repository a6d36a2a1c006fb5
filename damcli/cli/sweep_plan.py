"""The lists of ``damcli sweep``: which k, s, and numbers of anchors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from damcli.cli.console import Messages, parse_number_list, usage_error
from damcli.cli.sides import more_than_there_are
from damcli.errors import UserError

if TYPE_CHECKING:
    from damcli.storage.anchors import Anchors
    from damcli.sweeping.settings import Plan

_SEEDS = 5


@dataclass(frozen=True)
class Asked:
    """What was asked for, before the anchors are read."""

    plan: Plan
    any_k: bool
    """No list of k was given: those of the default that the anchors allow."""


def parse_plan(
    k: str | None, s: str | None, sizes: str | None, seeds: int | None, seed: int
) -> Asked:
    """Read the lists; what is wrong with them is a usage error."""
    from damcli.sweeping.settings import KS, SCALES, Plan

    if seeds is not None and sizes is None:
        raise usage_error("--seeds says how often anchors are drawn: give --anchors-size")
    ks = KS if k is None else _whole(parse_number_list(k, "--k", "5,10,20"))
    scales = SCALES if s is None else parse_number_list(s, "--s", "0.5,1,2")
    drawn = () if sizes is None else _whole(parse_number_list(sizes, "--anchors-size", "1000,5000"))
    draws = range(seed, seed + (seeds or _SEEDS)) if drawn else ()
    try:
        return Asked(Plan(ks, scales, drawn, tuple(draws)), k is None)
    except UserError as error:
        given = {"--k": k, "--s": s, "--anchors-size": sizes}
        options = " ".join(f"{name} {text}" for name, text in given.items() if text is not None)
        raise usage_error(f"{options}: {error}") from error


def plan_for(asked: Asked, anchors: Anchors, messages: Messages) -> Plan:
    """Take all anchors for more neighbours than there are; of the default list, leave those out."""
    count = len(anchors)
    fitting = tuple(k for k in asked.plan.ks if k <= count)
    above = asked.plan.ks[len(fitting) :]
    if not above:
        return asked.plan
    if asked.any_k:
        messages.say(f"k up to {fitting[-1]}: {anchors.origin} holds {count:,} anchors")
        return replace(asked.plan, ks=fitting)
    for k in above:
        messages.warn(more_than_there_are(anchors.origin, count, k))
    return replace(asked.plan, ks=tuple({*fitting, count}))


def check_dev(
    pairs: str | None, dev: Path | None, dev_embeddings: Path | None, best_at: float | None
) -> None:
    """Refuse options about development pairs that do not go together."""
    if (dev is None) != (best_at is None):
        raise usage_error("--dev PAIRS and --best-at FAR go together")
    if dev_embeddings is not None and dev is None:
        raise usage_error("--dev-embeddings is about --dev")
    if best_at is not None and not 0 < best_at < 1:
        raise usage_error(f"--best-at {best_at:g}: expected a fraction between 0 and 1")
    if dev is not None and pairs == str(dev):
        raise usage_error(f"--dev {dev} is the list that is judged on; give pairs of other people")


def _whole(numbers: tuple[float, ...]) -> tuple[int, ...]:
    """Make whole numbers int; what is none stays, to be refused with the rest."""
    return tuple(int(one) if one.is_integer() else one for one in numbers)  # type: ignore[misc]
