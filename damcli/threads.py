"""Work on a stream, on all cores, in order; and a BLAS that keeps to one thread."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

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


def in_threads(work: Callable[[S], None], tasks: Iterable[S]) -> None:
    """Do all tasks, each in one thread, as many at a time as there are cores."""
    with one_blas_thread():
        for _ in in_order(work, tasks):
            pass


class _Limit:
    """How many blocks want BLAS in one thread; the last to end sets it free again."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.wanted = 0
        self.held: Any = None


_limit = _Limit()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Keep numpy's BLAS to the thread that calls it; blocks in several threads may overlap.

    It leaves the cores to threads of one's own. And where products are not exact, their last
    bits hang on how many threads share one.
    """
    with _limit.lock:
        if not _limit.wanted:
            _limit.held = _blas().limit(limits=1)
        _limit.wanted += 1
    try:
        yield
    finally:
        with _limit.lock:
            _limit.wanted -= 1
            if not _limit.wanted:
                _limit.held.restore_original_limits()


@cache
def _blas() -> Any:
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")
