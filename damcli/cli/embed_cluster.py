"""``damcli embed --cluster``: what each worker opens."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from damcli.cli.cluster_option import workers_of
from damcli.cli.console import STDOUT, Messages, usage_error
from damcli.cli.embed_run import Framings, Job, Model

if TYPE_CHECKING:
    from damcli.embedding.at_work import AtWork, Workers


@dataclass(frozen=True)
class Opener:
    """Opens source and model by absolute paths, in any process.

    Attributes
    ----------
    source, root
        Of the images.
    model, framings
        What the options say.
    flip
        What to do with mirror images.
    threads
        How many decode.
    """

    source: str
    root: Path | None
    model: Model
    framings: Framings
    flip: Any
    threads: int

    def __call__(self) -> AtWork:
        """Open them; what there is to warn of was said where the command runs."""
        from damcli.embedding.at_work import AtWork
        from damcli.embedding.run import Embedder
        from damcli.sources.opening import open_source

        source = open_source(self.source, root=self.root)
        network, preprocessing = self.model.open(_say_nothing)
        framing, _ = self.framings.open(preprocessing.size, source, _say_nothing)
        embedder = Embedder(network, preprocessing.layout, self.flip)
        return AtWork(source, framing, preprocessing, embedder, self.threads)


def _say_nothing(text: str) -> None:
    pass


def check_embed_cluster(address: str | None, source: str, check: int | None) -> None:
    """Refuse what does not go with a cluster."""
    if address is not None and source == STDOUT:
        raise usage_error("--cluster: workers cannot read stdin; put the list into a file")
    if address is not None and check is not None:
        raise usage_error("--check is for one process: leave out --cluster")


def at_work(
    context: typer.Context, address: str | None, job: Job, opener: Opener, messages: Messages
) -> Workers | None:
    """Return who embeds; None for this process."""
    if address is None:
        return None
    if job.ranks.size > 1:
        raise usage_error("--cluster and torchrun exclude each other: run it without torchrun")
    from damcli.embedding.at_work import AtWork
    from damcli.embedding.run import Embedder

    embedder = Embedder(job.network, job.preprocessing.layout, opener.flip)
    here = AtWork(job.source, job.framing, job.preprocessing, embedder, opener.threads)
    workers = workers_of(context, address, messages)
    everywhere: Workers = workers.embedding(_absolute(opener), here)
    return everywhere


def _absolute(opener: Opener) -> Opener:
    framings = opener.framings
    return replace(
        opener,
        source=str(Path.cwd() / opener.source),
        root=None if opener.root is None else opener.root.absolute(),
        model=replace(
            opener.model, path=opener.model.path.absolute(), threads=opener.model.threads or 1
        ),
        framings=framings._replace(
            landmarks=None if framings.landmarks is None else framings.landmarks.absolute(),
            detector=None if framings.detector is None else framings.detector.absolute(),
        ),
    )
