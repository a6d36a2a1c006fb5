"""insightface's .bin: read whatever wrote it, and never run what a stranger put into it."""

from __future__ import annotations

import os
import pickle
import struct
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import InputError, OutputError
from damcli.protocols.pairs import read_pairs
from damcli.sources.bin_files import bin_source, read_bin_pairs, write_bin_pairs
from damcli.sources.opening import open_source
from tests.images import picture, png

IMAGES = [png(seed) for seed in range(4)]
ARRAYS = [np.frombuffer(image, np.uint8) for image in IMAGES]
PAIRS = [("000000", "000001", 1), ("000002", "000003", 0)]
CONTENTS = {
    "bytes": (IMAGES, [True, False]),
    "arrays": (ARRAYS, [True, False]),
    "owned arrays": ([array.copy() for array in ARRAYS], [np.True_, np.False_]),
    "bytearrays": ([bytearray(image) for image in IMAGES], np.array([True, False])),
    "tuple and list": [tuple(IMAGES), (1, 0)],
}


def python2(images: list[bytes], labels: list[bool], *, arrays: bool) -> bytes:
    """Write by hand what Python 2's cPickle does: protocol 2, strings of bytes."""

    def string(data: bytes) -> bytes:
        if len(data) < 256:
            return b"U" + bytes([len(data)]) + data
        return b"T" + struct.pack("<i", len(data)) + data

    def array(data: bytes) -> bytes:
        made = b"cnumpy.core.multiarray\n_reconstruct\n" + b"cnumpy\nndarray\n"
        made += b"K\x00\x85" + string(b"b") + b"\x87R"
        dtype = b"cnumpy\ndtype\n" + string(b"u1") + b"K\x00K\x01\x87R"
        dtype += b"(K\x03" + string(b"|") + b"NNN" + b"J\xff\xff\xff\xff" * 2 + b"K\x00tb"
        return (
            made
            + b"(K\x01J"
            + struct.pack("<i", len(data))
            + b"\x85"
            + dtype
            + (b"\x89" + string(data) + b"tb")
        )

    entry = array if arrays else string
    listed = b"](" + b"".join(map(entry, images)) + b"e"
    answers = b"](" + b"".join(b"\x88" if label else b"\x89" for label in labels) + b"e"
    return b"\x80\x02" + listed + answers + b"\x86."


def check(path: Path) -> None:
    source = open_source(str(path))
    assert [source.id_of(row) for row in range(4)] == ["000000", "000001", "000002", "000003"]
    assert len(source) == 4
    assert not source.has_subjects
    assert source.notes == source.group_names == ()
    assert source.place_of(2) == f"{path}, image 2"
    for row in range(4):
        np.testing.assert_array_equal(source.read(row).image, picture(row))
    assert source.read(0).subject is None
    assert read_bin_pairs(path) == PAIRS


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("content", CONTENTS)
def test_whatever_python_3_wrote(tmp_path, content, protocol):
    (tmp_path / "a.bin").write_bytes(pickle.dumps(CONTENTS[content], protocol))
    check(tmp_path / "a.bin")


@pytest.mark.parametrize("arrays", [False, True])
def test_what_python_2_wrote(tmp_path, arrays):
    data = python2(IMAGES, [True, False], arrays=arrays)
    loaded, labels = pickle.loads(data, encoding="bytes")  # the writer above is right
    assert [bytes(image) for image in loaded] == IMAGES
    assert labels == [True, False]
    (tmp_path / "a.bin").write_bytes(data)
    check(tmp_path / "a.bin")


def test_the_names_of_numpy_1_and_2_are_known(tmp_path):
    for old, new in ((b"numpy._core", b"numpy.core"), (b"numpy.core", b"numpy.core")):
        data = pickle.dumps(CONTENTS["owned arrays"], 2).replace(old, new)
        (tmp_path / "a.bin").write_bytes(data)
        check(tmp_path / "a.bin")


def test_pairs_become_a_list_that_score_reads(tmp_path):
    target = tmp_path / "a.pairs.csv"
    write_bin_pairs(target, PAIRS)
    (chunk,) = read_pairs(target).chunks()
    assert list(chunk.probes.values) == ["000000", "000002"]
    assert list(chunk.references.values) == ["000001", "000003"]
    assert chunk.labels.tolist() == [1, 0]
    with pytest.raises(OutputError, match="exists already"):
        write_bin_pairs(target, PAIRS[:1])
    write_bin_pairs(target, PAIRS[:1], force=True)
    assert target.read_text() == "probe_id,reference_id,label\n000000,000001,1\n"


