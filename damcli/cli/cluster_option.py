"""``--cluster``: the same work on a Dask cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from damcli.cli.console import Messages, usage_error
from damcli.errors import UserError

if TYPE_CHECKING:
    from damcli.cluster.workers import ClusterWorkers
    from damcli.scoring.workers import Workers

ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Work on a Dask cluster: local:N processes, tcp://HOST:8786, or a scheduler file "
        "(extra \\[cluster]).",
        show_default=False,
    ),
]


def check_cluster(address: str | None) -> None:
    """Refuse what is no address, before any file is read."""
    if address is None:
        return
    from damcli.cluster.connecting import check_address

    try:
        check_address(address)
    except UserError as error:
        raise usage_error(f"--cluster {error}") from error


def workers_of(context: typer.Context, address: str | None, messages: Messages, *read: Any) -> Any:
    """Return who does the work; the connection ends with the command.

    Parameters
    ----------
    context
        Of the command.
    address
        The cluster; None for this process.
    messages
        Told of the cluster.
    read
        Embeddings and anchors as they were read, or None.
    """
    if address is None:
        from damcli.scoring.workers import HERE

        here: Workers = HERE
        return here
    from damcli.cluster import open_cluster

    workers: ClusterWorkers = context.with_resource(open_cluster(address, say=messages.say))
    workers.share(*read)
    return workers
