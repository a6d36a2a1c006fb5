from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pictures

from damcli.anchors.likeness import likeness
from damcli.embedding.generated import GeneratedFaces, latent_of
from damcli.embedding.sheet import TILE, SheetFraming
from damcli.errors import InputError, UserError
from damcli.models.generators import open_generator
from damcli.models.pixel_range import PixelRange
from damcli.sources.framing import Framed
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from tests.faces import anchors
from tests.generators import DIM, expected_images, onnx_generator


def generated(folder: Path, size: int = 20, **options: Any) -> GeneratedFaces:
    path = folder / "gan.onnx"
    if not path.exists():
        onnx_generator(path)
    return GeneratedFaces(open_generator(path, device="cpu"), size, **options)


def all_of(source: GeneratedFaces) -> np.ndarray[Any, Any]:
    return np.stack([source.read(row).image for row in range(len(source))])


def latents(rows: int, seed: int) -> np.ndarray[Any, Any]:
    """The slow way: a generator of numbers for each face."""
    drawn = [np.random.default_rng([seed, row]).standard_normal(DIM) for row in range(rows)]
    return np.array(drawn, dtype=np.float32)


def test_a_face_is_what_the_generator_makes_of_its_own_latent(tmp_path: Path) -> None:
    source = generated(tmp_path, seed=3)
    assert np.abs(all_of(source).astype(int) - expected_images(latents(20, 3))).max() <= 1
    assert (len(source), source.has_subjects, source.group_names) == (20, False, ())
    assert (source.id_of(7), source.id_of(123456)) == ("fake-000007", "fake-123456")
    assert source.place_of(7) == f"{tmp_path / 'gan.onnx'}, face 7"
    assert source.read(0).subject is None


def test_neither_order_nor_size_nor_threads_change_a_pixel(tmp_path: Path) -> None:
    whole = all_of(generated(tmp_path, 61))
    backwards = generated(tmp_path, 61)
    for row in reversed(range(61)):
        assert np.array_equal(backwards.read(row).image, whole[row])
    fewer = generated(tmp_path, 5)
    assert np.array_equal(all_of(fewer), whole[:5])
    shared = generated(tmp_path, 61)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda row: shared.read(row).image, [*range(61), *range(61)]))
    assert np.array_equal(np.stack(images), np.concatenate([whole, whole]))


def test_memory_holds_a_few_batches_only(tmp_path: Path) -> None:
    source = generated(tmp_path, 1000)
    for row in range(0, 1000, 9):
        source.read(row)
    assert len(source._batches) <= 4


