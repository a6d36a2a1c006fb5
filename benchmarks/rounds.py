"""Side by side timing: each round runs every contender once, and medians are compared."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

from damcli import kernels


def compare(contenders: Mapping[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Time the contenders in turn, print their medians, and return these in seconds."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        spread = f"{min(seconds[name]):.2f} to {max(seconds[name]):.2f}"
        print(f"{name:40s} {median:8.2f} s   ({spread} s, {rounds} rounds)")
    return medians


def without_kernels() -> str:
    """Return what a row adds to its work where the kernels in C are not there."""
    return "" if kernels.COMPILED else ", installed without a C compiler"


def row(work: str, against: str, measured: str, goal: str = "") -> None:
    """Print a row of the table that ``benchmarks/all.py`` gathers."""
    print(f"| {work} | {against} | {measured} | {goal} |", flush=True)
