"""RecordIO and arrays: round trips through independent writers, and every way to be cut."""

from __future__ import annotations

import struct
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damcli.errors import InputError
from damcli.sources import recordio, records
from damcli.sources.opening import open_source
from tests.images import MAGIC, picture, png, record, save, write_recordio

INSIGHTFACE = {
    0: record([4, 6], b""),
    1: record(17.0, png(1)),
    2: record([17.0, 0.5], png(2)),
    3: record(4.5, png(3)),
    4: record([1, 3], b""),
    5: record([3, 4], b""),
}


def test_insightface_records(tmp_path):
    source = open_source(str(write_recordio(tmp_path / "train.rec", INSIGHTFACE)))
    assert [source.id_of(row) for row in range(len(source))] == ["1", "2", "3"]
    samples = [source.read(row) for row in range(3)]
    assert [sample.subject for sample in samples] == ["17", "17", "4.5"]
    for seed, sample in enumerate(samples, start=1):
        np.testing.assert_array_equal(sample.image, picture(seed))
    assert source.has_subjects
    assert source.notes == source.group_names == ()
    assert source.place_of(0) == f"{tmp_path}/train.rec, record 1 (offset 40)"


def test_without_an_index_the_file_is_walked(tmp_path):
    path = write_recordio(tmp_path / "a.rec", INSIGHTFACE)
    (tmp_path / "a.idx").unlink()
    source = open_source(str(path))
    assert [source.id_of(row) for row in range(len(source))] == ["1", "2", "3"]
    assert source.notes == ("no a.idx beside it: walked through its 6 records",)
    np.testing.assert_array_equal(source.read(2).image, picture(3))


def test_records_without_a_header_are_all_images(tmp_path):
    path = write_recordio(tmp_path / "a.rec", {12: record(0, png(1)), 3: record([1, 2], png(2))})
    source = open_source(str(path))
    assert [source.id_of(row) for row in range(2)] == ["03", "12"]
    assert [source.read(row).subject for row in range(2)] == ["1", "0"]
    np.testing.assert_array_equal(source.read(0).image, picture(2))


@given(st.lists(st.lists(st.sampled_from([MAGIC, b"abcd", b"x", b""]), max_size=9), min_size=1))
@settings(deadline=None, max_examples=60)
def test_payloads_come_back_whatever_magic_they_hold(payloads):
    made = {key: record(key, b"".join(parts)) for key, parts in enumerate(payloads)}
    with tempfile.TemporaryDirectory() as folder:
        path = write_recordio(Path(folder) / "a.rec", made)
        keys, offsets = recordio._read_index(path.with_suffix(".idx"))
        np.testing.assert_array_equal(records.walk(path), offsets)
        for key, offset in zip(keys, offsets, strict=True):
            found = records.read_record(path, int(offset), "here")
            assert found == ((key,), made[key][24:])


def test_a_file_cut_anywhere_is_refused_and_the_record_named(tmp_path):
    path = write_recordio(
        tmp_path / "a.rec", {0: record(1, MAGIC + b"abc"), 1: record(2, b"\0" * 4 + MAGIC * 2)}
    )
    whole = path.read_bytes()
    wanted = [(1.0,), (2.0,)]
    for indexed in (True, False):
        for end in range(len(whole)):
            path.write_bytes(whole[:end])
            with pytest.raises(InputError, match=r"record \d \(offset \d+\)|holds no record"):
                source = open_source(str(path))
                found = [
                    records.read_record(path, int(offset), source.place_of(row)).labels
                    for row, offset in enumerate(source._offsets)
                ]
                assert found == wanted or not indexed
                if len(found) < 2:  # cut between two records, which only an index can tell
                    raise InputError("a.rec, record 1 (offset 0)", "gone")
        (tmp_path / "a.idx").unlink(missing_ok=True)


def indexed(path: Path, rows: int) -> list[int]:
    """Keep the first rows of an index; return the offsets of all."""
    lines = path.with_suffix(".idx").read_text().splitlines(keepends=True)
    path.with_suffix(".idx").write_text("".join(lines[:rows]))
    return [int(line.split()[1]) for line in lines]