def test_the_seed_draws_other_faces(tmp_path: Path) -> None:
    one, same, other = (all_of(generated(tmp_path, 8, seed=seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_truncation_draws_again_and_keeps_the_shape_within() -> None:
    drawn = np.stack([latent_of(row, 500, seed=0, truncation=0.7) for row in range(40)]).ravel()
    assert np.abs(drawn).max() <= 0.7
    # of a normal distribution cut at t the variance is 1 - 2 t phi(t) / (2 Phi(t) - 1)
    phi, within = np.exp(-(0.7**2) / 2) / np.sqrt(2 * np.pi), 0.5160727
    assert drawn.var() == pytest.approx(1 - 2 * 0.7 * phi / within, abs=0.004)
    plain = latent_of(3, 500, seed=0)
    assert np.array_equal(latent_of(3, 500, seed=0, truncation=9.0), plain)
    kept = np.abs(plain) <= 0.7
    assert np.array_equal(latent_of(3, 500, seed=0, truncation=0.7)[kept], plain[kept])


@pytest.mark.parametrize(
    "options", [{"size": 0}, {"seed": -1}, {"truncation": 0.01}, {"truncation": float("nan")}]
)
def test_options_out_of_range(tmp_path: Path, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="expected at least"):
        generated(tmp_path, **options)


def test_what_a_file_records(tmp_path: Path) -> None:
    onnx_generator(tmp_path / "gan.onnx", psi=0.5)
    made = open_generator(tmp_path / "gan.onnx", device="cpu", values={"psi": 0.75}, color="bgr")
    record = GeneratedFaces(made, 4, seed=7, truncation=2).record()
    assert record == {
        "generator_name": "gan.onnx",
        "generator_sha256": made.digest,
        "generator_inputs": "psi=0.75",
        "generator_range": "-1..1 (recognised)",
        "generator_color": "bgr",
        "latent_dim": "6",
        "latent_seed": "7",
        "truncation": "2",
    }


@pytest.mark.parametrize(
    ("form", "black", "white", "known"),
    [
        ({}, -1, 1, "recognised"),
        ({"scale": 0.5, "shift": 0.5}, 0, 1, "recognised"),
        ({"scale": 127.5, "shift": 127.5}, 0, 255, "recognised"),
        ({"scale": 127.5, "shift": 127.5, "to_uint8": True}, 0, 255, "uint8"),
    ],
)
def test_the_range_is_recognised(
    tmp_path: Path, form: dict[str, Any], black: int, white: int, known: str
) -> None:
    onnx_generator(tmp_path / "gan.onnx", **form)
    assert generated(tmp_path).pixel_range == PixelRange(black, white, known)


def test_a_range_that_is_none_of_these(tmp_path: Path) -> None:
    onnx_generator(tmp_path / "gan.onnx", scale=3)
    with pytest.raises(InputError, match="values from -3"):
        generated(tmp_path)
    stated = generated(tmp_path, pixel_range=PixelRange(-3, 3))
    assert np.abs(all_of(stated).astype(int) - expected_images(latents(20, 0))).max() <= 1


def test_what_was_found_is_said_and_blue_skin_doubted(tmp_path: Path) -> None:
    onnx_generator(tmp_path / "gan.onnx")
    reddish = [True, False]
    for color in ("rgb", "bgr"):
        made = open_generator(tmp_path / "gan.onnx", device="cpu", color=color)  # type: ignore[arg-type]
        source = GeneratedFaces(made, 1)
        about, *doubts = source.notes
        assert "latents of 6 numbers; faces of 16 × 16 pixels, values from -1 to 1" in about
        assert "-1..1 is black to white (recognised)" in about
        red, _, blue = expected_images(latents(8, 0))[:, 4:12, 4:12].mean(axis=(0, 1, 2))
        if color == "bgr":
            red, blue = blue, red
        assert bool(doubts) == (red < blue)
        reddish.remove(red >= blue)
        if doubts:
            other = "rgb" if color == "bgr" else "bgr"
            assert f"--generator-color {other}" in doubts[0]


def test_a_stated_range_that_the_faces_contradict(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"face 0: \d+% of the values lie far outside 0\.\.1"):
        generated(tmp_path, pixel_range=PixelRange(0, 1))


def test_a_face_of_nan_is_one_reject_and_the_others_stay(tmp_path: Path) -> None:
    source = generated(tmp_path)
    plain = source.generator.generate

    def spoilt(latent: Any) -> Any:
        images = plain(latent).copy()
        images[2, 0, 0, 0] = np.nan
        return images

    source.generator.generate = spoilt  # type: ignore[method-assign]
    with pytest.raises(InputError, match="face 10: NaN or infinity"):
        source.read(10)
    assert np.array_equal(source.read(11).image, generated(tmp_path).read(11).image)


class Corner:
    """A framing of the upper left quarter, that finds nothing in one face."""

    size = (8, 8)

    def describe(self) -> str:
        return "corner"

    def frame(self, sample_id: str, place: str, image: Any) -> Framed:
        if sample_id == "fake-000001":
            raise InputError(place, "no face found")
        return Framed(image[:8, :8])


def drawn(image: Any) -> Any:
    picture = np.full((TILE, TILE, 3), 255, dtype=np.uint8)
    start = (TILE - len(image)) // 2
    picture[start : start + len(image), start : start + len(image)] = image
    return picture


def test_the_sheet_shows_whole_faces_and_crops_side_by_side(tmp_path: Path) -> None:
    source = generated(tmp_path)
    sheet = SheetFraming(Corner(), source, tmp_path / "sheet.png", faces=3)
    assert (sheet.size, sheet.describe()) == ((8, 8), "corner")
    for row in (5, 2, 0):
        image = source.read(row).image
        framed = sheet.frame(source.id_of(row), source.place_of(row), image)
        assert np.array_equal(framed.image, image[:8, :8])
    assert not (tmp_path / "sheet.png").exists()
    with pytest.raises(InputError, match="no face"):
        sheet.frame("fake-000001", "there", source.read(1).image)
    picture = np.asarray(Pictures.open(tmp_path / "sheet.png"))
    assert picture.shape == (2 * TILE, 4 * TILE, 3)
    faces = [source.read(row).image for row in range(3)]
    white = np.full((TILE, TILE, 3), 255, dtype=np.uint8)
    first = np.hstack([drawn(faces[0]), drawn(faces[0][:8, :8]), drawn(faces[1]), white])
    second = np.hstack([drawn(faces[2]), drawn(faces[2][:8, :8]), white, white])
    assert np.array_equal(picture, np.vstack([first, second]))


def test_a_sheet_of_what_was_embedded_before(tmp_path: Path) -> None:
    source = generated(tmp_path)
    for name, rows in (("a.png", range(4)), ("b.png", range(2, 4)), ("c.png", ())):
        sheet = SheetFraming(Corner(), source, tmp_path / name, faces=4)
        for row in rows:
            if row != 1:
                sheet.frame(source.id_of(row), "", source.read(row).image)
        sheet.finish()
    a, b, c = (np.asarray(Pictures.open(tmp_path / f"{name}.png")) for name in "abc")
    assert np.array_equal(a, b)
    assert np.array_equal(a, c)


def test_likeness_is_that_of_all_pairs() -> None:
    some = anchors(30)
    found = likeness(some)
    assert found is not None
    cosines = (some.vectors.astype(float) @ some.vectors.T.astype(float))[np.triu_indices(30, 1)]
    assert found.anchors == 30
    assert found.mean == pytest.approx(cosines.mean(), abs=1e-6)
    assert found.highest == pytest.approx(cosines.max(), abs=1e-6)
    first, second = (int(row) for row in some.rows_of(np.array(found.pair, dtype=object)))
    assert some.vectors[first] @ some.vectors[second] == pytest.approx(found.highest, abs=1e-6)


def test_one_anchor_is_like_no_other() -> None:
    assert likeness(Anchors.of(Embeddings.from_arrays(np.eye(1, 3)), kind="fake-db")) is None
