"""The folder of a training run in the commands: embed, export, build-anchors."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from damcli.models.backbones import PREPROCESSING  # noqa: E402
from damcli.models.trained import rebuild  # noqa: E402
from damcli.storage.files import open_embeddings, read_anchors, read_embeddings  # noqa: E402
from tests.cli import Outcome, damcli, failed  # noqa: E402
from tests.images import picture  # noqa: E402
from tests.runs import DIM, LABELS, save_best, save_classes, save_step  # noqa: E402


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of two checkpoints, the earlier one the best; and faces beside it."""
    folder = tmp_path_factory.mktemp("finished")
    run = folder / "run"
    save_step(run, 20, seed=1)
    save_step(run, 100, seed=2)
    save_best(run, 20)
    save_classes(run)
    for person in range(3):
        for number in range(2):
            path = folder / "faces" / f"p{person}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(person * 2 + number, 112, 112)).save(path)
    done = damcli("export", run, "-o", run / "model.onnx")
    assert done.code == 0, done.err
    assert "mobile, dimension 8, step 20 from" in done.err
    assert "onnxruntime's embeddings differ from PyTorch's by" in done.err
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path


def embed(folder: Path, model: str, output: str, *more: object) -> Outcome:
    return damcli(
        "embed",
        folder / "faces",
        "-m",
        folder / model,
        "-o",
        folder / output,
        *more,
        "--device=cpu",
    )


def anchors(folder: Path, *more: object) -> Outcome:
    options = ("--kind", "fc-weights", "-o", folder / "anchors.h5", *more)
    return damcli("build-anchors", folder / "run", *options)


def state(step: int) -> str:
    return f"run/checkpoints/step-{step:08d}/state.pt"


def by_hand(folder: Path, seed: int) -> np.ndarray:
    paths = sorted((folder / "faces").glob("*/*.png"))
    pixels = np.stack([np.asarray(Image.open(path)) for path in paths])
    network = rebuild(save_step(folder / "again", 1, seed=seed))
    with torch.no_grad():
        return network(torch.from_numpy(PREPROCESSING.apply(pixels))).numpy()


def test_embed_takes_a_run_and_a_checkpoint_without_flags(folder: Path) -> None:
    for model, output, seed in (
        ("run", "a.h5", 1),
        (state(20), "b.h5", 1),
        (state(100), "c.h5", 2),
    ):
        done = embed(folder, model, output)
        assert done.code == 0, done.err
        found, expected = read_embeddings(folder / output), by_hand(folder, seed)
        near = 1e-5 * float(np.abs(expected).max())
        np.testing.assert_allclose(found.vectors * found.norms[:, None], expected, atol=near)
        preprocessing = json.loads(str(found.attributes["preprocessing"]))
        assert preprocessing == json.loads(PREPROCESSING.as_json())
    assert read_embeddings(folder / "a.h5").attributes["model_name"] == "model.onnx"


def test_embed_refuses_another_preprocessing(folder: Path) -> None:
    for model in ("run", state(20)):
        failed(embed(folder, model, "e.h5", "--preset", "magface"), "states color rgb")
    failed(embed(folder, state(20), "e.h5", "--arch", "a:b"), "is a whole model", "--arch")
    assert not (folder / "e.h5").exists()


def test_an_unfinished_run_says_how_to_go_on(folder: Path) -> None:
    (folder / "run" / "model.onnx").unlink()
    done = embed(folder, "run", "e.h5")
    failed(
        done, "run: holds checkpoints but no model.onnx; expected a finished run of damcli train"
    )
    failed(done, "hint: finish it with damcli train", "--resume", f"damcli export {folder / 'run'}")
    failed(embed(folder, "faces", "e.h5"), "faces: is a folder without model.onnx")
    failed(anchors(folder), "holds checkpoints but no model.onnx")
    (folder / "run" / "centres.npy").unlink()
    failed(anchors(folder), "holds checkpoints but no centres.npy", "--resume")


def exported_step(folder: Path, source: str) -> str:
    import onnx

    done = damcli("export", folder / source, "-o", folder / "m.onnx", "--force", "-q")
    assert (done.code, done.err) == (0, "")
    metadata = onnx.load(folder / "m.onnx").metadata_props
    return next(entry.value for entry in metadata if entry.key == "damcli.step")