def test_a_file_cut_short_is_refused_when_it_is_opened(tmp_path):
    """A record or its header at the end is missing, whether an index names it or not."""
    path = write_recordio(tmp_path / "a.rec", INSIGHTFACE)
    whole, offsets = path.read_bytes(), indexed(path, 6)
    for end, found in (
        (len(whole) - 5, rf"record 5 \(offset {offsets[5]}\): is cut short: the file ends at"),
        (offsets[5] + 3, rf"record 5 \(offset {offsets[5]}\): is cut off: .* before 1 of the 6"),
        (offsets[5], r"before 1 of the 6 records that a\.idx names"),
        (offsets[4], r"record 4 .*: is cut off: .* before 2 of the 6"),
    ):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match=rf"a\.rec.*{found}") as caught:
            open_source(str(path))
        assert "copy the .rec again" in str(caught.value.hint)
    (tmp_path / "a.idx").unlink()
    for end, found in (
        (offsets[3] + 60, rf"record 3 \(offset {offsets[3]}\): is cut short"),
        (offsets[3], "is cut short: record 0 announces 3 images, of which 2 are there"),
    ):
        path.write_bytes(whole[:end])
        with pytest.raises(InputError, match=rf"a\.rec.* {found}") as caught:
            open_source(str(path))
        assert "copy the .rec again" in str(caught.value.hint)


def test_what_an_index_leaves_out_is_told(tmp_path):
    path = write_recordio(tmp_path / "a.rec", INSIGHTFACE)
    rest = len(path.read_bytes()) - indexed(path, 3)[3]
    source = open_source(str(path))
    assert len(source) == 2
    assert source.notes == (
        f"{rest} bytes after record 2, the last that a.idx names",
        "a.idx names 2 of the 3 images that record 0 announces",
    )


def test_a_count_that_a_float32_rounds_is_no_fault(tmp_path):
    assert recordio._check_count(tmp_path, tmp_path, 2**24, 2**24 + 2.0, indexed=False) == []
    with pytest.raises(
        InputError, match="announces 16,777,217 images, of which 16,777,215 are there"
    ):
        recordio._check_count(tmp_path, tmp_path, 2**24 - 1, 2**24 + 2.0, indexed=False)


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "holds no record"),
        (b"\0" * 12, r"record 0 \(offset 0\): no part of a record at offset 0, but 00000000"),
        (MAGIC + struct.pack("<I", 2 << 29), "a part of kind 0 or 1"),
        ((MAGIC + struct.pack("<I", 1 << 29)) * 2, "at offset 8, .* a part of kind 2 or 3"),
        (MAGIC + struct.pack("<I", 4) + b"abcd", "holds 4 bytes; expected a header of 24"),
        (
            MAGIC + struct.pack("<I", 24) + struct.pack("<IfQQ", 9, 0, 0, 0),
            "says it has 9 labels, but holds 24 bytes",
        ),
        (MAGIC + struct.pack("<I", 32) + record([1, 2], b""), "no image among its 1 record$"),
    ],
)
def test_what_is_no_recordio(tmp_path, data, found):
    (tmp_path / "a.rec").write_bytes(data)
    with pytest.raises(InputError, match=rf"a\.rec.*{found}"):
        open_source(str(tmp_path / "a.rec"))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0\t0\n0\t8\n", r"a\.idx, row 2: key 0 stands in row 1 already"),
        ("0\t0\nx\t8\n", r"a\.idx, row 2: 'x\\t8'; expected a key, a tab and an offset"),
        ("0\n", r"a\.idx, row 1: '0'"),
        ("0\t-8\n", r"a\.idx, row 1"),
        ("0\t99999999999999999999\n", r"a\.idx, row 1"),
        ("0\t9999\n", r"a\.rec, record 0 \(offset 9999\): is cut off: the file ends at"),
        ("", "holds no record"),
    ],
)
def test_a_bad_index(tmp_path, text, found):
    path = write_recordio(tmp_path / "a.rec", {0: record(0, png())})
    (tmp_path / "a.idx").write_text(text)
    with pytest.raises(InputError, match=found):
        open_source(str(path))


def test_records_are_read_by_threads_at_once(tmp_path):
    made = {key: record(key, png(key)) for key in range(30)}
    source = open_source(str(write_recordio(tmp_path / "a.rec", made)))
    with ThreadPoolExecutor(8) as pool:
        for seed, sample in enumerate(pool.map(source.read, range(30))):
            np.testing.assert_array_equal(sample.image, picture(seed))
            assert sample.subject == str(seed)


def stack(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("shape", "to_rgb"),
    [
        ((3, 6, 5), lambda x: np.stack([x] * 3, axis=3)),
        ((3, 6, 5, 1), lambda x: np.concatenate([x] * 3, axis=3)),
        ((3, 6, 5, 3), lambda x: x),
        ((3, 6, 5, 4), lambda x: x[..., :3]),
        ((2, 3, 6, 5), lambda x: x.transpose(0, 2, 3, 1)),
        ((2, 1, 6, 5), lambda x: np.stack([x[:, 0]] * 3, axis=3)),
    ],
)
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_of_images(tmp_path, shape, to_rgb, suffix):
    pixels, path = stack(*shape), tmp_path / f"a{suffix}"
    np.save(path, pixels) if suffix == ".npy" else np.savez_compressed(path, images=pixels)
    source = open_source(str(path))
    assert [source.id_of(row) for row in range(len(source))] == ["0", "1", "2"][: len(pixels)]
    assert not source.has_subjects
    assert [note.startswith("read as (N, C, H, W)") for note in source.notes] == (
        [True] if shape[0] == 2 else []
    )
    for row, wanted in enumerate(to_rgb(pixels)):
        found = source.read(row).image
        np.testing.assert_array_equal(found, wanted)
        assert found.flags.c_contiguous


