"""``damcli embed --check``: which preparation of the images separates identities best."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from damcli.cli.console import Messages, print_json
from damcli.errors import InputError, counted

if TYPE_CHECKING:
    from damcli.cli.embed_run import Job
    from damcli.embedding.check import Way
    from damcli.evaluation.results import Estimate, MetricResult
    from damcli.storage.embeddings import Embeddings

# Resampling fewer people gives intervals that are far too narrow.
_FEWEST_SUBJECTS = 8
_RESAMPLES = 300


def check_ways(
    job: Job, count: int, seed: int, flip: Any, *, as_json: bool, messages: Messages
) -> None:
    """Embed some images in all usual ways, and print how well each tells identities apart."""
    from damcli.embedding.check import draw, embed_ways, usual_ways

    drawn = draw(job.source, job.framing, count, seed)
    if drawn.rejects:
        first = drawn.rejects[0]
        messages.warn(
            f"{counted(len(drawn.rejects), 'image')} left out, the first {first.place}: "
            f"{first.reason}"
        )
    if (drawn.images == drawn.images[..., :1]).all():
        messages.warn("these images are grey, so the order of the channels cannot show")
    ways = usual_ways(job.preprocessing)
    total = len(ways) * len(drawn.images)
    with messages.progress("checking", total, "images") as advance:
        made = embed_ways(drawn, job.network, ways, flip, advance)
    if made[0] is None:
        raise InputError(
            str(job.network.name),
            f"gives outputs without a direction for {ways[0].name}; expected finite numbers",
            hint="try another --preset, or --mean and --std",
        )
    pairs = [(way, one) for way, one in zip(ways, made, strict=True) if one is not None]
    results, counts = _evaluate(pairs, seed)
    verdict, is_right = _verdict(results, counts["subjects"])
    best = max(results, key=lambda result: result.auc.value)
    if as_json:
        found: dict[str, Any] = {
            "images": len(drawn.images),
            **counts,
            "seed": seed,
            "chosen": results[0].name,
            "best": best.name,
            "chosen_may_be_right": is_right,
            "verdict": verdict,
            "ways": [_row(result) for result in results],
            "failed": [w.name for w, one in zip(ways, made, strict=True) if one is None],
        }
        print_json("embed-check", found)
        return
    _print(results, best.name, counts)
    print(verdict)


def _evaluate(
    pairs: list[tuple[Way, Embeddings]], seed: int
) -> tuple[tuple[MetricResult, ...], dict[str, int]]:
    """Evaluate all pairs of the images; the chosen way comes first, as the baseline."""
    import numpy as np

    from damcli.evaluation import evaluate
    from damcli.scoring.matches import MatchSpool
    from damcli.storage.embeddings import subject_codes

    subjects = pairs[0][1].subjects
    assert subjects is not None
    codes, _, people = subject_codes(subjects, subjects)
    probe, reference = np.triu_indices(len(codes), 1)
    same = (codes[probe] == codes[reference]).astype(np.int8)
    scores = [
        (made.vectors.astype(np.float64) @ made.vectors.T)[probe, reference] for _, made in pairs
    ]
    matches = MatchSpool([way.name for way, _ in pairs], subject_count=people)
    matches.append(same, scores, codes[probe], codes[reference])
    found = evaluate(matches, fars=(1e-2,), resamples=_RESAMPLES, seed=seed)
    counts = {"subjects": people, "genuine": found.genuine, "impostors": found.impostors}
    return found.metrics, counts


def _verdict(results: tuple[MetricResult, ...], subjects: int) -> tuple[str, bool]:
    """Say whether the chosen way can be the right one."""
    if subjects < _FEWEST_SUBJECTS:
        return (
            f"{subjects} subjects are too few to tell, whatever the intervals say: check more "
            f"images, of {_FEWEST_SUBJECTS} subjects or more"
        ), True
    chosen = results[0]
    best = max(results, key=lambda result: result.auc.value)
    if best is chosen:
        return f"nothing separates identities better than what was chosen ({chosen.name})", True
    difference = best.auc.difference_interval
    assert difference is not None
    if difference.low > 0:
        return (
            f"warning: {best.name} separates identities better than what was chosen "
            f"({chosen.name}): is that the right preset?"
        ), False
    return (
        f"these images cannot tell {best.name} from what was chosen ({chosen.name}); "
        "check more of them to be surer"
    ), True


def _row(result: MetricResult) -> dict[str, Any]:
    return {
        "name": result.name,
        **_numbers("auc", result.auc),
        **_numbers("eer", result.eer),
    }


def _numbers(name: str, estimate: Estimate) -> dict[str, float | None]:
    ends, paired = estimate.interval, estimate.difference_interval
    return {
        name: estimate.value,
        f"{name}_low": None if ends is None else ends.low,
        f"{name}_high": None if ends is None else ends.high,
        f"{name}_difference": estimate.difference,
        f"{name}_difference_low": None if paired is None else paired.low,
        f"{name}_difference_high": None if paired is None else paired.high,
    }


def _print(results: tuple[MetricResult, ...], best: str, counts: dict[str, int]) -> None:
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("images as")
    for title in ("AUC [95 %]", "Δ points [95 %]", "EER [95 %]", ""):
        table.add_column(title, justify="left" if not title else "right", no_wrap=True)
    for result in sorted(results, key=lambda one: -one.auc.value):
        marks = [
            word
            for word, name in (("chosen", results[0].name), ("best", best))
            if name == result.name
        ]
        table.add_row(
            result.name,
            _text(result.auc),
            _difference(result.auc),
            _text(result.eer),
            ", ".join(marks),
        )
    console = Console(file=sys.stdout, highlight=False, width=130)
    console.print(
        f"{counts['genuine']:,} genuine and {counts['impostors']:,} impostor pairs of "
        f"{counts['subjects']:,} subjects"
    )
    console.print(table)


def _text(estimate: Estimate) -> str:
    ends = estimate.interval
    text = f"{100 * estimate.value:.2f} %"
    return text if ends is None else f"{text} [{100 * ends.low:.2f}, {100 * ends.high:.2f}]"


def _difference(estimate: Estimate) -> str:
    ends = estimate.difference_interval
    if estimate.difference is None or ends is None:
        return ""
    return f"{100 * estimate.difference:+.2f} [{100 * ends.low:+.2f}, {100 * ends.high:+.2f}]"