def test_export_takes_the_best_then_the_newest(folder: Path) -> None:
    assert exported_step(folder, "run") == "20"
    assert exported_step(folder, state(100)) == "100"
    (folder / "run" / "best.json").unlink()
    (folder / "run" / "checkpoints" / "step-00000999").mkdir()  # one that never got its state
    (folder / "run" / "checkpoints" / ".step-00001000.part").mkdir()
    assert exported_step(folder, "run") == "100"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            '{"step": 60}',
            ("best.json: names step 60, which has no state.pt; expected one of 20, 1",),
        ),
        ('{"metric": "eer"}', ("best.json: cannot be read (lacks 'step')", "hint: name a")),
        ('{"step": "20"}', ("best.json: cannot be read (step is '20')",)),
        ("[20]", ("best.json: cannot be read",)),
        ("{", ("best.json: cannot be read",)),
    ],
)
def test_a_wrong_best_is_not_passed_over(folder: Path, text: str, parts: tuple[str, ...]) -> None:
    (folder / "run" / "best.json").write_text(text)
    failed(damcli("export", folder / "run", "-o", folder / "m.onnx"), *parts)
    assert not (folder / "m.onnx").exists()


def test_export_refuses_what_is_no_model(folder: Path) -> None:
    out = ("-o", folder / "m.onnx")
    failed(damcli("export", folder / "faces", *out), "faces: holds no checkpoints/step-…/state.pt")
    torch.save({"fc.weight": torch.ones(3)}, folder / "w.pt")
    failed(damcli("export", folder / "w.pt", *out), "w.pt: is no checkpoint of damcli train")
    failed(damcli("export", folder / "none.pt", *out), "none.pt: no such file")
    (folder / "m.onnx").write_bytes(b"mine")
    failed(damcli("export", folder / "run", *out), "m.onnx: exists already", "--force")
    assert (folder / "m.onnx").read_bytes() == b"mine"


def test_anchors_of_a_run_belong_to_its_model(folder: Path) -> None:
    done = anchors(folder)
    assert done.code == 0, done.err
    found = read_anchors(folder / "anchors.h5")
    centres = np.load(folder / "run" / "centres.npy")
    expected = centres / np.linalg.norm(centres, axis=1, keepdims=True)
    np.testing.assert_allclose(found.vectors, expected, atol=1e-6)
    assert tuple(found.subjects) == tuple(found.ids) == LABELS
    digest = hashlib.sha256((folder / "run" / "model.onnx").read_bytes()).hexdigest()
    assert found.attributes["model_sha256"] == digest

    embed(folder, "run", "emb.h5")
    assert open_embeddings(folder / "emb.h5").attributes["model_sha256"] == digest
    paired = ("--all-pairs", "-a", folder / "anchors.h5", "-k", 3)
    scored = damcli("score", *paired, "-e", folder / "emb.h5")
    assert scored.code == 0, scored.err
    embed(folder, state(100), "other.h5")
    failed(damcli("score", *paired, "-e", folder / "other.h5"), "made with model", "--allow-mixed")


def test_as_many_classes_as_dimensions(folder: Path) -> None:
    """A square matrix, and one wider than high, lie as training wrote them."""
    run = folder / "run"
    for classes in (DIM, 2):
        centres = np.random.default_rng(0).normal(size=(classes, DIM)).astype(np.float32)
        np.save(run / "centres.npy", centres)
        lines = [f"{index},c{index},1\n" for index in range(classes)]
        (run / "classes.csv").write_text("class,label,images\n" + "".join(lines))
        done = anchors(folder, "--force")
        assert done.code == 0, done.err
        found = read_anchors(folder / "anchors.h5").vectors
        unit = centres / np.linalg.norm(centres, axis=1, keepdims=True)
        np.testing.assert_allclose(found, unit, atol=1e-6)


def test_a_run_knows_its_class_centres(folder: Path) -> None:
    for option, value in (("--dim", 8), ("--labels", folder / "l"), ("--sub-centers", 2)):
        done = anchors(folder, option, value)
        assert done.code == 2
        assert f"{option} does not go with" in " ".join(done.err.replace("│", " ").split())
    failed(anchors(folder, "--per-subject", 2), "2 centres per class; expected 1 or all")
    lines = (folder / "run" / "classes.csv").read_text().splitlines()
    (folder / "run" / "classes.csv").write_text("\n".join(lines[:-1]) + "\n")
    failed(anchors(folder), "centres.npy", "3 classes")
    (folder / "run" / "classes.csv").write_text("class,label,images\n0,ann\n")
    failed(anchors(folder), "classes.csv, row 2: '0,ann'; expected 'class,label,images'")
    assert not (folder / "anchors.h5").exists()
