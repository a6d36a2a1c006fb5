"""Validation of a model in training: pairs, metrics, what is found at the opening, overlap."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from damcli.errors import InputError, UserError
from damcli.sources.opening import open_source
from damcli.training.overlap import overlap_warnings
from damcli.training.validation import Validation, open_validation
from tests.images import encoded
from tests.pictures import PREPROCESSING, SIZE

WEIGHTS = np.random.default_rng(3).normal(size=(3 * SIZE[0] * SIZE[1], 5))


def embed(pixels: np.ndarray) -> np.ndarray:
    assert pixels.dtype == np.float32
    assert pixels.shape[1:] == (3, *SIZE)
    return (pixels.reshape(len(pixels), -1) @ WEIGHTS).astype(np.float32)


def opened(spec: object, **how: object) -> Validation:
    return open_validation(str(spec), preprocessing=PREPROCESSING, **how)


def look(person: int, photograph: int) -> np.ndarray:
    """A picture of a person: the same for all photographs but for noise."""
    face = np.random.default_rng(person).integers(40, 216, (*SIZE, 3))
    noise = np.random.default_rng((person, photograph)).integers(-40, 40, (*SIZE, 3))
    return (face + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """12 people with 4 photographs each: 72 genuine and 1,056 impostor pairs."""
    for person in range(12):
        folder = tmp_path / "people" / f"p{person:02d}"
        folder.mkdir(parents=True)
        for photograph in range(4):
            (folder / f"{photograph}.png").write_bytes(encoded(look(person, photograph)))
    return tmp_path / "people"


def cosine(first: np.ndarray, second: np.ndarray) -> float:
    pair = np.stack([first, second]).transpose(0, 3, 1, 2)
    one, other = embed(((pair - 127.5) / 127.5).astype(np.float32)).astype(np.float64)
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


def all_cosines() -> tuple[list[float], list[float]]:
    photographs = [(person, number) for person in range(12) for number in range(4)]
    sides: tuple[list[float], list[float]] = ([], [])
    for row, one in enumerate(photographs):
        for other in photographs[row + 1 :]:
            sides[one[0] == other[0]].append(cosine(look(*one), look(*other)))
    return sides


def test_a_folder_gives_tar_over_all_pairs(people: Path) -> None:
    impostors, genuine = (np.sort(side)[::-1] for side in all_cosines())
    assert (len(impostors), len(genuine)) == (1056, 72)
    found = opened(people).run(embed)
    assert found.metric == "tar@0.001"
    assert found.value == np.mean(genuine > impostors[1])  # one false accept is allowed
    assert 0.2 < found.value < 1  # so that the oracle could tell
    auc = np.mean(genuine[:, None] > impostors[None])
    assert found.further["auc"] == pytest.approx(auc)
    assert 0 < found.further["eer"] < 0.5


def ten_folds(people: int = 12) -> list[tuple[tuple[int, int], tuple[int, int], int, int]]:
    """3 + 3 pairs a fold."""
    rng = np.random.default_rng(1)
    pairs = []
    for fold in range(10):
        for label in (1, 1, 1, 0, 0, 0):
            one, other = rng.choice(people, 2, replace=False)
            first, second = rng.choice(4, 2, replace=False)
            pairs.append(((one, first), (one if label else other, second), label, fold))
    return pairs


def accuracy(pairs: list[tuple[float, int, int]]) -> tuple[float, float]:
    """Choose on nine folds the threshold halfway between two scores, from the lowest up."""
    shares = []
    for fold in range(10):
        rest = [(score, label) for score, label, other in pairs if other != fold]
        ordered = sorted(score for score, _ in rest)
        middles = [(low + high) / 2 for low, high in pairwise(ordered)]
        best = max(middles, key=lambda cut: sum((s >= cut) == bool(y) for s, y in rest))
        mine = [(score >= best) == bool(label) for score, label, other in pairs if other == fold]
        shares.append(np.mean(mine))
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / np.sqrt(10))


def folded_list(people: Path, name: str = "pairs.csv") -> Path:
    rows = [
        f"p{a:02d}/{i}.png,p{b:02d}/{j}.png,{label},{fold}"
        for (a, i), (b, j), label, fold in ten_folds()
    ]
    path = people.parent / name
    path.write_text("\n".join(["probe_id,reference_id,label,fold", *rows]) + "\n")
    return path


def test_a_list_with_folds_gives_accuracy_over_them(people: Path) -> None:
    scored = [
        (cosine(look(*one), look(*other)), label, fold) for one, other, label, fold in ten_folds()
    ]
    found = opened(f"{folded_list(people)}={people}").run(embed)
    mean, error = accuracy(scored)
    assert found.metric == "accuracy"
    assert found.value == pytest.approx(mean)
    assert found.further["standard_error"] == pytest.approx(error)
    assert 0.6 < mean < 1
    assert set(found.further) == {"standard_error", "tar@0.1", "eer"}


def test_a_bin_gives_the_accuracy_of_the_same_pairs_in_a_list(people: Path) -> None:
    images, labels = [], []
    for one, other, label, _ in ten_folds():
        images += [encoded(look(*one)), encoded(look(*other))]
        labels.append(bool(label))
    packed = people.parent / "agedb_30.bin"
    packed.write_bytes(pickle.dumps((images, labels)))
    found, name = opened(packed).run(embed), opened(packed).name
    assert name == "agedb_30"
    listed = opened(f"{folded_list(people)}={people}").run(embed)
    assert (found.metric, found.value) == (listed.metric, pytest.approx(listed.value))
    assert found.further == pytest.approx(listed.further)


def test_a_list_beside_its_images_needs_no_root(people: Path) -> None:
    path = folded_list(people)
    inside = path.rename(people / "pairs.csv")
    beside = opened(inside)
    assert beside.name == "pairs"
    assert beside.run(embed) == opened(f"{inside}={people}").run(embed)


def test_images_of_a_list_may_be_any_source(people: Path) -> None:
    names = sorted(str(path.relative_to(people)) for path in people.rglob("*.png"))
    images = np.stack([look(int(name[1:3]), int(name[4])) for name in names])
    np.savez(people.parent / "faces.npz", images=images, id=np.array(names))
    path = folded_list(people)
    assert opened(f"{path}={people.parent / 'faces.npz'}").run(embed) == opened(
        f"{path}={people}"
    ).run(embed)


def test_only_the_images_of_the_pairs_are_read(people: Path) -> None:
    (people / "p00" / "broken.png").write_bytes(b"no image")
    assert len(opened(f"{folded_list(people)}={people}").images) <= 48
    with pytest.raises(InputError, match=r"1 of 49 images .*/p00/broken\.png: is no image"):
        opened(people)


def test_images_that_are_not_kept_give_the_same(people: Path) -> None:
    exact = len(list(people.rglob("*.png"))) * SIZE[0] * SIZE[1] * 3
    kept, anew = opened(people, keep_bytes=exact), opened(people, keep_bytes=exact - 1)
    assert kept.run(embed) == anew.run(embed)
    for path in people.rglob("*.png"):
        path.unlink()
    assert kept.run(embed).value > 0
    with pytest.raises(InputError, match=r"p00/0\.png: no such file"):
        anew.run(embed)


def test_the_mirror_image_is_added_on_request(people: Path) -> None:
    def one_sided(pixels: np.ndarray) -> np.ndarray:
        return embed(np.where(np.arange(SIZE[1]) < SIZE[1] // 2, pixels, np.float32(0)))

    def summed(pixels: np.ndarray) -> np.ndarray:
        return one_sided(pixels) + one_sided(pixels[..., ::-1])

    assert opened(people, flip=True).run(one_sided) == opened(people).run(summed)
    assert opened(people).run(one_sided) != opened(people).run(summed)


def test_an_edit_of_the_list_does_not_reach_a_run(people: Path) -> None:
    path = folded_list(people)
    validation = opened(f"{path}={people}")
    before = validation.run(embed)
    path.write_text("gone")
    assert validation.run(embed) == before


def test_few_impostors_raise_the_far_and_say_so(people: Path) -> None:
    for folder in sorted(people.iterdir())[5:]:
        for path in folder.iterdir():
            path.unlink()
    validation = opened(people)  # 160 impostor pairs
    assert validation.metric == validation.run(embed).metric == "tar@0.01"
    assert validation.notes == (
        "people: too few impostor pairs for FAR 0.001; TAR is told at 0.01",
    )
    assert opened(people, far=0.05).notes == ()


Spoil = Callable[[Path], str]


def spec_with(text: str) -> Spoil:
    def spoil(people: Path) -> str:
        path = people.parent / "pairs.csv"
        path.write_text(text)
        return f"{path}={people}"

    return spoil


def flat_folder(people: Path) -> str:
    (people / "flat.png").write_bytes(encoded(look(0, 0)))
    return str(people)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            spec_with("p00/0.png,p00/1.png,1\np00/0.png,p01/9.png,0\n"),
            r"pairs\.csv, row 2: image 'p01/9\.png' is not in .*people",
        ),
        (spec_with("p00/0.png,p00/1.png\n"), r"pairs\.csv: carries no labels"),
        (spec_with("p00/0.png,p00/1.png,1\n"), r"pairs\.csv: labels of one class only"),
        (spec_with("p00/0.png,p00/1.png,maybe\n"), r"pairs\.csv, row 1: label 'maybe'"),
        (
            spec_with("p00/0.png,p00/1.png,1\np00/0.png,p01/1.png,0\n"),
            r"pairs\.csv: 1 impostor pairs; expected at least 10",
        ),
        (
            spec_with(
                "id1,id2,label,fold\np00/0.png,p00/1.png,1,0\n" + 20 * "p00/0.png,p01/1.png,0,1\n"
            ),
            r"pairs\.csv: one fold holds all genuine",
        ),
        (flat_folder, r"people: its images carry no subjects"),
        (lambda people: f"{people}/none.csv={people}", r"none\.csv: no such file"),
        (lambda people: f"{people}/none.csv", r"none\.csv: no such file"),
        (lambda people: f"{people}/none.bin", r"none\.bin: no such file"),
        (
            lambda people: f"{folded_list(people)}={people}/nowhere",
            r"nowhere: no such file or folder",
        ),
    ],
)
def test_what_is_wrong_shows_at_the_opening(people: Path, spoil: Spoil, message: str) -> None:
    spec = spoil(people)
    with pytest.raises(InputError) as caught:
        opened(spec)
    assert re.search(message, str(caught.value)), caught.value


@pytest.mark.parametrize(("value", "what"), [(np.nan, "not finite"), (0.0, "all zeros")])
def test_a_diverged_network_is_told(people: Path, value: float, what: str) -> None:
    def broken(pixels: np.ndarray) -> np.ndarray:
        outputs = embed(pixels)
        outputs[2] = value
        return outputs

    with pytest.raises(UserError, match=rf"1 of 48 .* 'p00/2\.png' is {what}") as caught:
        opened(people).run(broken)
    assert "learning rate" in str(caught.value.hint)


def test_overlap_is_found_by_name_and_by_pixels(people: Path) -> None:
    training = people.parent / "training"
    for person, name in ((3, "p03"), (20, "p04"), (21, "q00"), (7, "other_name")):
        (training / name).mkdir(parents=True)
        for photograph in range(3):
            # another format and file, the same pixels
            saved = encoded(look(person, photograph), "BMP")
            (training / name / f"{photograph}.bmp").write_bytes(saved)
    source = open_source(str(training))
    labels = ["other_name", "p03", "p04", "q00"]
    validation = opened(people)
    by_name, by_pixels = overlap_warnings([validation], source, labels, PREPROCESSING)
    assert "2 of its 12 subjects have the name of a training subject: p03, p04;" in by_name
    assert "6 of 12 training images compared (of 12)" in by_pixels
    assert f"{training}/other_name/0.bmp" in by_pixels


def test_overlap_of_a_sample_says_how_large_it_was(people: Path) -> None:
    (people / "p00" / "0.png").write_bytes(b"broken")
    source = open_source(str(people))
    (people.parent / "held.csv").write_text(
        "p01/0.png,p01/1.png,1\n" + 10 * "p01/0.png,p02/1.png,0\n"
    )
    held = opened(f"{people.parent / 'held.csv'}={people}")
    _, whole = overlap_warnings([held], source, ["p01"], PREPROCESSING)
    assert "3 of 47 training images compared (of 48)" in whole
    (few,) = overlap_warnings([held], source, [], PREPROCESSING, sample=30, seed=1)
    assert re.search(r"[123] of (29|30) training images compared \(of 48\)", few)


def test_no_overlap_no_warning(people: Path) -> None:
    training = people.parent / "training"
    for number in range(3):
        (training / f"t{number}").mkdir(parents=True)
        (training / f"t{number}" / "0.png").write_bytes(encoded(look(50 + number, 0)))
    source = open_source(str(training))
    assert overlap_warnings([opened(people)], source, ["t0", "t1", "t2"], PREPROCESSING) == ()
    assert overlap_warnings([], source, ["t0"], PREPROCESSING) == ()
