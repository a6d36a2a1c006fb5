"""Work that goes on in a thread of its own while its results, or its causes, are dealt with."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

Item = TypeVar("Item")
_END: Any = object()


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yield the same items, of which the next one is made while this one is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = maker.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = maker.submit(next, items, _END)
            yield item


class Behind:
    """Does things in order in a thread of its own, of which few may wait.

    What goes wrong there is raised by the next call here.
    """

    def __init__(self, waiting: int = 2) -> None:
        self._most = waiting
        self._doer = ThreadPoolExecutor(1)
        self._to_do: deque[Future[Any]] = deque()

    def do(self, task: Callable[..., Any], *arguments: Any) -> None:
        """Have a task done after those before it."""
        while len(self._to_do) >= self._most:
            self._to_do.popleft().result()
        self._to_do.append(self._doer.submit(task, *arguments))

    def finish(self) -> None:
        """Wait until everything is done."""
        while self._to_do:
            self._to_do.popleft().result()

    def stop(self) -> None:
        """Wait for what is being done, and leave the rest."""
        self._doer.shutdown(cancel_futures=True)
