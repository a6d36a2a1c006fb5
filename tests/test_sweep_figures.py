from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from damcli.errors import UserError
from damcli.evaluation.results import Interval
from damcli.reports.sweep_figures import over_anchors, over_k, over_s
from damcli.reports.sweep_rows import quantities
from damcli.scoring.all_pairs import all_pairs
from damcli.storage.hdf5 import write_embeddings
from damcli.sweeping.settings import Plan, Setting
from damcli.sweeping.sweep import Sweep, sweep
from tests.cli import Outcome, damcli, failed
from tests.faces import anchors, faces
from tests.test_scoring import write_pairs

PLAN = Plan((1, 5, 10), (0.5, 1.0, 8.0), (12, 30), (0, 1, 2))


@pytest.fixture(scope="module")
def found() -> Sweep:
    people = faces(12, 3, noise=1.2)
    return sweep(
        *(all_pairs(people), people, anchors()), plan=PLAN, fars=(1e-4, 1e-2, 0.1), resamples=20
    )


def tars(found: Sweep, place: int, settings: list[Setting]) -> np.ndarray:
    return np.array([100 * (found.of(one).points[place].tar or 0) for one in settings])


def test_a_panel_for_each_far_that_allows_a_false_accept(found: Sweep) -> None:
    for draw, label in (
        (over_k, "k, nearest anchors in the LID (s = 1)"),
        (over_s, "s, scale of the LID (k = 10)"),
        (over_anchors, "anchors (k = 10, s = 1)"),
    ):
        panels = draw(found).axes
        assert [axes.get_title(loc="left") for axes in panels] == [
            *("TAR at FAR 1e-2", "TAR at FAR 1e-1"),
        ]
        assert [axes.get_ylabel() for axes in panels] == ["TAR (%)"] * 2
        assert [axes.get_xlabel() for axes in panels] == ["", label]
        assert {axes.get_xscale() for axes in panels} == {"log"}


def test_the_curves_are_the_numbers(found: Sweep) -> None:
    along = {
        over_k: (PLAN.ks, [Setting(k, 1.0) for k in PLAN.ks]),
        over_s: (PLAN.scales, [Setting(10, s) for s in PLAN.scales]),
    }
    for draw, (places, settings) in along.items():
        for place, axes in enumerate(draw(found).axes, 1):
            dam, cosine = axes.lines
            np.testing.assert_array_equal(dam.get_xdata(), places)
            np.testing.assert_allclose(dam.get_ydata(), tars(found, place, settings))
            level = 100 * (found.cosine.points[place].tar or 0)
            np.testing.assert_allclose(cosine.get_ydata(), level)
            (band,) = axes.collections
            corners = np.round(band.get_paths()[0].vertices, 6)
            for at, one in zip(places, settings, strict=True):
                estimate = found.of(one).tars[place]
                assert estimate is not None
                assert estimate.difference_interval is not None
                for end in estimate.difference_interval:
                    edge = round(min(100, max(0, level + 100 * end)), 6)
                    assert (corners == (at, edge)).all(axis=1).any()


def test_bands_end_where_rates_do(found: Sweep) -> None:
    wide = Interval(-2.0, 2.0)
    metrics = tuple(
        replace(
            metric,
            tars=tuple(one and replace(one, difference_interval=wide) for one in metric.tars),
        )
        for metric in found.evaluation.metrics
    )
    evaluation = replace(found.evaluation, metrics=metrics)
    for axes in over_k(Sweep(PLAN, 40, evaluation, found.measured)).axes:
        (band,) = axes.collections
        heights = band.get_paths()[0].vertices[:, 1]
        assert (heights.min(), heights.max()) == (0, 100)


def test_the_draws_are_dots_with_their_mean_and_spread(found: Sweep) -> None:
    for place, axes in enumerate(over_anchors(found).axes, 1):
        by_size = [tars(found, place, [Setting(10, 1.0, n, i) for i in range(3)]) for n in (12, 30)]
        whole = tars(found, place, [Setting(10, 1.0)])
        dam = axes.lines[0]
        np.testing.assert_array_equal(dam.get_xdata(), [12, 30, 40])
        np.testing.assert_allclose(dam.get_ydata(), [*(v.mean() for v in by_size), *whole])
        band, dots = axes.collections
        expected = [(n, v) for n, values in zip((12, 30), by_size, strict=True) for v in values]
        np.testing.assert_allclose(sorted(map(tuple, dots.get_offsets())), sorted(expected))
        corners = band.get_paths()[0].vertices
        assert corners[:, 1].min() == pytest.approx(min(map(np.min, by_size)))
        assert corners[:, 1].max() == pytest.approx(max(map(np.max, by_size)))


