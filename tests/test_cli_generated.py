from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures

from damcli.embedding.generated import GeneratedFaces
from damcli.embedding.sheet import TILE
from damcli.models.generators import open_generator
from damcli.storage.digests import file_digest
from damcli.storage.embeddings import Embeddings
from damcli.storage.files import open_embeddings, read_anchors, read_embeddings
from damcli.storage.hdf5 import write_embeddings
from tests.cli import Outcome, damcli, failed
from tests.generators import DIM, SIDE, expected_images, onnx_generator
from tests.networks import conv_net, oracle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    onnx_generator(tmp_path / "gan.onnx")
    conv_net(str(tmp_path / "net.onnx"), size=(SIDE, SIDE))
    return tmp_path


def build(folder: Path, *options: object, size: int = 40) -> Outcome:
    return damcli(
        *("build-anchors", "--kind", "fake-db", "--generator", folder / "gan.onnx"),
        *("--model", folder / "net.onnx", "--color", "rgb", "--mean", 127.5, "--std", 128),
        *("-o", folder / "anchors.h5", "--size", size, *options),
    )


def by_hand(rows: range, seed: int = 0) -> np.ndarray[Any, Any]:
    """Latents, faces and embeddings in a few slow lines: (N, 5) unit rows."""
    latents = [np.random.default_rng([seed, row]).standard_normal(DIM) for row in rows]
    faces = expected_images(np.array(latents, dtype=np.float32))
    vectors = oracle((faces.transpose(0, 3, 1, 2) - 127.5) / 128)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def test_generated_faces_become_anchors(folder: Path) -> None:
    done = build(folder, "--seed", 5, "--json")
    assert done.code == 0, done.err
    found = read_anchors(folder / "anchors.h5")
    assert (found.kind, found.subjects, len(found)) == ("fake-db", None, 40)
    assert found.ids.tolist() == [f"fake-{row:06d}" for row in range(40)]
    assert np.abs(found.vectors - by_hand(range(40), seed=5)).max() < 2e-3  # a level of 255
    attributes = found.attributes
    assert attributes["generator_name"] == "gan.onnx"
    assert attributes["generator_sha256"] == file_digest(folder / "gan.onnx")
    assert attributes["generator_range"] == "-1..1 (recognised)"
    assert (attributes["latent_dim"], attributes["latent_seed"]) == ("6", "5")
    assert attributes["truncation"] == "none"
    assert attributes["model_sha256"] == file_digest(folder / "net.onnx")
    assert json.loads(attributes["preprocessing"])["mean"] == [127.5] * 3
    assert "whole image" in attributes["framing"]
    assert attributes["source"] == str(folder / "anchors.faces.h5")
    assert "values from -1 to 1, of which -1..1 is black to white (recognised)" in done.err
    summary = json.loads(done.out)
    assert (summary["kind"], summary["anchors"]) == ("fake-db", 40)
    cosines = (found.vectors @ found.vectors.T)[np.triu_indices(40, 1)]
    assert summary["likeness"]["mean"] == pytest.approx(cosines.mean(), abs=1e-5)
    assert summary["likeness"]["highest"] == pytest.approx(cosines.max(), abs=1e-5)


def test_a_face_depends_on_seed_and_number_alone(folder: Path) -> None:
    build(folder)
    whole = read_anchors(folder / "anchors.h5")
    build(folder, "--batch-size", 7, "--force", size=13)
    fewer = read_anchors(folder / "anchors.h5")
    assert fewer.ids.tolist() == whole.ids[:13].tolist()
    assert np.allclose(fewer.vectors, whole.vectors[:13], atol=1e-6)
    build(folder, "--seed", 1, "--force", size=13)
    assert not np.allclose(read_anchors(folder / "anchors.h5").vectors, fewer.vectors, atol=0.1)