def test_an_npy_stays_on_disk_and_may_have_a_list_beside_it(tmp_path):
    np.save(tmp_path / "a.npy", stack(2, 6, 5, 3))
    (tmp_path / "a.ids.csv").write_text("id,subject\nx,P\ny,Q\n")
    source = open_source(str(tmp_path / "a.npy"))
    base = source._pixels
    while not isinstance(base, np.memmap):
        base = base.base
    assert [source.id_of(0), source.id_of(1)] == ["x", "y"]
    assert [source.read(0).subject, source.read(1).subject] == ["P", "Q"]


def test_an_npz_with_names(tmp_path):
    path = tmp_path / "a.npz"
    people = {"ids": ["x", "y"], "labels": [7, 8], "group/race": ["A", "B"]}
    np.savez(path, X=stack(2, 6, 5), **people)
    source = open_source(str(path))
    assert source.id_of(1) == "y"
    assert source.group_names == ("race",)
    assert source.read(1)[1:] == ("8", {"race": "B"})
    np.savez(path, anything=stack(2, 6, 5), y=[7, 8])
    assert open_source(str(path)).read(0).subject == "7"


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"images": stack(2, 6, 5) / 255}, r"pixels of type float64; expected \(N, H, W\)"),
        ({"images": stack(2, 6, 5).astype(int)}, "pixels of type int64"),
        ({"images": stack(12, 10, 3)}, r"one image of shape \(12, 10, 3\)"),
        ({"images": stack(2, 3, 5, 4)}, "channels may be first or last"),
        ({"images": stack(2, 5, 5, 5)}, "channels are not to be found"),
        ({"images": stack(0, 5, 5)}, r"an array of shape \(0, 5, 5\)"),
        ({"x": stack(4, 4), "y": [1]}, r"holds x \(4, 4\), y \(1,\); expected"),
        ({"a": stack(2, 6, 5), "b": stack(2, 6, 5)}, "holds a .*, b .*, under one of images"),
        ({"images": stack(2, 6, 5), "id": ["x"]}, "1 id for 2 images"),
        ({"images": stack(2, 6, 5), "id": ["x", "x"]}, "id 'x' was already given to row 1"),
        ({"images": stack(2, 6, 5), "y": [0.5, 1]}, "subject column of type float64"),
        ({"images": np.array([[[{}]]], dtype=object)}, "its array 'images' holds pickled Python"),
        (
            {"images": stack(2, 6, 5), "id": np.array(["x", None])},
            "its array 'id' holds pickled Python objects, .*; expected names",
        ),
    ],
)
def test_bad_arrays(tmp_path, arrays, found):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=found):
        open_source(str(tmp_path / "a.npz"))


def test_images_of_several_sizes_saved_as_objects(tmp_path):
    ragged = np.array([stack(6, 5, 3), stack(7, 5, 3)], dtype=object)
    np.save(tmp_path / "a.npy", ragged)
    np.savez(tmp_path / "a.npz", images=ragged)
    for name in ("a.npy", "a.npz"):
        with pytest.raises(InputError, match=r"holds pickled .*; expected \(N, H, W\)") as caught:
            open_source(str(tmp_path / name))
        assert "np.save(OUT, np.stack(images).astype(np.uint8))" in str(caught.value.hint)


def test_bad_npy_files(tmp_path):
    np.savez(tmp_path / "b.npz", images=stack(2, 6, 5))
    (tmp_path / "b.npz").rename(tmp_path / "b.npy")
    np.save(tmp_path / "cut.npy", stack(9, 40, 40))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-9])
    np.save(tmp_path / "flat.npy", np.uint8(3))
    save(tmp_path / "text.npy")
    (tmp_path / "void.npy").touch()
    for name, found in (
        ("b.npy", "is an .npz"),
        ("cut.npy", "not a readable"),
        ("flat.npy", r"an array of shape \(\)"),
        ("text.npy", r"begins with b.\\x89PNG"),
        ("void.npy", r"is empty \(0 bytes\); expected"),
    ):
        with pytest.raises(InputError, match=found):
            open_source(str(tmp_path / name))
