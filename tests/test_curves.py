"""The picture of a training run, and the style of all figures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from damcli.errors import InputError, MissingExtra, OutputError
from damcli.reports.curves import curves, curves_png
from damcli.reports.style import LOOKS, dress, new_figure, save

HEADER = "step,epoch,loss,lr,images_per_second,lfw accuracy,lfw standard_error,my faces tar@0.001"
ROWS = [
    "10,0.1,9.5,0.1,300,,,",
    "20,0.2,7.25,0.1,301,0.81,0.01,",
    "30,0.3,nan,0.01,299,,,0.5",
    "40,0.4,6.5,0.01,300,0.93,0.02,0.4",
    "50,0.5,6,0.001,300,0.92,0.01,0.25",
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("\n".join([HEADER, *ROWS]) + "\n")
    return path


def test_the_lines_are_the_columns(log: Path) -> None:
    loss, validation, rate = curves(log).axes
    (line,) = loss.lines
    np.testing.assert_array_equal(line.get_xdata(), [10, 20, 30, 40, 50])
    np.testing.assert_array_equal(line.get_ydata(), [9.5, 7.25, np.nan, 6.5, 6])
    lfw, faces = validation.lines
    np.testing.assert_array_equal(lfw.get_xdata(), [20, 40, 50])
    np.testing.assert_allclose(lfw.get_ydata(), [81, 93, 92])
    np.testing.assert_array_equal(faces.get_xdata(), [30, 40, 50])
    np.testing.assert_allclose(faces.get_ydata(), [50, 40, 25])
    np.testing.assert_array_equal(rate.lines[0].get_ydata(), [0.1, 0.1, 0.01, 0.01, 0.001])
    assert rate.get_yscale() == "log"
    assert [axes.get_ylabel() for axes in (loss, validation, rate)] == [
        "loss",
        "validation (%)",
        "learning rate",
    ]
    assert rate.get_xlabel() == "step"


def test_the_legend_names_the_best_and_the_band_is_the_error(log: Path) -> None:
    validation = curves(log).axes[1]
    assert [text.get_text() for text in validation.get_legend().get_texts()] == [
        "lfw, accuracy ± s.e.: best 93.00 % at step 40",
        "my faces, TAR at FAR 0.001: best 50.00 % at step 30",
    ]
    (band,) = validation.collections
    corners = {tuple(corner) for corner in np.round(band.get_paths()[0].vertices, 6)}
    assert {(20, 80), (20, 82), (40, 91), (40, 95), (50, 91), (50, 93)} <= corners


def test_a_run_without_validation_has_two_panels(log: Path) -> None:
    columns = [row.split(",")[:5] for row in (HEADER, *ROWS)]
    log.write_text("\n".join(map(",".join, columns)) + "\n")
    assert [axes.get_ylabel() for axes in curves(log).axes] == ["loss", "learning rate"]


def test_a_single_row_is_a_point_in_every_panel(log: Path) -> None:
    log.write_text(f"{HEADER}\n6,0.1,9.5,0.1,300,0.81,0.01,\n")
    drawn = curves(log)
    assert all(axes.lines[0].get_marker() == "o" for axes in drawn.axes)
    drawn.draw_without_rendering()
    ticks = drawn.axes[-1].get_xticks()
    assert (ticks == ticks.round()).all()


def test_a_long_run_has_a_running_mean(log: Path) -> None:
    losses = np.random.default_rng(0).normal(size=200).round(4)
    rows = [f"{row},{loss},0.1" for row, loss in enumerate(losses)]
    log.write_text("\n".join(["step,loss,lr", *rows]))
    raw, mean = curves(log).axes[0].lines
    np.testing.assert_array_equal(raw.get_ydata(), losses)
    slow = [np.mean(losses[row - 2 : row + 3]) for row in range(2, 198)]
    np.testing.assert_allclose(mean.get_ydata(), slow)
    np.testing.assert_array_equal(mean.get_xdata(), range(2, 198))


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_the_same_log_gives_the_same_bytes(log: Path, suffix: str) -> None:
    files = [log.with_name(f"{name}{suffix}") for name in ("one", "two")]
    for file in files:
        curves_png(log, file)
    one, two = (file.read_bytes() for file in files)
    assert one == two
    assert len(one) > 5000


def test_a_picture_has_the_size_of_a_page_in_print(log: Path) -> None:
    curves_png(log, log.with_name("curves.png"))
    with Image.open(log.with_name("curves.png")) as picture:
        assert picture.width == 1300  # 6.5 inches of 200 dots
        assert picture.getpixel((0, 0))[:3] == (255, 255, 255)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "log.csv: cannot be read"),
        ("step,lr\n1,0.1\n", "log.csv: has no column loss"),
        (HEADER + "\n", "log.csv: holds no step yet"),
        ("step,loss,lr\n1,2,0.1\n2,much,0.1\n", "log.csv, row 3: loss is 'much'"),
    ],
)
def test_what_is_no_log(log: Path, text: str | None, message: str) -> None:
    log.unlink()
    if text is not None:
        log.write_text(text)
    with pytest.raises(InputError) as caught:
        curves(log)
    assert message in str(caught.value)


def test_a_picture_appears_whole_or_not_at_all(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = log.with_name("curves.png")
    target.write_bytes(b"before")
    with pytest.raises(OutputError, match="exists already"):
        curves_png(log, target)
    figure = curves(log)

    def fill_up(draft: Path, **_: object) -> None:
        draft.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", fill_up)
    with pytest.raises(OutputError, match="the disk is full"):
        save(figure, target, force=True)
    assert target.read_bytes() == b"before"
    assert sorted(log.parent.iterdir()) == [target, log]
    curves_png(log, target, force=True)
    assert target.read_bytes()[:4] == b"\x89PNG"


def test_an_unknown_kind_of_picture(log: Path) -> None:
    with pytest.raises(OutputError, match=r"unknown kind '\.jpg'; expected \.png, \.svg, \.pdf"):
        curves_png(log, log.with_suffix(".jpg"))


def test_without_matplotlib(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"A figure needs the extra \[plots\]"):
        curves(log)


def test_nothing_of_the_user_s_matplotlib_is_touched(log: Path) -> None:
    code = f"""
import sys, pathlib, matplotlib
before = matplotlib.rcParams.copy()
from damcli.reports.curves import curves_png
curves_png(pathlib.Path({str(log)!r}), pathlib.Path({str(log.with_name("c.svg"))!r}))
assert matplotlib.rcParams.copy() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_lines_differ_without_their_colours() -> None:
    assert len({(look.dashes, look.marker) for look in LOOKS}) == len(LOOKS)
    assert len({look.colour for look in LOOKS}) == len(LOOKS)


def test_dressed_axes_have_no_frame_and_say_what_they_show() -> None:
    axes = new_figure(3, 2).subplots()
    dress(axes, x="FAR", y="TAR (%)", title="LFW")
    assert not axes.spines["top"].get_visible()
    assert not axes.spines["right"].get_visible()
    shown = axes.get_xlabel(), axes.get_ylabel(), axes.get_title(loc="left")
    assert shown == ("FAR", "TAR (%)", "LFW")
