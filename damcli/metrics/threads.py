"""Threads of one's own, each with a BLAS that keeps to its thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

from damcli.threads import in_order

Task = TypeVar("Task")


def in_threads(work: Callable[[Task], None], tasks: Sequence[Task]) -> None:
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
    """Keep numpy's BLAS to the thread that calls it; blocks in several threads may overlap."""
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
