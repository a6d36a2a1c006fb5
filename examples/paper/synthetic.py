"""People made of numbers, for trying out the whole paper where there is nobody's photograph.

A person is a point of a normal space, and looks like a smooth pattern that this point mixes
from a few basic ones. Each image moves the point a little, shifts, turns and scales the
pattern, changes its light, and adds noise::

    python examples/paper/synthetic.py FOLDER

writes ``train/`` and ``validation/``, a folder a person; ``lfw/``, other people again, with a
``pairs.txt`` in LFW's layout; and ``generator.onnx``, which makes faces of nobody from latents.
The same seed makes the same files. Needs nothing that damcli does not.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIDE, LATENT = 112, 24
Array = NDArray[np.float32]


def main() -> None:
    """Write all files."""
    options = read_options()
    rng = np.random.default_rng(options.seed)
    patterns = basic_patterns(rng)
    out: Path = options.folder
    for number in range(options.people):
        write_person(out / "train" / f"train_{number:04d}", patterns, options.images, rng)
    for number in range(options.people // 3):
        write_person(out / "validation" / f"validation_{number:04d}", patterns, 6, rng)
    people = [f"Person_{number:04d}" for number in range(options.people)]
    for name in people:
        write_person(out / "lfw" / name, patterns, 4, rng)
    write_pairs(out / "lfw" / "pairs.txt", people, 4, rng)
    onnx.save(generator(patterns), out / "generator.onnx")


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people", type=int, default=48, help="to train (default: %(default)s)")
    parser.add_argument("--images", type=int, default=12, help="of each (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def basic_patterns(rng: np.random.Generator) -> Array:
    """Return (LATENT, 3, SIDE, SIDE) smooth patterns of unit variance: sums of slow waves."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    patterns = np.empty((LATENT, 3, SIDE, SIDE), dtype=np.float32)
    for pattern in patterns.reshape(-1, SIDE, SIDE):
        waves = rng.uniform(-3, 3, (8, 2))
        phases = rng.uniform(0, 2 * np.pi, 8)
        for (along_x, along_y), phase in zip(waves, phases, strict=True):
            pattern += np.cos(2 * np.pi * (along_x * x + along_y * y) + phase)
    return patterns / patterns.std(axis=(1, 2, 3), keepdims=True)


def look_of(points: Array, patterns: Array) -> Array:
    """Return the looks of (N, LATENT) points: (N, 3, SIDE, SIDE), -1 to 1."""
    mixed = np.tensordot(points, patterns, axes=1) / np.sqrt(LATENT)
    return np.asarray(np.tanh(mixed), dtype=np.float32)


def write_person(folder: Path, patterns: Array, images: int, rng: np.random.Generator) -> None:
    """Write the images of a new person, ``NAME/NAME_0001.jpg`` and so on."""
    folder.mkdir(parents=True)
    person = rng.normal(size=LATENT)
    points = person + 0.4 * rng.normal(size=(images, LATENT))
    for number, look in enumerate(look_of(points.astype(np.float32), patterns), start=1):
        pixels = (127.5 + 127.5 * look).round().astype(np.uint8).transpose(1, 2, 0)
        seen = photograph(Image.fromarray(pixels), rng)
        seen.save(folder / f"{folder.name}_{number:04d}.jpg", quality=90)


def photograph(look: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Turn, scale and shift a look, change its light, and add noise."""
    angle, scale = rng.normal(0, np.radians(8)), rng.normal(1, 0.06)
    cosine, sine = scale * np.cos(angle), scale * np.sin(angle)
    centre, (right, down) = SIDE / 2, rng.normal(0, 4, 2)
    matrix = (
        *(cosine, sine, centre - centre * (cosine + sine) + right),
        *(-sine, cosine, centre - centre * (cosine - sine) + down),
    )
    moved = look.transform(
        look.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR, fillcolor=(96, 96, 96)
    )
    light, contrast = rng.normal(0, 20, 3), rng.normal(1, 0.15)
    pixels = 127.5 + contrast * (np.asarray(moved) - 127.5) + light
    pixels += rng.normal(0, 10, pixels.shape)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_pairs(path: Path, people: list[str], images: int, rng: np.random.Generator) -> None:
    """Write ten folds of pairs in LFW's layout."""
    per_fold = 30
    lines = [f"10\t{per_fold}"]
    for _ in range(10):
        for name in rng.choice(people, per_fold):
            one, other = rng.choice(images, 2, replace=False) + 1
            lines.append(f"{name}\t{one}\t{other}")
        for _ in range(per_fold):
            name, stranger = rng.choice(people, 2, replace=False)
            one, other = rng.integers(images, size=2) + 1
            lines.append(f"{name}\t{one}\t{stranger}\t{other}")
    path.write_text("\n".join(lines) + "\n")


def generator(patterns: Array) -> onnx.ModelProto:
    """Return a graph that does what `look_of` does: latents (N, LATENT) to images -1 to 1."""
    weights = patterns.reshape(LATENT, -1) / np.float32(np.sqrt(LATENT))
    shape = np.array([-1, 3, SIDE, SIDE], dtype=np.int64)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["latent", "patterns"], ["mixed"]),
            helper.make_node("Tanh", ["mixed"], ["flat"]),
            helper.make_node("Reshape", ["flat", "shape"], ["image"]),
        ],
        "synthetic people",
        [helper.make_tensor_value_info("latent", TensorProto.FLOAT, ["n", LATENT])],
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [numpy_helper.from_array(weights, "patterns"), numpy_helper.from_array(shape, "shape")],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=8)


if __name__ == "__main__":
    main()
