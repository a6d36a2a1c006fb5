"""Which image stands at which position of a run, without a memory of what came before.

A run looks at positions 0, 1, 2, … without end. What stands at one depends on the seed and
the position alone, so that a run goes on at any step, and on any number of ranks, as if it
had never stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from damcli.errors import UserError
from damcli.training.classes import UNKNOWN, Classes

_EPOCHS, _WITHIN_CLASS, _POSITIONS = range(3)


class Order(Protocol):
    """Tells which rows of a source a run looks at."""

    def candidates(self, position: int) -> Iterator[int]:
        """Yield the row at a position, then the rows that may replace it where it is broken."""
        ...


class Shuffled:
    """Every epoch holds every row once, in an order of its own.

    Position p holds row ``permutation(seed, p // N)[p % N]``; a batch may reach over the end
    of an epoch. A broken row is replaced by the next one of the same permutation.

    Parameters
    ----------
    count
        N, the rows of the source.
    seed
        >= 0.
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed

    def candidates(self, position: int) -> Iterator[int]:
        """Yield the row at a position, then those that follow, once around the epoch."""
        epoch, place = divmod(position, self._count)
        rows = _epoch(self._count, self._seed, epoch)
        for at in range(place, place + self._count):
            yield int(rows[at % self._count])


class Grouped:
    """Every batch holds P classes and K images of each, as losses on triplets want it.

    An epoch holds every class once, but for the last ``C mod P`` of its permutation. In epoch
    e a class gives the e-th run of K rows of its own permutation, and begins another
    permutation where fewer than K are left. So no row stands twice in a group, save where
    the class has fewer than K. A broken row is replaced by one of its class from behind the
    group, and where the class has no other, by one of the next class of the epoch.

    Parameters
    ----------
    classes
        C classes.
    batch
        P × K.
    per_class
        K, >= 2.
    seed
        >= 0.

    Raises
    ------
    UserError
        K does not divide the batch, K or P is below 2, there are fewer than P classes, or none
        has two images.
    """

    def __init__(self, classes: Classes, *, batch: int, per_class: int, seed: int) -> None:
        self._classes_at_once, rest = divmod(batch, per_class)
        if rest or per_class < 2 or self._classes_at_once < 2:
            raise UserError(
                f"a batch of {batch} with {per_class} images a class; expected two or more "
                "classes with two or more images each",
                hint="make the batch a multiple of the images a class",
            )
        if self._classes_at_once > len(classes.labels):
            raise UserError(
                f"a batch of {self._classes_at_once} classes × {per_class} images, but there are "
                f"{len(classes.labels)} classes",
                hint="make the batch smaller, or take more images a class",
            )
        if classes.counts.max() < 2:
            raise UserError(
                f"every one of {len(classes.labels)} classes has a single image; expected some "
                "with two or more, to be shown together",
                hint="choose another --head, without --per-class, or add images",
            )
        self._per_class = per_class
        self._seed = seed
        self._count = len(classes.labels)
        self._used = self._count - self._count % self._classes_at_once
        self._rows = np.argsort(classes.of_row, kind="stable")[(classes.of_row == UNKNOWN).sum() :]
        self._ends = np.cumsum(classes.counts)
        self._sizes = classes.counts

    def candidates(self, position: int) -> Iterator[int]:
        """Yield the row at a position, then others of its class, then of further classes."""
        group, member = divmod(position, self._per_class)
        epoch, place = divmod(group, self._used)
        classes = _epoch(self._count, self._seed, epoch)
        for at in range(place, place + self._count):
            yield from self._of_class(int(classes[at % self._count]), epoch, member)

    def _of_class(self, label: int, epoch: int, member: int) -> Iterator[int]:
        size = int(self._sizes[label])
        runs = max(1, size // self._per_class)
        cycle, run = divmod(epoch, runs)
        own = self._rows[self._ends[label] - size : self._ends[label]]
        rows = own[_generator(self._seed, _WITHIN_CLASS, label, cycle).permutation(size)]
        yield int(rows[(run * self._per_class + member) % size])
        for at in range(size):
            yield int(rows[((run + 1) * self._per_class + at) % size])


def generator_at(seed: int, position: int) -> np.random.Generator:
    """Return the random numbers of one position of a run."""
    return _generator(seed, _POSITIONS, position)


@lru_cache(maxsize=2)  # a batch may reach over the end of an epoch
def _epoch(count: int, seed: int, epoch: int) -> NDArray[np.int64]:
    return _generator(seed, _EPOCHS, epoch).permutation(count)


def _generator(seed: int, *what: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=what)))
