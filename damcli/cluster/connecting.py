"""Finding a cluster: one's own processes, or a scheduler that runs already."""

from __future__ import annotations

import atexit
import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damcli.cluster.tasks import Tasks
from damcli.errors import InputError, MissingExtra, UserError, counted

if TYPE_CHECKING:
    from damcli.cluster.workers import ClusterWorkers

_LOCAL = re.compile(r"local:([1-9]\d{0,3})")
_ADDRESS = re.compile(r"(?!local:)(?:(?:tcp|tls|ws|wss|ucx)://)?[^\s/:]+:\d+")
_ENVIRONMENT = "distributed.nanny.pre-spawn-environ"
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_EXPECTED = (
    "expected local:N for N processes of this machine, the address of a scheduler such as "
    "tcp://host:8786, or its scheduler file"
)


def check_address(address: str) -> None:
    """Refuse what cannot be the address of a cluster.

    Raises
    ------
    UserError
        It is none.
    """
    if not (_LOCAL.fullmatch(address) or _ADDRESS.fullmatch(address) or Path(address).is_file()):
        raise UserError(f"{address}: {_EXPECTED}")


@contextmanager
def open_cluster(
    address: str, *, say: Callable[[str], None] | None = None
) -> Iterator[ClusterWorkers]:
    """Connect to a Dask cluster whose workers do what `damcli.score` and others ask.

    Dask moves Python objects as pickles: use a cluster that nobody else can reach, or TLS.

    Parameters
    ----------
    address
        ``local:N`` starts N processes, which end with the context; ``tcp://HOST:PORT`` or
        ``tls://HOST:PORT`` is a scheduler that runs; so is the one that a scheduler file names.
    say
        Called with where its dashboard is.

    Yields
    ------
    ClusterWorkers
        For ``workers`` of `damcli.score`, `damcli.compare` and `damcli.embed`.

    Raises
    ------
    MissingExtra
        Dask is not installed.
    UserError
        It is no address, nobody answers within Dask's ``distributed.comm.timeouts.connect``
        (30 s), no worker is there in that time, or one has another Python, numpy or damcli.
    """
    try:
        import distributed
    except ImportError as error:
        raise MissingExtra("--cluster", "cluster") from error
    from damcli.cluster.workers import ClusterWorkers

    check_address(address)
    with ExitStack() as stack:
        local = _LOCAL.fullmatch(address)
        if local:
            cluster = stack.enter_context(_processes(distributed, int(local[1])))
            client = stack.enter_context(distributed.Client(cluster, set_as_default=False))
        else:
            client = stack.enter_context(_connected(distributed, address))
        _require_workers(client, address)
        if say is not None:
            say(f"{address}: {_in_words(client)}")
        tasks = Tasks(client, address)
        with tasks.translated():
            yield ClusterWorkers(tasks)


def _processes(distributed: Any, count: int) -> Any:
    """Start workers on this machine."""
    import dask
    from distributed.deploy.spec import close_clusters

    # Dask would also have malloc return memory at once, which makes searches 2.8 times as long.
    with dask.config.set({_ENVIRONMENT: dict.fromkeys(_THREADS, 1)}):
        try:
            return distributed.LocalCluster(
                n_workers=count,
                threads_per_worker=1,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.CRITICAL,
            )
        except KeyboardInterrupt:
            # At exit Dask would trip over workers that have not started; they end without it.
            atexit.unregister(close_clusters)
            raise


def _connected(distributed: Any, address: str) -> Any:
    where = _in_file(address) if Path(address).is_file() else address
    try:
        return distributed.Client(where, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{address}: no scheduler answers ({error})",
            hint="start one with: dask scheduler, and workers with: dask worker ADDRESS",
        ) from error


def _in_file(path: str) -> str:
    """Read the address of a scheduler from its file."""
    try:
        return str(json.loads(Path(path).read_text())["address"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            path,
            "names no scheduler; expected what dask scheduler --scheduler-file writes",
            hint=f"start one with: dask scheduler --scheduler-file {path}",
        ) from error


def _require_workers(client: Any, address: str) -> None:
    """Wait for a first worker, and refuse workers that would give other results.

    Raises
    ------
    UserError
        None comes, or one has other versions.
    """
    import dask
    from dask.utils import parse_timedelta

    patience = parse_timedelta(dask.config.get("distributed.comm.timeouts.connect"))
    try:
        client.wait_for_workers(1, timeout=patience)
    except TimeoutError as error:
        raise UserError(
            f"{address}: the scheduler has no workers",
            hint=f"start some with: dask worker {address}",
        ) from error
    mine = _versions()()
    for worker, theirs in sorted(client.run(_versions()).items()):
        other = [name for name in mine if theirs[name] != mine[name]]
        if other:
            raise UserError(
                f"{address}: worker {worker} has {_listed(theirs, other)}; expected "
                f"{_listed(mine, other)}, as here",
                hint="install the same versions there: pip install 'damcli[cluster]==…'",
            )


def _versions() -> Callable[[], dict[str, str]]:
    """Make what tells the versions, of code that travels: a worker may lack damcli."""

    def versions() -> dict[str, str]:
        import importlib
        import platform

        found = {"Python": ".".join(platform.python_version_tuple()[:2])}
        for name in ("damcli", "numpy"):
            try:
                found[name] = str(importlib.import_module(name).__version__)
            except ImportError:
                found[name] = "(none)"
        return found

    return versions


def _listed(versions: dict[str, str], names: list[str]) -> str:
    return ", ".join(f"{name} {versions[name]}" for name in names)


def _in_words(client: Any) -> str:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    threads = sum(worker["nthreads"] for worker in workers)
    found = f"{counted(len(workers), 'worker')}, {counted(threads, 'thread')}"
    return f"{found}; dashboard at {client.dashboard_link}"