class Hostile:
    def __init__(self, call, *arguments) -> None:
        self.call, self.arguments = call, arguments

    def __reduce__(self):
        return self.call, self.arguments


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("call", "name"),
    [
        (os.system, r"\w+\.system"),
        (eval, r"\w+\.eval"),
        (getattr, r"\w+\.getattr"),
        (partial, r"functools\.partial"),
        (np.load, r"numpy\S*\.load"),
    ],
)
def test_foreign_globals_are_refused_and_never_run(tmp_path, call, name, protocol):
    mark = tmp_path / "ran"
    argument = f"touch {mark}" if call is os.system else f"open({str(mark)!r}, 'w')"
    data = pickle.dumps(([Hostile(call, argument)] * 2, [True]), protocol)
    (tmp_path / "a.bin").write_bytes(data)
    for reader in (bin_source, read_bin_pairs):
        with pytest.raises(InputError, match=rf"a\.bin: asks for {name}, which"):
            reader(tmp_path / "a.bin")
    assert not mark.exists()
    if call is os.system:
        pickle.loads(data)
        assert mark.exists(), "the payload works, so its silence above means something"


def test_a_pickle_cannot_change_the_reader(tmp_path):
    # BUILD with (None, attributes) sets attributes on whatever was found
    poison = b"\x80\x02c_codecs\nencode\n(N}X\x0c\x00\x00\x00__defaults__Ntb."
    (tmp_path / "poison.bin").write_bytes(poison)
    with pytest.raises(InputError):
        bin_source(tmp_path / "poison.bin")
    (tmp_path / "a.bin").write_bytes(pickle.dumps(CONTENTS["bytes"], 2))
    check(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ({}, "holds a dict; expected a pickle of"),
        ((IMAGES, [True], 1), "holds a tuple"),
        ((IMAGES[:3], [True, False]), "3 images for 2 pairs"),
        (([], []), "0 images for 0 pairs"),
        ((IMAGES, {1: True, 2: False}), "a dict in place of a list"),
        ((IMAGES, 5), "a int in place of a list"),
        ((["text", b""], [True]), "image 0: is a str; expected the bytes"),
        ((IMAGES[:2], [7]), "pair 0: its answer is 7; expected True or False"),
        ((IMAGES[:2], [None]), "pair 0: its answer is None"),
        (([picture()] * 2, [True]), r"image 0: is an array of u1 \(12, 10, 3\)"),
        (([np.zeros(3)] * 2, [True]), r"an array of f8 \(3,\) in 24 bytes"),
        (([np.array([b"a", None], dtype=object)] * 2, [True]), "cannot be read"),
    ],
)
@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_other_pickles_are_refused(tmp_path, content, found, protocol):
    (tmp_path / "a.bin").write_bytes(pickle.dumps(content, protocol))
    with pytest.raises(InputError, match=rf"a\.bin.*{found}"):
        bin_source(tmp_path / "a.bin")


@pytest.mark.parametrize("put", [b"r\xff\xff\xff\x7f", b"p99999999999\n"])
def test_a_pickle_cannot_fill_the_memory_with_an_empty_memo(tmp_path, put):
    (tmp_path / "a.bin").write_bytes(b"\x80\x02]" + put + b"]\x86.")
    with pytest.raises(InputError, match=r"a\.bin: numbers its objects up to \d{10}"):
        bin_source(tmp_path / "a.bin")


def test_a_broken_image_in_it_does_not_hide_the_others(tmp_path):
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([IMAGES[0], b"junk"], [True])))
    source = bin_source(tmp_path / "a.bin")
    with pytest.raises(InputError, match=r"a\.bin, image 1: is no image of a known format"):
        source.read(1)
    np.testing.assert_array_equal(source.read(0).image, picture(0))


def smallest(protocol: int, content: str = "arrays") -> bytes:
    small = [np.frombuffer(b"ab", np.uint8), np.frombuffer(b"", np.uint8)]
    return pickle.dumps((small if content == "arrays" else [b"ab", b""], [True]), protocol)


@pytest.mark.parametrize("content", ["arrays", "bytes"])
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_file_cut_anywhere_or_with_more_behind_it_is_refused(tmp_path, protocol, content):
    path, whole = tmp_path / "a.bin", smallest(protocol, content)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match=r"a\.bin"):
            bin_source(path)
    path.write_bytes(whole + b"x")
    with pytest.raises(InputError, match="has bytes after its pickle"):
        bin_source(path)
    path.write_bytes(whole)
    assert len(bin_source(path)) == 2


@given(st.integers(0, 5), st.data())
@settings(deadline=None, max_examples=200)
def test_damage_never_raises_anything_else(tmp_path_factory, protocol, data):
    damaged = bytearray(smallest(protocol))
    for at in data.draw(st.lists(st.integers(0, len(damaged) - 1), min_size=1, max_size=4)):
        damaged[at] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("bin") / "a.bin"
    path.write_bytes(damaged)
    try:
        bin_source(path)
    except InputError as error:
        assert str(error).startswith(str(path))
