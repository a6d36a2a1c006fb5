"""HDF5 files that are cut, forged, or keep their data in other files."""

from __future__ import annotations

import gc
import os
import sys

import h5py
import numpy as np
import pytest

from damcli.errors import InputError
from damcli.storage.files import open_embeddings, read_embeddings
from damcli.storage.hdf5 import write_embeddings


@pytest.fixture
def good(tmp_path, make_embeddings):
    path = tmp_path / "a.h5"
    write_embeddings(path, make_embeddings(3000, 16))
    return path


def forge(path, **items):
    """Write a file of two rows, of which the items replace or add to what is usual."""
    with h5py.File(path, "w") as file:
        for name, item in {"embedding": np.eye(2), "id": ["a", "b"], **items}.items():
            if item is not None:
                file[name.replace("__", "/")] = item
    return path


@pytest.mark.parametrize("keep", [1, 8, 40, 100, 2000, 0.3, 0.9, -1])
def test_a_truncated_file_is_refused(good, keep):
    whole = good.read_bytes()
    good.write_bytes(whole[: int(keep * len(whole)) if isinstance(keep, float) else keep])
    with pytest.raises(InputError, match=r"a\.h5: ") as caught:
        read_embeddings(good)
    assert "\n" not in str(caught.value)
    if keep == -1:
        assert "a truncated HDF5 file" in str(caught.value)


def test_files_that_are_no_hdf5(tmp_path):
    (tmp_path / "text.h5").write_text("hello " * 100)
    (tmp_path / "empty.h5").touch()
    (tmp_path / "folder.h5").mkdir()
    for name, found in {
        "text.h5": "not an HDF5 file, though its name says so",
        "empty.h5": "is empty",
        "folder.h5": "is a folder; expected a file of embeddings",
        "missing.h5": "no such file",
        "x" * 300 + ".h5": "cannot be reached",
    }.items():
        with pytest.raises(InputError, match=found):
            open_embeddings(tmp_path / name)