def test_ticks_are_what_was_measured(found: Sweep) -> None:
    ticks = {
        draw: [text.get_text() for text in draw(found).axes[-1].get_xticklabels()]
        for draw in (over_k, over_s, over_anchors)
    }
    assert ticks == {
        over_k: ["1", "5", "10"],
        over_s: ["0.5", "1", "8"],
        over_anchors: ["12", "30", "40"],
    }


def test_folds_have_a_panel_of_their_own(tmp_path: Path) -> None:
    people = faces(12, 3, noise=1.2)
    path = write_pairs(tmp_path / "pairs.csv", people)
    head, *lines = path.read_text().splitlines()
    folds = [f"{line},{number % 3}" for number, line in enumerate(lines)]
    path.write_text("\n".join([f"{head},fold", *folds]))
    import damcli as package

    pairs = package.read_pairs(path)
    found = sweep(pairs, people, anchors(), plan=PLAN, fars=(0.1,), resamples=0)
    shown = over_k(found).axes
    assert [axes.get_title(loc="left") for axes in shown] == [
        *("TAR at FAR 1e-1", "accuracy over 3 folds"),
    ]
    folds_of = [found.of(Setting(k, 1.0)).folds for k in PLAN.ks]
    np.testing.assert_allclose(
        shown[1].lines[0].get_ydata(), [100 * one.mean for one in folds_of if one is not None]
    )
    assert not shown[0].collections  # no resamples, no band
    names = [quantity.title for quantity in quantities(found)]
    assert names == ["TAR at FAR 1e-1", "EER", "accuracy over 3 folds"]


def test_too_few_impostors_for_any_far(found: Sweep) -> None:
    people = faces(4, 3)
    few = sweep(all_pairs(people), people, anchors(), plan=PLAN, fars=(1e-6,), resamples=0)
    with pytest.raises(UserError, match=r"too few impostor pairs for any FAR.*at least 1,000,000"):
        over_k(few)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    people = faces(8, 3, noise=1.2)
    write_embeddings(tmp_path / "emb.h5", people)
    write_embeddings(tmp_path / "anchors.h5", anchors())
    write_pairs(tmp_path / "pairs.csv", people)
    return tmp_path


def draw(folder: Path, *options: object) -> Outcome:
    files = (folder / "pairs.csv", "-e", folder / "emb.h5", "-a", folder / "anchors.h5")
    lists = ("--k", "2,10", "--s", "1,4", "--far", "0.1", "--resamples", "5")
    return damcli("sweep", *files, *lists, *options)


NAMES = ("sweep_anchors", "sweep_k", "sweep_s")


@pytest.mark.parametrize(
    ("kind", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_figures_are_written_whole_and_the_same_each_time(
    folder: Path, kind: str, magic: bytes
) -> None:
    for name in ("one", "two"):
        options = ("--anchors-size", "12,30", "--figures", folder / name, "--figure-format", kind)
        done = draw(folder, *options)
        assert done.code == 0, done.err
    one, two = (
        {path.name: path.read_bytes() for path in (folder / name).iterdir()}
        for name in ("one", "two")
    )
    assert one == two
    assert sorted(one) == [f"{name}.{kind}" for name in NAMES]
    for content in one.values():
        assert content.startswith(magic)
        assert len(content) > 5000


def test_what_has_no_curve_is_said(folder: Path) -> None:
    done = draw(folder, "--figures", folder / "figures")
    assert done.code == 0, done.err
    assert {path.name for path in (folder / "figures").iterdir()} == {"sweep_k.png", "sweep_s.png"}
    assert "no curve over anchors" in done.err


def test_figures_that_stand_there_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder / "sweep_s.png"
    target.write_bytes(b"before")
    failed(draw(folder, "--figures", folder), "sweep_s.png: exists already")
    assert target.read_bytes() == b"before"
    assert not (folder / "sweep_k.png").exists()
    assert draw(folder, "--figures", folder, "--force").code == 0
    assert target.read_bytes()[:4] == b"\x89PNG"
    failed(draw(folder, "--figures", folder / "emb.h5"), "emb.h5: is a file; expected a folder")
    failed(draw(folder, "--figures", folder / "no" / "where"), "its folder", "does not exist")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    failed(draw(folder, "--figures", folder / "more"), "A figure needs the extra [plots]")
    assert not (folder / "more").exists()


def test_figures_that_cannot_be_drawn_leave_nothing(folder: Path) -> None:
    options = ("--far", "1e-6", "--figures", folder / "figures", "-o", folder / "sweep.csv")
    failed(draw(folder, *options), "too few impostor pairs for any FAR", "--far")
    assert not (folder / "figures").exists()
    assert not (folder / "sweep.csv").exists()
