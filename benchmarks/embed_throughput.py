"""Embed 112 x 112 JPEGs with a network of a given cost: against the bare network."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rounds import compare, row

from damcli.embedding.embed import embed
from damcli.models.opening import open_network
from damcli.models.preprocessing import Preprocessing
from damcli.sources.opening import open_source

BATCH, DIM = 32, 512
# Channels out, stride, and how often: inverted residuals as in MobileFaceNet, 0.44 GFLOP.
MOBILE = ((64, 2, 5), (128, 2, 1), (128, 1, 6), (128, 2, 1), (128, 1, 2))
# Pairs of 3 x 3 convolutions as in the ResNet-50 of face recognition, 12.6 GFLOP.
RESNET50 = ((64, 2, 3), (128, 2, 4), (256, 2, 14), (512, 2, 3))
PREPROCESSING = Preprocessing((112, 112), "rgb", (127.5,) * 3, (127.5,) * 3)


def main() -> None:
    """Make images and a network of random weights, and print the ratio of the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=["mobile", "resnet50"], default="resnet50")
    parser.add_argument("--model", type=Path, help="an .onnx for 112 x 112 instead")
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = write_images(folder / "faces", options.images)
        if options.model is None:
            _write_network(folder / "model.onnx", options.network)
        network = open_network(options.model or folder / "model.onnx")
        source = open_source(str(folder / "faces"))
        batches = [
            PREPROCESSING.apply(images[start : start + BATCH])
            for start in range(0, len(images), BATCH)
        ]

        def bare() -> None:
            for batch in batches:
                network.run(batch)

        def ours() -> None:
            embed(
                source,
                network,
                folder / "emb.h5",
                preprocessing=PREPROCESSING,
                batch_size=BATCH,
                workers=options.workers,
                force=True,
            )

        bare()
        medians = compare({"batches in memory": bare, "damcli embed": ours}, options.rounds)
    rates = {what: len(images) / seconds for what, seconds in medians.items()}
    print(", ".join(f"{what} {rate:.0f} images/s" for what, rate in rates.items()))
    kept = rates["damcli embed"] / rates["batches in memory"]
    which = options.network if options.model is None else options.model.name
    row(f"`damcli embed`, images/s ({which})", "the bare network", f"{kept:.3f}", ">= .9")


def write_images(folder: Path, count: int, *, subjects: int = 1) -> np.ndarray:
    """Write smooth noise, which JPEG packs about as tightly as faces (4 to 5 kB)."""
    rng = np.random.default_rng(0)
    images = np.empty((count, 112, 112, 3), dtype=np.uint8)
    for subject in range(subjects):
        (folder / str(subject)).mkdir(parents=True)
    for number in range(count):
        coarse = rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)
        image = Image.fromarray(coarse).resize((112, 112), Image.Resampling.BICUBIC)
        image.save(folder / str(number % subjects) / f"{number:05d}.jpg", quality=90)
        images[number] = np.asarray(image)
    return images


class _Layers:
    """Collects the nodes and weights of a network."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []
        self.last, self.channels = "x", 3
        self._rng = np.random.default_rng(1)

    def conv(self, channels: int, size: int, stride: int = 1, *, depthwise: bool = False) -> None:
        groups = self.channels if depthwise else 1
        shape = (channels, self.channels // groups, size, size)
        self._add(
            "Conv",
            [self.last, self._weight(shape)],
            strides=[stride] * 2,
            pads=[size // 2] * 4,
            group=groups,
        )
        self._add("Relu", [self.last])
        self.channels = channels

    def inverted(self, channels: int, stride: int) -> None:
        entry, inner = self.last, 2 * self.channels
        same = stride == 1 and channels == self.channels
        self.conv(inner, 1)
        self.conv(inner, 3, stride, depthwise=True)
        self.conv(channels, 1)
        if same:
            self._add("Add", [self.last, entry])

    def residual(self, channels: int, stride: int) -> None:
        entry, same = self.last, stride == 1
        self.conv(channels, 3)
        self.conv(channels, 3, stride)
        if same:
            self._add("Add", [self.last, entry])

    def head(self, dim: int) -> None:
        self._add("GlobalAveragePool", [self.last])
        self._add("Flatten", [self.last])
        self._add("MatMul", [self.last, self._weight((self.channels, dim))])

    def _weight(self, shape: tuple[int, ...]) -> str:
        name = f"w{len(self.weights)}"
        values = self._rng.normal(size=shape) / np.sqrt(np.prod(shape[1:]))
        self.weights.append(numpy_helper.from_array(values.astype(np.float32), name))
        return name

    def _add(self, kind: str, inputs: list[str], **attributes: Any) -> None:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        self.last = name


def _write_network(path: Path, kind: str) -> None:
    layers = _Layers()
    if kind == "mobile":
        layers.conv(64, 3, 2)
        layers.conv(64, 3, depthwise=True)
    else:
        layers.conv(64, 3)
    block = layers.inverted if kind == "mobile" else layers.residual
    for channels, stride, times in MOBILE if kind == "mobile" else RESNET50:
        for number in range(times):
            block(channels, stride if number == 0 else 1)
    layers.conv(512, 1)
    layers.head(DIM)
    taken = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 112, 112])
    given = helper.make_tensor_value_info(layers.last, TensorProto.FLOAT, ["n", DIM])
    graph = helper.make_graph(layers.nodes, "net", [taken], [given], initializer=layers.weights)
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


if __name__ == "__main__":
    main()