def test_an_interrupted_run_goes_on_bit_for_bit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ("--batch-size", 8, "--sheet", folder / "sheet.png", "--sheet-faces", 20)
    build(folder, *options)
    expected = (folder / "sheet.png").read_bytes()
    whole = read_anchors(folder / "anchors.h5")
    for made in ("anchors.h5", "anchors.faces.h5", "sheet.png"):
        (folder / made).unlink()
    plain, generated = GeneratedFaces.read, []

    def stopped(self: GeneratedFaces, row: int) -> Any:
        if row == 25:
            raise KeyboardInterrupt
        return plain(self, row)

    with monkeypatch.context() as patched:
        patched.setattr(GeneratedFaces, "read", stopped)
        done = build(folder, *options)
    assert done.code == 130, done.err
    assert "interrupted; 24 of 40 faces are kept in" in done.err
    assert "--resume" in done.err
    assert (folder / "anchors.faces.h5.partial").exists()
    assert (folder / "sheet.png").exists()  # a person sees it while the run goes on
    assert not (folder / "anchors.h5").exists()

    def counted(self: GeneratedFaces, row: int) -> Any:
        generated.append(row)
        return plain(self, row)

    monkeypatch.setattr(GeneratedFaces, "read", counted)
    done = build(folder, *options, "--resume")
    assert done.code == 0, done.err
    again = read_anchors(folder / "anchors.h5")
    assert np.array_equal(again.vectors, whole.vectors)
    assert np.array_equal(again.norms, whole.norms)
    assert (folder / "sheet.png").read_bytes() == expected
    assert set(generated) == set(range(24, 40))


def test_faces_are_added_to_a_finished_run(folder: Path) -> None:
    build(folder, size=16)
    failed(build(folder, "--resume"), "anchors.h5: exists already", "--force")
    done = build(folder, "--resume", "--force")
    assert "16 of them from before" in done.err
    assert len(read_anchors(folder / "anchors.h5")) == 40
    assert np.abs(read_anchors(folder / "anchors.h5").vectors - by_hand(range(40))).max() < 2e-3


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("--seed", 1), "latent_seed"),
        (("--truncation", 0.5), "truncation"),
        (("--generator-color", "bgr"), "generator_color"),
        (("--mean", 0), "preprocessing"),
    ],
)
def test_a_run_made_in_another_way_is_not_resumed(
    folder: Path, change: tuple[object, ...], found: str
) -> None:
    build(folder)
    failed(build(folder, "--resume", "--force", *change), found)


def test_rules_apply_to_generated_faces_and_all_of_them_stay(folder: Path) -> None:
    build(folder)
    every = read_embeddings(folder / "anchors.faces.h5")
    write_embeddings(folder / "test.h5", Embeddings.from_arrays(every.vectors[:3]))
    limit = float(np.median(every.norms))
    done = build(
        folder,
        *("--resume", "--force", "--min-norm", limit),
        *("--max-similarity-to", f"{folder / 'test.h5'}:0.99999"),
    )
    near = (every.vectors @ every.vectors[:3].T).max(axis=1) > 0.99999
    kept = (every.norms >= np.float32(limit)) & ~near
    assert read_anchors(folder / "anchors.h5").ids.tolist() == every.ids[kept].tolist()
    assert f"norm below {limit:g}" in done.err
    assert len(open_embeddings(folder / "anchors.faces.h5")) == 40


def test_the_sheet_shows_the_first_faces(folder: Path) -> None:
    done = build(folder, "--sheet", folder / "sheet.png")
    assert f"wrote {folder / 'sheet.png'}" in done.err
    picture = np.asarray(Pictures.open(folder / "sheet.png"))
    assert picture.shape == (6 * TILE, 14 * TILE, 3)  # 40 faces in rows of 7, twice each
    source = GeneratedFaces(open_generator(folder / "gan.onnx", device="cpu"), 40)
    start = (TILE - SIDE) // 2
    for row in (0, 9, 39):
        top, left = row // 7 * TILE + start, row % 7 * 2 * TILE + start
        for place in (left, left + TILE):
            shown = picture[top : top + SIDE, place : place + SIDE]
            assert np.array_equal(shown, source.read(row).image)


def test_an_existing_sheet_stays(folder: Path) -> None:
    (folder / "sheet.png").write_text("precious")
    failed(build(folder, "--sheet", folder / "sheet.png"), "sheet.png: exists already")
    assert (folder / "sheet.png").read_text() == "precious"
    assert not (folder / "anchors.faces.h5").exists()