def test_a_chunk_that_cannot_be_decompressed_is_named_when_it_is_read(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "vectors", data=np.ones((20_000, 4)), chunks=(1000, 4), compression="gzip"
        )
        chunk = file["vectors"].id.get_chunk_info(17)
    raw = bytearray(path.read_bytes())
    raw[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(raw)
    source = open_embeddings(path)
    assert len(source.take(np.array([3, 2]))) == 2
    for read in (source.load, source.invalid, lambda: source.norms):
        with pytest.raises(InputError, match=r"a\.h5: damaged near row 16385"):
            read()


def test_random_damage_never_ends_in_a_bare_traceback(tmp_path, rng):
    path = forge(tmp_path / "a.h5", embedding=np.ones((200, 4)), id=[str(n) for n in range(200)])
    whole = path.read_bytes()
    refused = 0
    for round_ in range(400):
        raw = bytearray(whole)
        for place in rng.integers(8, 2200, size=1 + round_ % 12):
            raw[place] = rng.integers(256)
        path.write_bytes(raw)
        try:
            read_embeddings(path)
        except InputError:
            refused += 1
    assert refused > 100


def test_rows_that_were_never_written_are_not_made_up(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("vectors", shape=(2**40, 512), chunks=(1024, 512), dtype="f4")
    with pytest.raises(InputError, match="'vectors' is empty"):
        open_embeddings(tmp_path / "a.h5")


@pytest.mark.parametrize("version", [2, 99])
def test_a_format_of_the_future_asks_for_a_newer_damcli(good, version):
    with h5py.File(good, "a") as file:
        file.attrs["format_version"] = version
    with pytest.raises(InputError, match=f"format version {version}; expected at most 1") as caught:
        open_embeddings(good)
    assert "upgrade" in caught.value.hint


@pytest.mark.parametrize("version", ["one", 0, 1.5, [1, 2], None])
def test_a_format_version_that_is_none(good, version):
    with h5py.File(good, "a") as file:
        del file.attrs["format_version"]
        if version is not None:
            file.attrs["format_version"] = version
    with pytest.raises(InputError, match=r"format version .*; expected 1"):
        open_embeddings(good)


def test_another_file_of_damcli_is_not_taken_for_embeddings(good):
    with h5py.File(good, "a") as file:
        file.attrs["format"] = np.bytes_(b"damcli/lidr")
    with pytest.raises(InputError, match="holds damcli/lidr; expected embeddings"):
        open_embeddings(good)


@pytest.mark.parametrize(
    ("items", "found"),
    [
        ({"embedding": None, "embedding__weights": np.eye(2)}, "'embedding' is a group"),
        ({"embedding": None, "embedding__w": 1, "id": None}, "'embedding' is a group"),
        ({"embedding": None}, "holds id; expected the vectors under one of"),
        ({"embedding": h5py.Empty("f4")}, "'embedding' is empty"),
        ({"embedding": np.dtype("f4")}, "'embedding' is a datatype"),
        ({"embedding": ["x", "y"]}, r"expected \(N, D\)"),
        ({"embedding": [["x"], ["y"]]}, "vectors of type object; expected real numbers"),
        ({"embedding": np.ones((2, 2), dtype=[("a", "f4")])}, "expected real numbers"),
        ({"embedding": np.ones((2, 2), dtype=bool)}, "expected real numbers"),
        ({"id": ["a", "b", "c"]}, r"'id' of shape \(3,\) for 2 embeddings"),
        ({"id": "a"}, r"'id' of shape \(\) for 2 embeddings"),
        ({"id": np.eye(2)}, r"'id' of shape \(2, 2\)"),
        ({"id": [0.5, 1.5]}, "id column of type float64"),
        ({"id": h5py.Empty("S3")}, "'id' is empty"),
        ({"id": np.array([b"a", b"\xe9"])}, "column 'id' is damaged"),
        ({"id": ["a", ""]}, "row 2: id '' is empty"),
        ({"subject": ["", "x"]}, "row 1: subject '' is empty"),
        ({"norm": ["a", "b"]}, "norms that are not numbers"),
        ({"group__race": ["x"]}, r"'race' of shape \(1,\) for 2"),
        ({"group__deep__race": ["x", "y"]}, "'deep' is a group"),
        ({"embedding": h5py.SoftLink("/nowhere")}, "'embedding' is kept elsewhere"),
        ({"id": h5py.SoftLink("/nowhere")}, "'id' is kept elsewhere"),
    ],
)
def test_items_that_are_not_what_they_should_be(tmp_path, items, found):
    with pytest.raises(InputError, match=rf"a\.h5.*{found}"):
        open_embeddings(forge(tmp_path / "a.h5", **items))


def test_whole_numbers_are_ids_and_a_group_does_not_hide_the_vectors(tmp_path):
    path = forge(
        tmp_path / "a.h5", id=np.array([7, 12]), embedding=None, embedding__w=1, vectors=np.eye(2)
    )
    assert read_embeddings(path).ids.tolist() == ["7", "12"]


def test_attributes_of_any_kind_do_not_stop_a_foreign_file(tmp_path):
    path = forge(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs["list"] = [1, 2]
        file.attrs["nothing"] = h5py.Empty("f4")
        file.attrs["link"] = file["id"].ref
        file.attrs["latin"] = np.bytes_(b"caf\xe9")
        file.attrs["count"] = np.int32(4)
        file.attrs["flag"] = True
    source = open_embeddings(path)
    assert source.attributes == {"latin": "caf\ufffd", "count": 4, "flag": True}
    write_embeddings(tmp_path / "b.h5", source)
    assert open_embeddings(tmp_path / "b.h5").attributes["count"] == 4


@pytest.mark.parametrize("column", ["embedding", "id", "subject", "norm", "group/race"])
@pytest.mark.parametrize("way", ["external link", "external storage", "virtual"])
def test_data_kept_in_other_files_is_refused(tmp_path, column, way):
    """Else a file from elsewhere could carry the reader's own files into an output."""
    values = np.eye(2) if column == "embedding" else np.array([5, 6])
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other[column] = values
    path = forge(tmp_path / "a.h5", **{column.replace("/", "__"): None})
    with h5py.File(path, "a") as file:
        if way == "external link":
            file[column] = h5py.ExternalLink("secret.h5", column)
        elif way == "external storage":
            raw = tmp_path / "raw.bin"
            raw.write_bytes(values.tobytes())
            file.create_dataset(
                column, values.shape, values.dtype, external=[(str(raw), 0, h5py.h5f.UNLIMITED)]
            )
        else:
            layout = h5py.VirtualLayout(values.shape, values.dtype)
            layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), column, values.shape)
            file.create_virtual_dataset(column, layout)
    with pytest.raises(InputError, match="is kept elsewhere"):
        open_embeddings(path)


def test_groups_reached_through_a_link_are_refused(tmp_path):
    with h5py.File(tmp_path / "secret.h5", "w") as other:
        other["group/race"] = ["a", "b"]
    path = forge(tmp_path / "a.h5", group=h5py.ExternalLink("secret.h5", "group"))
    with pytest.raises(InputError, match="'group' is kept elsewhere"):
        open_embeddings(path)


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_a_refused_file_is_closed(tmp_path):
    path = forge(tmp_path / "a.h5", id=["a", ""])
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a listing, not paths
    for _ in range(5):
        with pytest.raises(InputError):
            open_embeddings(forge(tmp_path / "b.h5", embedding=np.ones(3)))
        with pytest.raises(InputError):
            open_embeddings(path)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before  # noqa: PTH208
