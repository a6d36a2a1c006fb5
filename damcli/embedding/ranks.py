"""Several processes that share the work, as ``torchrun`` starts them."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from damcli.errors import MissingExtra

T = TypeVar("T")
_PATIENCE = timedelta(days=30)  # one shard may be slower than another by hours


@dataclass(frozen=True)
class Ranks:
    """One of several processes that run the same command.

    Attributes
    ----------
    rank
        Which one, from 0.
    size
        How many.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this one writes the output and speaks to the user."""
        return self.rank == 0

    def first(self, work: Callable[[], T]) -> T | None:
        """Let the first do something while the others wait; if it fails, all end.

        Returns
        -------
        T or None
            What the work returned; None in the other processes.
        """
        if not self.is_first:
            if not self._from_first(None):
                sys.exit(1)
            return None
        try:
            result = work()
        except BaseException:
            self._from_first(False)
            raise
        self._from_first(True)
        return result

    def gather(self, mine: Any) -> list[Any]:
        """Wait for all and return what each has to say, in the order of the ranks.

        A process that cannot do its part ends with its own message; the others end
        silently, with exit code 1.
        """
        if self.size == 1:
            return [mine]
        import torch.distributed as dist

        everyone: list[Any] = [None] * self.size
        self._or_end(lambda: dist.all_gather_object(everyone, mine))
        return everyone

    def _from_first(self, value: bool | None) -> bool | None:
        if self.size == 1:
            return value
        import torch.distributed as dist

        box = [value]
        self._or_end(lambda: dist.broadcast_object_list(box, src=0))
        return box[0]

    @staticmethod
    def _or_end(exchange: Callable[[], None]) -> None:
        try:
            exchange()
        except RuntimeError:  # the connection ended: another process has failed and said why
            sys.exit(1)


def ranks_from_environment(purpose: str = "Embedding", *, on_gpus: bool = False) -> Ranks:
    """Join the processes that ``torchrun`` has started; without it there is one.

    Each process sees one CUDA device alone, that of its ``LOCAL_RANK``, so this must be
    called before CUDA is used.

    Parameters
    ----------
    purpose
        What they are for, as the start of a sentence.
    on_gpus
        Whether they exchange tensors on their GPUs, where they have some, and not only objects.

    Raises
    ------
    MissingExtra
        PyTorch is not installed.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or "RANK" not in os.environ:
        return Ranks()
    _see_one_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        import torch
        import torch.distributed as dist
    except ImportError as error:
        raise MissingExtra(f"{purpose} in several processes", "torch") from error
    if not dist.is_initialized():
        backend = "cpu:gloo,cuda:nccl" if on_gpus and torch.cuda.is_available() else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
        atexit.register(leave)
    return Ranks(dist.get_rank(), dist.get_world_size())


def leave() -> None:
    """Leave the processes that were joined.

    Threads of theirs that outlived Python would abort this process, at random.
    """
    import gc

    import torch.distributed as dist

    if dist.is_initialized():
        gc.collect()  # what holds the group, as DistributedDataParallel does, holds its threads
        dist.destroy_process_group()


def _see_one_device(local_rank: int) -> None:
    """Leave this process one CUDA device; the runtimes of all models honour that."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = None if named is None else [one for one in named.split(",") if one]
    if devices is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = str(local_rank)
    elif local_rank < len(devices):
        os.environ["CUDA_VISIBLE_DEVICES"] = devices[local_rank]
