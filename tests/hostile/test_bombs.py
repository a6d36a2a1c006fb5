"""Small files that claim or become large: refused by their claim, or read piece by piece."""

from __future__ import annotations

import bz2
import gzip
import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from damcli.errors import InputError
from damcli.storage import memory
from damcli.storage.files import open_embeddings, read_embeddings
from tests.cli import damcli, failed
from tests.images import encoded, picture, save
from tests.networks import conv_net

ROWS, DIM = 40_000, 64


@pytest.fixture
def little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let 5 MB be free: the bombs here are of 10 MB and more."""
    monkeypatch.setattr(memory, "available_memory", lambda: 5_000_000)


def npz_bomb(path: Path, name: str = "embedding", shape: tuple[int, ...] = (ROWS, DIM)) -> Path:
    array = np.zeros(shape, dtype=np.float32 if name == "embedding" else np.uint8)
    np.savez_compressed(path, **{name: array})
    assert path.stat().st_size < array.nbytes // 500
    return path


def parquet_bomb(path: Path) -> Path:
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(ROWS * DIM, np.float32)), DIM)
    pq.write_table(pa.table({"embedding": lists}), path, compression="zstd")
    assert path.stat().st_size < ROWS * DIM // 50
    return path


def hdf5_bomb(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        made = file.create_dataset("embedding", (10**12, DIM), "f4", chunks=(64, DIM))
        made[:64] = 1
    return path


@pytest.mark.usefixtures("little_memory")
@pytest.mark.parametrize(
    ("make", "name", "what"),
    [
        (npz_bomb, "a.npz", "its arrays take 10.2 MB once read, and 5 MB of memory are free"),
        (parquet_bomb, "a.parquet", "its columns take 10.2 MB once read"),
        (hdf5_bomb, "a.h5", "the names of 1,000,000,000,000 rows take 64 TB once read"),
    ],
)
def test_embeddings(tmp_path: Path, make: Callable[[Path], Path], name: str, what: str) -> None:
    path, output = make(tmp_path / name), tmp_path / "out.h5"
    failed(damcli("convert", path, "-o", output), f"{path}: ", what, "hint: if the file is what")
    assert not output.exists()


@pytest.mark.usefixtures("little_memory")
def test_what_is_streamed_may_be_larger_than_the_memory(tmp_path: Path) -> None:
    ones = np.ones((ROWS, DIM), dtype=np.float32)
    np.save(tmp_path / "a.npy", ones)
    opened = open_embeddings(tmp_path / "a.npy")
    assert len(opened.take(np.array([0, ROWS - 1]))) == 2
    with pytest.raises(InputError, match=r"its vectors take 10\.2 MB once read"):
        opened.load()


@pytest.mark.usefixtures("little_memory")
def test_images(tmp_path: Path) -> None:
    path = npz_bomb(tmp_path / "a.npz", "images", (10, 1000, 1000, 1))
    model = conv_net(tmp_path / "net.onnx")
    failed(
        damcli("embed", path, "--model", model, "--preset", "arcface", "-o", tmp_path / "out.h5"),
        "a.npz: its arrays take 10 MB once read",
    )


def test_a_directory_that_claims_less_gives_no_more(tmp_path: Path) -> None:
    path = npz_bomb(tmp_path / "a.npz")
    data = bytearray(path.read_bytes())
    directory = data.rindex(b"PK\x01\x02")
    data[directory + 24 : directory + 28] = struct.pack("<I", 1000)
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"a\.npz: not a readable \.npz"):
        read_embeddings(path)


def test_honest_files_of_any_ratio_are_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "a.npz", embedding=np.ones((20_000, 8), dtype=np.float32))
    assert len(read_embeddings(tmp_path / "a.npz")) == 20_000


def test_the_memory_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_CGROUP", tmp_path)
    free = memory.available_memory()
    assert free > 1 << 24
    (tmp_path / "memory.max").write_text("2000000\n")
    (tmp_path / "memory.current").write_text("500000\n")
    assert memory.available_memory() == 1_500_000
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 1 << 24


def endless(compress: Callable[[bytes], bytes], start: bytes = b"") -> bytes:
    return compress(start + b"x" * 3_000_000)


def zstd(data: bytes) -> bytes:
    into = io.BytesIO()
    with pa.CompressedOutputStream(pa.PythonFile(into, mode="w"), "zstd") as stream:
        stream.write(data)
        stream.flush()
        return bytes(into.getvalue())


@pytest.mark.parametrize(
    ("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstd)]
)
def test_lines_that_do_not_end(tmp_path: Path, suffix: str, compress) -> None:
    images = tmp_path / f"images.txt.{suffix}"
    images.write_bytes(endless(compress, b"a.png\n"))
    model = conv_net(tmp_path / "net.onnx")
    told = "row 2: a line of more than 1,000,000 characters"
    embed = ["embed", images, "--model", model, "--preset", "arcface"]
    failed(damcli(*embed, "-o", tmp_path / "emb.h5"), f"{images}, {told}")
    trials = tmp_path / f"trials.txt.{suffix}"
    trials.write_bytes(endless(compress, b"1 a b\n"))
    np.savez(
        tmp_path / "e.npz", embedding=np.eye(3, dtype=np.float32), id=np.array(["a", "b", "c"])
    )
    anchors = tmp_path / "a.h5"
    built = damcli("build-anchors", tmp_path / "e.npz", "-o", anchors, "--kind", "fake-db")
    assert built.code == 0
    score = ["score", trials, "-e", tmp_path / "e.npz", "-a", anchors, "--allow-overlap"]
    failed(damcli(*score), f"{trials}, {told}")


def test_a_picture_of_too_many_pixels_is_counted_and_named(tmp_path: Path) -> None:
    size = struct.pack(">II", 20_000, 20_000)
    plain = encoded(picture(1), "PNG")
    header = b"IHDR" + size + plain[24:29]
    bomb = plain[:12] + header + struct.pack(">I", zlib.crc32(header)) + plain[33:]
    for row in range(3):
        save(tmp_path / "photos" / f"{row}.png", row)
    (tmp_path / "photos" / "bomb.png").write_bytes(bomb)
    model, output = conv_net(tmp_path / "net.onnx", size=(8, 8)), tmp_path / "emb.h5"
    embed = ["embed", tmp_path / "photos", "--model", model, "--size", "8x8", "--crop", "center"]
    done = damcli(*embed, "--color", "rgb", "--mean", 0, "--std", 255, "-o", output)
    assert done.code == 0, done.err
    assert "bomb.png" in done.err
    listed = (tmp_path / "emb.rejects.csv").read_text()
    assert "bomb.png" in listed
    assert "is too large" in listed
    assert len(read_embeddings(output)) == 3


def test_a_zip_in_the_place_of_an_array(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(
            "embedding.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", 60000) + b"(" * 9
        )
    failed(damcli("info", tmp_path / "a.npz"), "a.npz: not a readable .npz")
