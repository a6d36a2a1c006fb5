from __future__ import annotations

import csv
import json
import os
import pickle
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from damcli.cli.console import speed_of
from damcli.storage.files import open_embeddings, read_embeddings
from damcli.storage.partial import partials_of
from tests.cli import Outcome, damcli, failed
from tests.networks import conv_net, oracle

ROOT = Path(__file__).parent.parent
CONTRACT = ("--color", "rgb", "--mean", "127.5", "--std", "127.5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four people with three pictures each, and a model."""
    rng = np.random.default_rng(2)
    for person in range(4):
        (tmp_path / "faces" / f"p{person}").mkdir(parents=True)
        base = rng.integers(0, 256, 3)
        for number in range(3):
            noise = rng.integers(-40, 40, (8, 9, 3))
            pixels = np.clip(base + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces" / f"p{person}" / f"{number}.png")
    conv_net(tmp_path / "model.onnx")
    return tmp_path


def embed(folder: Path, *more: object, output: str | None = "emb.h5", contract=CONTRACT) -> Outcome:
    out = () if output is None else ("-o", folder / output)
    return damcli(
        "embed", folder / "faces", "--model", folder / "model.onnx", *contract, *more, *out
    )


def by_hand(folder: Path) -> np.ndarray:
    paths = sorted((folder / "faces").glob("*/*.png"))
    images = np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.float64)
    return oracle(((images - 127.5) / 127.5).transpose(0, 3, 1, 2))


def test_a_folder_through_a_model(folder: Path) -> None:
    done = embed(folder, "--size", "8x9", "--json")
    assert done.code == 0, done.err
    summary = json.loads(done.out)
    assert (summary["schema"], summary["embeddings"]) == ("damcli/embed", 12)
    assert "12 images from" in done.err
    found = read_embeddings(folder / "emb.h5")
    expected = by_hand(folder)
    assert list(found.ids[:4]) == ["p0/0.png", "p0/1.png", "p0/2.png", "p1/0.png"]
    assert list(found.subjects[::3]) == ["p0", "p1", "p2", "p3"]
    np.testing.assert_allclose(found.norms, np.linalg.norm(expected, axis=1), rtol=1e-5)
    np.testing.assert_allclose(found.vectors * found.norms[:, None], expected, atol=1e-5)
    shown = damcli("info", folder / "emb.h5").out
    for part in ("model.onnx", "model_sha256", "127.5", "onnxruntime", "framing", "damcli embed"):
        assert part in shown


def test_the_python_api_does_the_same(folder: Path) -> None:
    import damcli as api

    embed(folder)
    network = api.open_network(folder / "model.onnx")
    prepared = api.resolve_preprocessing(
        color="rgb", mean=127.5, std=127.5, stated=network.input, origin="model.onnx"
    )
    source = api.open_source(str(folder / "faces"))
    done = api.embed(source, network, folder / "api.h5", preprocessing=prepared)
    assert done.written == 12
    one, other = read_embeddings(folder / "emb.h5"), read_embeddings(folder / "api.h5")
    assert (one.vectors == other.vectors).all()


def test_a_list_from_stdin(folder: Path) -> None:
    names = b"p2/1.png\np0/0.png\n"
    done = damcli(
        *("embed", "-", "--root", folder / "faces", "--model", folder / "model.onnx", *CONTRACT),
        *("-o", folder / "emb.h5"),
        stdin=names,
    )
    assert done.code == 0, done.err
    assert list(read_embeddings(folder / "emb.h5").ids) == ["p2/1.png", "p0/0.png"]


def test_broken_images_are_warned_of_even_with_quiet(folder: Path) -> None:
    (folder / "faces" / "p1" / "1.png").write_bytes(b"")
    done = embed(folder, "--quiet")
    assert done.code == 0
    assert done.err.count("\n") == 1
    assert "warning: 1 image without an embedding" in done.err
    assert "p1/1.png" in done.err
    with (folder / "emb.rejects.csv").open() as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["p1/1.png"]
    assert open_embeddings(folder / "emb.h5").attributes["rejects"] == 1
    failed(embed(folder, "--strict", output="strict.h5"), "p1/1.png", "--resume")


def test_odd_images_are_warned_of_and_embedded(folder: Path) -> None:
    for person, size in enumerate([(1, 1), (3000, 9)]):
        Image.new("RGB", size).save(folder / "faces" / f"p{person}" / "1.png")
    done = embed(folder, "--quiet", "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["embeddings"], len(found["odd"])) == (12, 2)
    assert found["odd"][1] == {
        "id": "p1/1.png",
        "place": str(folder / "faces" / "p1" / "1.png"),
        "width": 3000,
        "height": 9,
    }
    assert done.err.startswith("warning: 2 images embedded, but too small or too stretched")
    assert f"{folder}/faces/p0/1.png (1 × 1), {folder}/faces/p1/1.png (3000 × 9)\n" in done.err
    assert done.err.count("\n") == 1


def test_images_without_landmarks_are_told_of_before_anything_is_embedded(folder: Path) -> None:
    points = ",".join(["1,2,7,2,4,4,2,6,6,6"])
    with (folder / "points.csv").open("w") as file:
        for name in ("p0/0", "p0/1", "p1/0", "p1/1", "p1/2", "p2/0", "p2/2"):
            file.write(f"{name}.png,{points}\n")
    done = embed(folder, "--landmarks", folder / "points.csv")
    assert done.code == 0, done.err
    said, *after = done.err.splitlines()
    assert said == (
        f"warning: 5 images of 12 without landmarks in {folder}/points.csv, which will be left "
        "out: 'p0/2.png', 'p2/1.png', 'p3/0.png', …"
    )
    assert "5 images without an embedding" in "".join(after)
    assert (folder / "emb.rejects.csv").read_text().count("has no landmarks in") == 5


def test_pairs_of_a_bin(folder: Path) -> None:
    images = [path.read_bytes() for path in sorted((folder / "faces").glob("*/*.png"))[:4]]
    (folder / "lfw.bin").write_bytes(pickle.dumps((images, [True, False])))
    done = damcli(
        *("embed", folder / "lfw.bin", "--model", folder / "model.onnx", *CONTRACT),
        *("-o", folder / "emb.h5", "--pairs", folder / "pairs.csv"),
    )
    assert done.code == 0, done.err
    scored = damcli("score", folder / "pairs.csv", "-e", folder / "emb.h5", "-o", folder / "s.csv")
    assert scored.code == 0, scored.err


def test_an_interrupt_says_what_is_kept_and_resume_goes_on(folder: Path) -> None:
    embed(folder, "--batch-size", "2", output="whole.h5")
    from damcli.embedding.run import Embedder

    real, calls = Embedder.outputs, []

    def outputs(self, batch):
        calls.append(1)
        if len(calls) == 4:
            os.kill(os.getpid(), 15)  # as a batch system does
        return real(self, batch)

    with patch.object(Embedder, "outputs", outputs):
        stopped = embed(folder, "--batch-size", "2")
    failed(stopped, "interrupted; 6 of 12 images are kept in", "emb.h5.partial", code=130)
    assert "--resume" in stopped.err
    failed(embed(folder), "an interrupted run left emb.h5.partial", "--resume", "--force")
    failed(embed(folder, "--resume", "--flip", "sum"), "made with flip none; expected sum")
    done = embed(folder, "--batch-size", "2", "--resume")
    assert done.code == 0, done.err
    assert "6 of them from before" in done.err
    one, other = read_embeddings(folder / "emb.h5"), read_embeddings(folder / "whole.h5")
    assert (one.vectors == other.vectors).all()
    assert (one.norms == other.norms).all()
    assert not partials_of(folder / "emb.h5")


def test_options_that_do_not_go_together(folder: Path) -> None:
    for more, part in (
        (("--resume", "--force"), "--resume goes on"),
        (("--check", "8"), "--check writes nothing"),
        (("--pairs", "p.csv"), "--pairs goes with a .bin"),
        (("--landmarks", "l.csv", "--detector", "d.onnx"), "exclude each other"),
        (("--crop", "center", "--detector", "d.onnx"), "exclude each other"),
    ):
        done = embed(folder, *more)
        assert done.code == 2, more
        assert part in " ".join(done.err.replace("│", " ").split())
    assert embed(folder, output=None).code == 2
    assert embed(folder, output="emb.csv").code == 2
    assert not list(folder.glob("emb*"))


FAULTS = {
    "no such input": (("--input", "picture"), ("picture", "input")),
    "another size": (("--size", "9x9"), ("8x9", "9x9")),
    "grey for a model of three channels": (("--color", "grey"), ("3 channels",)),
    "no preset of that name": (("--preset", "arcfac"), ("arcfac", "arcface")),
    "no detector": (("--detector", "nowhere.onnx"), ("nowhere.onnx", "no such file")),
    "no landmarks": (("--landmarks", "nowhere.csv"), ("nowhere.csv",)),
    "no arch for a whole model": (("--arch", "a:b"), ("--arch",)),
    "a root for a folder": (("--root", "."), ("no list",)),
}


def test_the_hint_at_several_outputs_can_be_followed(folder: Path) -> None:
    outputs = [("embedding", [None, 5]), ("pooled", [None, 4, 1, 1])]
    conv_net(folder / "model.onnx", outputs=outputs)
    refused = embed(folder)
    failed(refused, "has 2 outputs, 2 of them (B, D)", "--output-name NAME")
    (option,) = re.findall(r"hint: .* (--[a-z-]+) NAME", refused.err)
    done = embed(folder, option, "embedding")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("speed", "text"),
    [(0.43, "0.43 faces/s"), (1.96, "2 faces/s"), (9.2, "9.2 faces/s"), (1234.5, "1,234 faces/s")],
)
def test_a_slow_run_does_not_read_as_standing_still(speed: float, text: str) -> None:
    assert speed_of(speed, "faces") == text


@pytest.mark.parametrize("fault", FAULTS)
def test_messages(folder: Path, fault: str) -> None:
    options, parts = FAULTS[fault]
    failed(embed(folder, *options), *parts)
    assert not list(folder.glob("emb*"))


def test_preprocessing_is_never_guessed(folder: Path) -> None:
    failed(embed(folder, contract=()), "does not state", "--color", "--mean", "--std", "--preset")


def test_no_cuda_where_it_was_asked_for(folder: Path) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is CUDA")
    failed(embed(folder, "--device", "cuda"), "CUDA")


def test_outputs_of_nan(folder: Path) -> None:
    conv_net(folder / "model.onnx")
    with patch("damcli.models.batching.LoadedNetwork.run", lambda self, x: x.mean((1, 2)) * np.nan):
        failed(embed(folder), "no embedding comes of its 12 images", "not finite")
    assert not list(folder.glob("emb*"))


def test_the_check_finds_the_wrong_colours(tmp_path: Path) -> None:
    """Identity lies in red alone; blue and green are noise that the model weighs down."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    rng = np.random.default_rng(0)
    for person in range(12):
        (tmp_path / "faces" / f"p{person:02d}").mkdir(parents=True)
        mine = rng.integers(0, 256, (8, 9))
        for number in range(4):
            pixels = rng.integers(0, 256, (8, 9, 3))
            pixels[..., 0] = np.clip(mine + rng.integers(-20, 20, (8, 9)), 0, 255)
            path = tmp_path / "faces" / f"p{person:02d}" / f"{number}.png"
            Image.fromarray(pixels.astype(np.uint8)).save(path)
    weights = rng.normal(size=(216, 32)).astype(np.float32)
    weights[72:] *= 0.1
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["embedding"]),
    ]
    graph = helper.make_graph(
        nodes,
        "red",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["n", 3, 8, 9])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", 32])],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "model.onnx")

    command = ("embed", tmp_path / "faces", "--model", tmp_path / "model.onnx", "--check", "48")
    common = ("--mean", "127.5", "--std", "127.5")
    right = damcli(*command, *common, "--color", "rgb", "--json")
    wrong = damcli(*command, *common, "--color", "bgr")
    assert right.code == wrong.code == 0, right.err + wrong.err
    found = json.loads(right.out)
    assert found["schema"] == "damcli/embed-check"
    assert found["chosen_may_be_right"] is True
    assert found["ways"][0]["name"] == found["chosen"] == "rgb, mean 127.5, std 127.5"
    assert {"auc", "auc_low", "eer", "eer_high"} <= set(found["ways"][0])
    assert "warning: rgb, mean" in wrong.out
    assert "separates identities better than what was chosen" in wrong.out
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".h5"]


def test_the_check_needs_subjects(folder: Path) -> None:
    names = "\n".join(f"p0/{number}.png" for number in range(3))
    (folder / "faces.txt").write_text("path\n" + names)
    done = damcli(
        *("embed", folder / "faces.txt", "--root", folder / "faces", *CONTRACT),
        *("--model", folder / "model.onnx", "--check", "4"),
    )
    failed(done, "carries no subjects", "folder for each subject")


@pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch")
def test_two_processes_make_the_same_file(folder: Path) -> None:
    (folder / "faces" / "p2" / "1.png").write_bytes(b"broken")
    embed(folder, "--batch-size", "2", output="one.h5")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    launch += ["-m", "damcli", "embed", str(folder / "faces"), "--batch-size", "2", *CONTRACT]
    launch += ["--model", str(folder / "model.onnx"), "-o", str(folder / "two.h5")]
    done = subprocess.run(
        launch,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("wrote 11 embeddings") == 1
    assert done.stderr.count("1 image without an embedding") == 1
    one, two = read_embeddings(folder / "one.h5"), read_embeddings(folder / "two.h5")
    assert list(one.ids) == list(two.ids)
    assert (one.vectors == two.vectors).all()
    assert (one.norms == two.norms).all()
    assert (folder / "one.rejects.csv").read_bytes() == (folder / "two.rejects.csv").read_bytes()
    assert not partials_of(folder / "two.h5")
    again = subprocess.run(
        launch,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert again.returncode != 0
    assert again.stderr.count("error: ") == 1
    assert "two.h5: exists already" in again.stderr


def test_a_preset_of_another_size_says_what_to_type(folder: Path) -> None:
    done = embed(folder, contract=("--preset", "arcface"))
    failed(done, "takes images of 8x9, not 112x112", "give --size 8x9, which goes before the size")
    assert embed(folder, "--size", "8x9", contract=("--preset", "arcface")).code == 0


def test_numbers_for_pixels_from_0_to_1_are_doubted(folder: Path) -> None:
    for mean, std, doubted in (("0.5", "0.5", True), ("0", "1", False), ("127.5", "128", False)):
        contract = ("--color", "rgb", "--mean", mean, "--std", std)
        done = embed(folder, "-q", "--force", contract=contract)
        assert done.code == 0, done.err
        assert ("look like numbers for pixels from 0 to 1" in done.err) == doubted


def test_paths_that_lead_nowhere_ask_for_the_root(folder: Path) -> None:
    (folder / "list.txt").write_text("p0/0.png\np0/1.png\n")
    model = ("--model", folder / "model.onnx", *CONTRACT)
    done = damcli("embed", folder / "list.txt", *model, "-o", folder / "emb.h5")
    failed(done, "no embedding comes of its 2 images", "relative to its folder, or to --root")


def test_pairs_are_not_written_without_their_embeddings(folder: Path) -> None:
    images = [path.read_bytes() for path in sorted((folder / "faces").glob("*/*.png"))[:2]]
    (folder / "lfw.bin").write_bytes(pickle.dumps((images, [True])))
    (folder / "emb.h5").write_text("precious")
    done = damcli(
        *("embed", folder / "lfw.bin", "--model", folder / "model.onnx", *CONTRACT),
        *("-o", folder / "emb.h5", "--pairs", folder / "pairs.csv"),
    )
    failed(done, "emb.h5: exists already")
    assert not (folder / "pairs.csv").exists()


def test_a_file_that_is_read_is_never_written_over(folder: Path) -> None:
    for name in ("emb.landmarks.csv", "emb.rejects.csv"):
        (folder / name).write_text("path\nprecious.png\n")
    both = (["--landmarks", folder / "emb.landmarks.csv"], [])
    sources = (folder / "faces", folder / "emb.rejects.csv")
    for more, source in zip(both, sources, strict=True):
        for how in ("--force", "--resume"):
            model = ("--model", folder / "model.onnx", *CONTRACT)
            done = damcli("embed", source, *model, "-o", folder / "emb.h5", *more, how)
            failed(done, "is read here", "choose another name")
    assert (folder / "emb.landmarks.csv").read_text() == "path\nprecious.png\n"
    assert (folder / "emb.rejects.csv").read_text() == "path\nprecious.png\n"
