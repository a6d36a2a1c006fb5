"""Work on a stream, on all cores, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")
# Items waiting or done at a time, for each core.
_HELD = 3


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_order(
    work: Callable[[S], T], items: Iterable[S], *, begin: Callable[[], None] | None = None
) -> Iterator[T]:
    """Yield what ``work`` makes of each item, in their order.

    Parameters
    ----------
    work
        Runs in as many threads as there are cores, so it must change nothing that it shares.
    items
        The stream; the calling thread reads it, a few items ahead.
    begin
        Called once in each thread.
    """
    workers = cores()
    if workers == 1 and begin is None:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers, initializer=begin) as pool:
        waiting: deque[Future[T]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= _HELD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
