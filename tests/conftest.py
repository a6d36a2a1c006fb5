"""Fixtures that more than one file of tests needs."""

from __future__ import annotations

import signal
from collections.abc import Callable

import numpy as np
import pytest

from damcli.storage.embeddings import Embeddings

# What a shell starts in the background ignores Ctrl-C, and so does what that starts, in which
# tests interrupt damcli.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture
def make_embeddings(rng: np.random.Generator) -> Callable[..., Embeddings]:
    """Make N embeddings with ids and subjects that any careless reader would spoil."""

    def make(rows: int = 6, dim: int = 5, *, subjects: bool = True, **more: object) -> Embeddings:
        ids = [f'{i:04d}/é, "ü" 写真.jpg' for i in range(rows)]
        people = [f"007,{i % 3}" for i in range(rows)] if subjects else None
        return Embeddings.from_arrays(rng.normal(size=(rows, dim)) * 20, ids, people, **more)

    return make
