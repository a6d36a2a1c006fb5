"""HDF5 files whose texts libhdf5 would never finish reading."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damcli.errors import InputError
from damcli.storage import heaps
from damcli.storage.files import read_embeddings
from damcli.storage.locks import open_for_reading
from tests.lidrs import lidr

START = b"GCOL\x01\0\0\0"
COLUMN = h5py.string_dtype()
NAMES = [f"person {number}/" + "x" * (number % 50) for number in range(3000)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["vectors"] = np.random.default_rng(1).normal(size=(len(NAMES), 4))
        file["image_names"] = NAMES
    return tmp_path / "a.h5"


def places(whole: bytes) -> list[int]:
    return [found.start() for found in re.finditer(START, whole)]


def texts(whole: bytes, at: int) -> list[int]:
    """Walk through a heap that is sound."""
    end, found = at + struct.unpack_from("<Q", whole, at + 8)[0], [at + 16]
    while found[-1] + 16 < end:
        number, length = struct.unpack_from("<HxxxxxxQ", whole, found[-1])
        found.append(found[-1] + (16 + (length + 7) // 8 * 8 if number else length))
    return found[:-1]


@pytest.mark.parametrize("which", [0, 1, -1])
@pytest.mark.parametrize(
    "put", [bytes(16), struct.pack("<HxxxxxxQ", 1, 2**64 - 16)], ids=["lost", "overflows"]
)
def test_a_heap_without_an_end_is_refused(path: Path, which: int, put: bytes) -> None:
    raw = bytearray(path.read_bytes())
    heap = places(raw)[which]
    for at in (texts(raw, heap)[3], texts(raw, heap)[-1]):
        path.write_bytes(raw[:at] + put + raw[at + len(put) :])
        with pytest.raises(InputError, match=rf"texts from byte {heap} on") as caught:
            read_embeddings(path)
        assert caught.value.hint == "copy or make it anew"


@pytest.mark.parametrize(
    ("how", "column"),
    [
        ({}, {}),
        ({"libver": "latest"}, {}),
        ({"userblock_size": 512}, {}),
        ({}, {"chunks": (100,)}),
        ({}, {"chunks": (100,), "compression": "gzip", "shuffle": True}),
    ],
)
def test_sound_heaps_are_read(tmp_path: Path, how: dict[str, int], column: dict[str, int]) -> None:
    """Whatever the texts say, and wherever they lie."""
    names = [*NAMES, "x" * 100_000, "GCOL\1", "é" * 70_000, *map(str, range(500))]
    with h5py.File(tmp_path / "a.h5", "w", **how) as file:
        vectors = np.random.default_rng(1).normal(size=(len(names), 4))
        file.create_dataset("vectors", data=vectors, chunks=(7, 4))
        file["forged"] = np.frombuffer(START + bytes(64), np.uint8)  # in numbers it means nothing
        file.create_dataset("image_names", data=names, dtype=COLUMN, **column)
        file.attrs["about"] = "y" * 10_000
    assert len(places((tmp_path / "a.h5").read_bytes())) > 3
    with open_for_reading(tmp_path / "a.h5") as file:
        assert file["image_names"].asstr()[:].tolist() == names


def test_files_without_texts_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"] = np.arange(3)
    with open_for_reading(tmp_path / "a.h5") as file:
        assert file["x"][:].tolist() == [0, 1, 2]


def slow(content: bytes, start: int) -> bool:
    """Walk as libhdf5 does; return whether that would never end."""
    if start + 16 > len(content):
        return False
    end = min(start + struct.unpack_from("<Q", content, start + 8)[0], len(content))
    at = start + 16
    for _ in range(2**16):
        if at + 16 > end:
            return False
        number, length = struct.unpack_from("<HxxxxxxQ", content, at)
        step = (16 + (length + 7) // 8 * 8 if number else length) % 2**64
        if step == 0:
            return True
        if step > end - at:
            return False
        at += step
    return True


lengths = st.sampled_from([0, 0, 1, 7, 8, 16, 24, 2**32, 2**63, 2**64 - 8, 2**64 - 16, 2**64 - 1])
heads = st.builds(struct.pack, st.just("<HxxxxxxQ"), st.integers(0, 2), lengths)
heap = st.builds(
    lambda size, parts: START + struct.pack("<Q", size) + b"".join(parts),
    st.sampled_from([0, 8, 16, 48, 100, 4096, 2**63, 2**64 - 1]),
    st.lists(heads | st.binary(min_size=8, max_size=8), max_size=12),
)


@given(st.lists(heap, min_size=1, max_size=4))
def test_walking_all_at_once_finds_what_a_slow_walk_finds(made: list[bytes]) -> None:
    content = b"".join(made) + b"end"
    starts = [at for at in range(len(content)) if content.startswith(START, at)]
    found = heaps._first_stuck(np.frombuffer(content, np.uint8), np.array(starts), 8)
    stuck = [at for at in starts if slow(content, at)]
    assert found in stuck if stuck else found is None


def test_a_regressor_and_lids_are_looked_at_too(tmp_path: Path) -> None:
    from damcli.storage.lidr import read_lidr, write_lidr
    from damcli.storage.lids import MadeOf, read_lids, write_lids

    write_lidr(tmp_path / "l.h5", lidr(), note="why")
    write_lids(tmp_path / "e.lids.h5", {MadeOf("a", "b", 3, 1.0): np.zeros(4)})
    for name, read in (("l.h5", read_lidr), ("e.lids.h5", read_lids)):
        raw = (tmp_path / name).read_bytes()
        at = texts(raw, places(raw)[0])[-1]
        (tmp_path / name).write_bytes(raw[:at] + bytes(16) + raw[at + 16 :])
        with pytest.raises(InputError, match="damaged"):
            read(tmp_path / name)