def test_faces_that_are_all_one_are_warned_of(folder: Path) -> None:
    onnx_generator(folder / "gan.onnx", psi=0.0, shift=0.0)
    done = build(folder, "--generator-input", "psi=1e-3", "--generator-range=-0.02,0.02")
    assert "warning: the anchors are all alike" in done.err


def test_a_wrong_range_stops_the_run(folder: Path) -> None:
    failed(build(folder, "--generator-range=0,1"), "far outside 0..1 (stated)", "--generator-range")
    assert not (folder / "anchors.h5").exists()
    onnx_generator(folder / "gan.onnx", scale=3)
    failed(build(folder), "expected images that fill -1..1, 0..1 or 0..255", "--generator-range")


def test_several_inputs_are_asked_for(folder: Path) -> None:
    onnx_generator(folder / "gan.onnx", extra=(("label", "INT64", ("batch",)),))
    failed(build(folder), "label (?) int64", "--generator-input NAME=VALUE")
    done = build(folder, "--generator-input", "label=0")
    assert done.code == 0, done.err
    assert read_anchors(folder / "anchors.h5").attributes["generator_inputs"] == "label=0"


def test_faces_that_give_no_embedding_are_counted_and_named(folder: Path) -> None:
    plain = GeneratedFaces._generate

    def spoilt(self: GeneratedFaces, number: int) -> Any:
        images = plain(self, number).copy()
        images[3] = np.nan
        return images

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(GeneratedFaces, "_generate", spoilt)
        done = build(folder)
    assert "warning: 5 faces without an embedding, listed in" in done.err
    assert "images" not in done.err
    assert "face 3: NaN or infinity in the face" in done.err
    assert len(read_anchors(folder / "anchors.h5")) == 35
    assert (folder / "anchors.faces.rejects.csv").read_text().count("\n") == 6
    assert "all that is left of 40 asked for: 35 anchors" in done.err


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--kind", "real-db"), "--generator goes with --kind fake-db"),
        (("--ids", "ids.csv"), "--ids does not go with --generator"),
        (("--exclude-subjects", "people.txt"), "--exclude-subjects does not go with"),
        (("--per-subject", "2"), "--per-subject does not go with"),
        (("--sheet-faces", "9"), "--sheet-faces goes with --sheet"),
        (("--sheet", "sheet.jpg"), "ends in .png"),
        (("--detector", "yunet.onnx", "--crop", "center"), "--crop does not go with --detector"),
        (("--latent", "6x"), "--latent 6x"),
        (("--generator-input", "psi"), "--generator-input psi"),
        (("--generator-input", "=1"), "--generator-input =1"),
        (("--generator-range", "1,0"), "--generator-range 1,0"),
        (("--generator-range", "0"), "--generator-range 0"),
        (("--truncation", "0.01"), "truncation"),
    ],
)
def test_options_that_do_not_go_together(
    folder: Path, options: tuple[str, ...], found: str
) -> None:
    done = build(folder, *options)
    assert done.code == 2, done.err
    assert found in " ".join(done.err.replace("│", " ").split())
    assert not (folder / "anchors.h5").exists()


def test_a_source_or_a_generator_with_its_model(folder: Path) -> None:
    for arguments, found in (
        ((), "expected a source"),
        (("--sheet", "sheet.png"), "--sheet goes with --generator"),
        (("x.h5", "--model", "net.onnx"), "--model goes with --generator"),
        (("x.h5", "--resume"), "--resume goes with --generator"),
        (("--kind", "fake-db", "--generator", "gan.onnx"), "needs the model"),
        (
            ("x.h5", "--kind", "fake-db", "--generator", "gan.onnx", "--model", "net.onnx"),
            "leave out x.h5",
        ),
    ):
        done = damcli("build-anchors", "-o", folder / "anchors.h5", *arguments)
        assert done.code == 2, done.err
        assert found in " ".join(done.err.replace("│", " ").split())
