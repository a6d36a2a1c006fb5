"""Tasks on a Dask cluster, in order and few at a time; faults become messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any, TypeVar
from uuid import uuid4

from damcli.errors import UserError

T = TypeVar("T")
# Tasks a thread of the cluster has waiting: enough that none idles, few enough to bound memory.
_AHEAD = 4


class Tasks:
    """Sends tasks to a cluster.

    Parameters
    ----------
    client
        A `distributed.Client`.
    address
        The cluster, for messages.
    """

    def __init__(self, client: Any, address: str) -> None:
        self.client = client
        self.address = address
        self._numbers = count()
        self._mine = uuid4().hex[:8]

    @property
    def ahead(self) -> int:
        """How many tasks may wait."""
        threads: dict[str, int] = self.client.nthreads()
        return _AHEAD * max(1, sum(threads.values()))

    def submit(self, stage: str, work: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Send one task and return its future; the dashboard shows it under its stage."""
        key = f"{stage}-{self._mine}-{next(self._numbers)}"
        return self.client.submit(work, *args, key=key, pure=False, **options)

    def in_order(self, futures: Iterable[Any]) -> Iterator[Any]:
        """Yield the results of futures, which are made as results are taken away."""
        waiting: deque[Any] = deque()
        try:
            for future in futures:
                waiting.append(future)
                if len(waiting) >= self.ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            if waiting:
                self.client.cancel(list(waiting))

    def everywhere(self, stage: str, work: Callable[..., T], *args: Any) -> dict[str, T]:
        """Run a task on each worker; results by the worker's address."""
        workers = list(self.client.nthreads())
        futures = [self.submit(stage, work, *args, workers=[worker]) for worker in workers]
        return dict(zip(workers, self.client.gather(futures), strict=True))

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Say in one message what went wrong with the cluster itself.

        Raises
        ------
        UserError
            Workers died again and again, data was lost with them, or the scheduler is gone.
        """
        from distributed import CancelledError, KilledWorker
        from distributed.comm import CommClosedError

        try:
            yield
        except KilledWorker as error:
            raise UserError(
                f"{self.address}: workers ended while doing the same task ({error.task}) "
                f"{error.allowed_failures + 1} times",
                hint="most often memory ran out: give each worker more, or see their logs",
            ) from error
        except (CancelledError, CommClosedError) as error:
            raise UserError(
                f"{self.address}: the scheduler, or the last worker that held some data, is gone "
                f"({error})",
                hint="see whether the cluster still runs, and run the command again",
            ) from error
