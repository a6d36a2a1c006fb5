"""Files made to harm, given to the commands: a message, no file, and nothing of theirs is run."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from damcli.storage.hdf5 import write_embeddings
from tests.cli import damcli, failed
from tests.faces import anchors, faces
from tests.images import save
from tests.networks import conv_net


class Payload:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.mark}'",)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_embeddings(Path("e.h5"), faces(6, 2))
    write_embeddings(Path("a.h5"), anchors())
    conv_net(Path("net.onnx"))
    for row in range(8):
        save(tmp_path / "photos" / str(row % 2) / f"{row}.png", row)
    return tmp_path


def refused(folder: Path, line: str, *parts: str) -> None:
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    failed(damcli(*line.split()), *parts)
    after = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert before == after


def raw(path: Path, payload: Payload) -> None:
    path.write_bytes(pickle.dumps(([payload, payload], [True])))


def objects(path: Path, payload: Payload) -> None:
    np.save(path, np.array([payload, payload], dtype=object), allow_pickle=True)


def archived(path: Path, payload: Payload) -> None:
    column = np.array([payload, payload], dtype=object)
    np.savez(path, embedding=np.eye(2), images=np.zeros((2, 9, 9), np.uint8), id=column)


def saved_by_torch(path: Path, payload: Payload) -> None:
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.ones(3, 4), "x": payload}, path)


EMBED = "embed {} --model net.onnx --preset arcface -o out.h5"
MODEL = "embed photos --model {} --preset arcface -o out.h5"
CENTRES = "build-anchors {} --kind fc-weights -o out.h5"
PICKLES = [
    ("a.bin", raw, EMBED, "asks for posix.system"),
    ("a.bin", raw, "score --protocol insightface-bin --root {} -e e.h5 -a a.h5", "posix.system"),
    ("a.bin", raw, "train photos -o run --recipe cpu --validate {}", "a.bin"),
    ("a.npy", objects, EMBED, "pickled Python objects"),
    ("a.npy", objects, "convert {} -o out.h5", "not a readable .npy"),
    ("a.npy", objects, CENTRES, "pickled Python objects"),
    ("a.npy", raw, "convert {} -o out.h5", "not a readable .npy"),
    ("a.npz", archived, EMBED, "pickled Python objects"),
    ("a.npz", archived, "info {}", "not a readable .npz"),
    ("a.npz", archived, "score --all-pairs -e {} -a a.h5", "not a readable .npz"),
    ("a.pt", saved_by_torch, CENTRES, "pickled Python objects"),
    ("a.pth", raw, CENTRES, "cannot be read"),
    ("a.pt", saved_by_torch, MODEL, "a.pt: "),
    ("a.pth", raw, MODEL, "a.pth: "),
]


@pytest.mark.parametrize(("name", "write", "line", "told"), PICKLES)
def test_pickles(folder: Path, name: str, write, line: str, told: str) -> None:
    mark = folder / "mark"
    write(folder / name, Payload(mark))
    refused(folder, line.format(name), name, told)
    assert not mark.exists()


def test_the_payload_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Payload(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


def external_link(file: h5py.File, name: str, values: np.ndarray) -> None:
    file[name] = h5py.ExternalLink("secret.h5", "secret")


def soft_link(file: h5py.File, name: str, values: np.ndarray) -> None:
    file["elsewhere"] = values
    file[name] = h5py.SoftLink("/elsewhere")


def external_storage(file: h5py.File, name: str, values: np.ndarray) -> None:
    kept = [("secret.raw", 0, h5py.h5f.UNLIMITED)]
    file.create_dataset(name, values.shape, "f4", external=kept)


def virtual(file: h5py.File, name: str, values: np.ndarray) -> None:
    layout = h5py.VirtualLayout(values.shape, "f4")
    layout[:] = h5py.VirtualSource("secret.h5", "secret", values.shape)
    file.create_virtual_dataset(name, layout)


@pytest.mark.parametrize("way", [external_link, soft_link, external_storage, virtual])
@pytest.mark.parametrize("name", ["embedding", "norm"])
@pytest.mark.parametrize(
    "line",
    [
        "convert evil.h5 -o out.h5",
        "score --all-pairs -e e.h5 -a evil.h5 -o out.csv",
        "build-anchors evil.h5 -o out.h5 --kind fake-db",
    ],
)
def test_hdf5_that_reaches_out(folder: Path, way: Callable[..., None], name: str, line: str):
    values = np.full((12, 16) if name == "embedding" else 12, 7, dtype=np.float32)
    with h5py.File("secret.h5", "w") as file:
        file["secret"] = values
    Path("secret.raw").write_bytes(values.tobytes())
    source = "a.h5" if "-a evil.h5" in line else "e.h5"
    Path("evil.h5").write_bytes(Path(source).read_bytes())
    with h5py.File("evil.h5", "r+") as file:
        values = values if name == "embedding" else np.ones(len(file["id"]), dtype=np.float32)
        if name in file:
            del file[name]
        way(file, name, values)
    refused(folder, line, "evil.h5", f"'{name}' is kept elsewhere", "hint: copy the data into one")


def test_onnx_that_brings_a_library(folder: Path) -> None:
    node = helper.make_node("Run", ["embedding"], ["more"], domain="evil.ops")
    conv_net(Path("evil.onnx"), nodes=[node], domains=["evil.ops"])
    refused(folder, MODEL.format("evil.onnx"), "evil.onnx: needs operators", "evil.ops.Run")


@pytest.mark.parametrize("location", ["../secret.bin", "/etc/passwd", "link.bin"])
@pytest.mark.parametrize("line", [MODEL, CENTRES])
def test_onnx_that_reaches_out(folder: Path, location: str, line: str) -> None:
    inner = folder / "inner"
    inner.mkdir()
    (folder / "secret.bin").write_bytes(bytes(80))
    (inner / "link.bin").symlink_to(folder / "secret.bin")
    model = onnx.load("net.onnx")
    (tensor,) = [one for one in model.graph.initializer if one.name == "head"]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    (inner / "evil.onnx").write_bytes(model.SerializeToString())
    refused(folder, line.format("inner/evil.onnx"), "inner/evil.onnx: ", location, "side by side")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            f"lr = 1{'0' * 400}",
            "lr is a number of 1329 bits; expected a number above 0, below 2^63",
        ),
        (f"steps = 1{'0' * 30}", "steps is a number of 100 bits; expected a whole number of 1"),
        (f"seed = 9{'9' * 5000}", "is not TOML (Exceeds the limit"),
        ("dim = 10000000", "dim is 10000000; expected a whole number from 1 to 65,536"),
        ("x = " + "[" * 5000, "is not TOML ("),
        ("dim.deep.er = 1", "dim is {'deep': {'er': 1}}; expected a whole number"),
        ("[head]\nx = 1", "head is {'x': 1}; expected one of"),
        ("recipe = [1]", "recipe is [1]; expected a name"),
        ("recipe = {a = 1}", "recipe is {'a': 1}; expected a name"),
        ("steps = true", "steps is True; expected a whole number"),
        ("lr = nan", "lr is nan; expected a number above 0"),
        ('backbone = "__import__"', "backbone is '__import__'; expected one of"),
        (f'head = "{"x" * 9999}"', "head is 'xxxxxxxx"),
        ("'__class__' = 1", "unknown key '__class__'"),
        ("milestones = 1979-05-27", "milestones is datetime.date(1979, 5, 27); expected whole"),
    ],
)
def test_toml(folder: Path, text: str, told: str) -> None:
    Path("evil.toml").write_text(text)
    refused(folder, "train photos -o run --config evil.toml", "evil.toml: ", told)
