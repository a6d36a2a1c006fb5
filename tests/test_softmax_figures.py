"""Softmax probability against cosine and DAM: the numbers, the picture, the refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy
from scipy.special import log_softmax, logsumexp
from scipy.stats import spearmanr

from damcli.evaluation.rank_correlation import rank_correlations
from damcli.reports import html
from damcli.reports.softmax_figures import Seen, Segment, softmax_part, thirds
from damcli.storage.anchors import Anchors
from damcli.storage.embeddings import Embeddings
from damcli.storage.hdf5 import write_embeddings
from damcli.storage.logits import Logits, read_logits
from tests.cli import Outcome, damcli, failed

CLASSES, EACH, DIM, SCALE = 40, 3, 8, 16.0


@pytest.mark.parametrize("decimals", [1, 9])
def test_rank_correlation_is_that_of_scipy_ties_included(decimals: int) -> None:
    rng = np.random.default_rng(0)
    target, one, other = np.round(rng.normal(size=(3, 200)), decimals)
    other = other + target
    found = rank_correlations(target, (one, other), resamples=0)
    values = [estimate.value for estimate in found if estimate is not None]
    np.testing.assert_allclose(values, [spearmanr(target, x).statistic for x in (one, other)])
    assert found[1] is not None
    assert found[1].difference == pytest.approx(values[1] - values[0])


def test_samples_of_one_subject_are_drawn_together() -> None:
    """Each sample twice tells no more than once."""
    rng = np.random.default_rng(0)
    target, one, other = rng.normal(size=(3, 60))
    options: dict[str, Any] = {"resamples": 30, "seed": 4}
    once = rank_correlations(target, (one, other), **options)
    units = np.tile(np.char.add("s", np.char.zfill(np.arange(60).astype(str), 2)), 2)
    twice = rank_correlations(
        np.tile(target, 2), [np.tile(x, 2) for x in (one, other)], units, **options
    )
    for mine, theirs in zip(twice, once, strict=True):
        assert mine is not None
        assert theirs is not None
        assert mine.interval == pytest.approx(theirs.interval)
        assert mine.difference_interval == pytest.approx(theirs.difference_interval)
        assert theirs.interval is not None
        assert theirs.interval.low < theirs.value < theirs.interval.high


def test_a_resample_is_a_list_with_repeats() -> None:
    rng = np.random.default_rng(0)
    target, one = np.round(rng.normal(size=(2, 40)), 1)
    drawn = np.random.default_rng(7).integers(40, size=(2, 40))
    values = [spearmanr(target[rows], one[rows]).statistic for rows in drawn]
    (found,) = rank_correlations(target, (one,), resamples=2, seed=7)
    assert found is not None
    assert found.interval == pytest.approx(np.quantile(values, (0.025, 0.975)))


def test_one_and_the_same_number_has_no_order() -> None:
    target = np.arange(20.0)
    alike, better = rank_correlations(target, (np.ones(20), target**3), resamples=5)
    assert alike is None
    assert better is not None
    assert (better.value, better.difference) == (pytest.approx(1), None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Training samples with logits, class centres as anchors, and some scores."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(CLASSES, DIM)) + 0.7
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    classes = np.repeat(np.arange(CLASSES), EACH)
    samples = centres[classes] + 0.25 * rng.normal(size=(len(classes), DIM))
    samples /= np.linalg.norm(samples, axis=1, keepdims=True)
    cosines, rows = samples @ centres.T, np.arange(len(classes))
    np.savez(
        tmp_path / "train.npz",
        embedding=samples,
        id=np.array([f"t{row}" for row in rows]),
        subject=classes.astype(str),
        probability=np.exp(log_softmax(SCALE * cosines, axis=1))[rows, classes],
        cosine=cosines[rows, classes],
    )
    names = [str(number) for number in range(CLASSES)]
    ids = [f"w{name}" for name in names]
    made = Embeddings.from_arrays(centres, ids, names)
    write_embeddings(tmp_path / "centres.h5", Anchors.of(made, kind="fc-weights"))
    labels = rng.integers(2, size=200)
    lines = [f"p{n},r{n},{label},{label + rng.normal()}" for n, label in enumerate(labels)]
    text = "\n".join(["probe_id,reference_id,label,cosine", *lines])
    (tmp_path / "scores.csv").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(html, "draw", lambda figure, into, suffix: into.write(b"<svg/>"))
    return tmp_path


def report(*options: object) -> Outcome:
    files = ("report", "scores.csv", "-o", "page.html", "--far", "0.1", "--resamples", 20)
    return damcli(*files, *options)


def slow_dam(path: Path, k: int = 10) -> tuple[Any, Any, Any]:
    """Take s·c − log G of each sample, s = 1, from the centres of all other classes."""
    found = np.load(path)
    cosine, probability = found["cosine"], found["probability"]
    samples, names = found["embedding"], found["subject"]
    means = np.random.default_rng(0).normal(size=(CLASSES, DIM)) + 0.7
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    dam = []
    for sample, name, own in zip(samples, names, cosine, strict=True):
        others = [means[one] @ sample for one in range(CLASSES) if str(one) != name]
        dam.append(own - logsumexp(sorted(others)[-k:]))
    return probability, cosine, np.array(dam)


def test_the_correlations_on_the_page(folder: Path) -> None:
    done = report("--logits", "train.npz", "-a", "centres.h5", "--segment", "0.5:0.9")
    assert done.code == 0, done.err
    page = (folder / "page.html").read_text()
    probability, cosine, dam = slow_dam(folder / "train.npz")
    some = (cosine >= 0.5) & (cosine <= 0.9)
    assert 10 < some.sum() < len(some)
    for rows in (np.ones(len(some), dtype=bool), some):
        mine = [spearmanr(probability[rows], x[rows]).statistic for x in (cosine, dam)]
        cells = [f"{rows.sum():,}</td>", *(f"<td>{value:.3f} [" for value in mine)]
        cells.append(f"<td>{mine[1] - mine[0]:+.3f} [")
        line = page[page.index(f"<td>{cells[0]}") :].split("</tr>")[0]
        for cell in cells:
            assert cell in line
    assert "(k = 10, s = 1)" in page
    assert "not whether it verifies better" in page
    assert "resamples of subjects" in page


def seen(path: Path, subjects: bool = True) -> Seen:
    probability, cosine, dam = slow_dam(path)
    found = np.load(path)
    names = found["subject"] if subjects else None
    made = Embeddings.from_arrays(found["embedding"], found["id"], names)
    return Seen(Logits(made, probability, cosine), cosine - dam, 10, 1.0)


def test_the_picture_shows_every_sample_once(folder: Path) -> None:
    one = seen(folder / "train.npz")
    segments = [Segment(0.6, 0.75), Segment(0.8, 0.9)]
    part = softmax_part("abc", one, segments, of=400, resamples=0, seed=0)
    (picture,) = part.pictures
    for axes, x in zip(picture.figure.axes, (one.logits.cosine, one.dam), strict=True):
        dots = np.concatenate([np.asarray(each.get_offsets()) for each in axes.collections])
        expected = np.stack([x, one.logits.probability], axis=1)
        np.testing.assert_allclose(sorted(map(tuple, dots)), sorted(map(tuple, expected)))
        others, *inside = axes.collections
        assert others.get_label() == "others"
        assert [each.get_label() for each in inside] == ["c 0.6 to 0.75", "c 0.8 to 0.9"]
        held = [len(segment.rows(one.logits.cosine)) for segment in segments]
        assert [len(each.get_offsets()) for each in inside] == held
    assert part.notes[0] == "120 samples, evenly spaced, of 400."
    assert not any("intervals: " in note for note in part.notes)
    ((_, grid),) = part.tables
    assert picture.alt.endswith(f"{grid.lines[0][2]} by cosine, {grid.lines[0][3]} by DAM.")


def test_thirds_hold_as_many_samples_each(folder: Path) -> None:
    cosine = seen(folder / "train.npz").logits.cosine
    assert [len(one.rows(cosine)) for one in thirds(cosine)] == [CLASSES * EACH // 3] * 3


def test_without_subjects_that_is_said(folder: Path) -> None:
    one = seen(folder / "train.npz", subjects=False)
    part = softmax_part("abc", one, thirds(one.logits.cosine), of=120, resamples=3, seed=0)
    assert "names no subjects" in part.notes[2]
    assert "3 resamples of samples" in part.notes[3]


def test_the_file_is_made_as_the_documentation_says(folder: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "report.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)
    samples = 2 * np.load("train.npz")["embedding"].astype(np.float32)
    weights = np.random.default_rng(0).normal(size=(CLASSES, DIM)) + 0.7
    classes = np.repeat(np.arange(CLASSES), EACH)
    made = read_logits(Path("train.npz"))
    Path("train.npz").unlink()
    exec(
        code.replace("64", str(SCALE)),
        {"np": np, "scipy": scipy, "f": samples, "W": weights, "y": classes},
    )
    again = read_logits(Path("train.npz"))
    np.testing.assert_allclose(again.probability, made.probability, rtol=1e-4)
    np.testing.assert_allclose(again.cosine, made.cosine, rtol=1e-5)
    assert made.embeddings.subjects is not None
    assert again.embeddings.subjects is not None
    assert [*again.embeddings.subjects] == [*made.embeddings.subjects]


def changed(**arrays: Any) -> Path:
    found = dict(np.load("train.npz"))
    found |= {
        name: value(found[name]) if callable(value) else value for name, value in arrays.items()
    }
    np.savez("changed.npz", **{name: value for name, value in found.items() if value is not None})
    return Path("changed.npz")


@pytest.mark.parametrize(
    ("arrays", "parts"),
    [
        ({"probability": None}, ("expected probability as well", "np.savez(FILE, embedding=")),
        ({"cosine": None}, ("expected cosine as well",)),
        ({"probability": lambda p: np.r_[p[:4], 7.5, p[5:]]}, ("row 5: probability is 7.5", "not")),
        ({"cosine": lambda c: np.r_[c[:-1], np.nan]}, ("row 120: cosine is nan; expected a",)),
        ({"cosine": lambda c: c[:-1]}, ("cosine is of shape (119,)", "expected 120 floats")),
        ({"probability": lambda p: p.astype(str)}, ("and type <U", "expected 120 floats")),
        ({"embedding": None}, ("expected the vectors under one of",)),
        ({"cosine": lambda c: np.array([c, None], dtype=object)}, ("not a readable .npz",)),
    ],
)
def test_bad_logits(folder: Path, arrays: dict[str, Any], parts: tuple[str, ...]) -> None:
    path = changed(**arrays)
    failed(report("--logits", path, "-a", "centres.h5"), "changed.npz", *parts)
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    ("options", "parts", "code"),
    [
        (("--logits", "scores.csv", "-a", "centres.h5"), ("is of kind '.csv'", ".npz"), 1),
        (("--logits", "none.npz", "-a", "centres.h5"), ("none.npz: no such file",), 1),
        (
            ("--logits", "train.npz", "-a", "centres.h5", "--segment=-1:-0.9"),
            ("holds 0 samples of cosine -1 to -0.9; expected at least 10", "--segment"),
            1,
        ),
    ],
)
def test_bad_files(
    folder: Path, options: tuple[str, ...], parts: tuple[str, ...], code: int
) -> None:
    failed(report(*options), *parts, code=code)
    assert not Path("page.html").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--logits", "train.npz"), "so do --logits and --anchors"),
        (("-a", "centres.h5"), "--embeddings and --anchors go together"),
        (("--segment", "0.1:0.2"), "--segment is about --logits"),
        (
            ("--logits", "train.npz", "-a", "centres.h5", "--segment", "0.2"),
            "--segment 0.2: expected",
        ),
        (
            ("--logits", "train.npz", "-a", "centres.h5", "--segment", "0.5:0.4"),
            "--segment 0.5:0.4: expected LOW:HIGH",
        ),
        (
            ("--logits", "train.npz", "-a", "centres.h5", *(["--segment", "0:1"] * 5)),
            "5 times --segment; expected at most 4",
        ),
    ],
)
def test_usage(folder: Path, options: tuple[str, ...], message: str) -> None:
    done = report(*options)
    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())


def test_the_figure_is_written_and_never_overwritten(folder: Path) -> None:
    files = ("--logits", "train.npz", "-a", "centres.h5", "--figures", "figures")
    Path("figures").mkdir()
    Path("figures/softmax.svg").write_text("before")
    failed(report(*files), "softmax.svg: exists already", "--force")
    assert [path.name for path in Path("figures").iterdir()] == ["softmax.svg"]
    assert report(*files, "--force").code == 0
    for kind, magic in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        assert Path(f"figures/softmax{kind}").read_bytes().startswith(magic)
