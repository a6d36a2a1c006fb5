"""How figures look, and how they are written: one style for all of them.

Colours are those of Okabe and Ito, which the colour-blind tell apart; dashes and markers
differ as well, so that nothing is lost in grey. Text has the size of a printed page's.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from damcli.errors import MissingExtra, OutputError
from damcli.storage.atomic import atomic_output

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FONT = "DejaVu Sans"  # comes with matplotlib, so that a figure is the same everywhere
TITLE, LABEL, SMALL = 10.0, 9.0, 8.0
INK, FAINT = "#333333", "#D9D9D9"
LINE_WIDTH, THIN = 1.6, 0.8
DPI = 200
FORMATS = (".png", ".svg", ".pdf")
# Without these, a file would hold the time and the version of what wrote it.
_UNDATED: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None, "Creator": None},
    ".pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


class Look(NamedTuple):
    """How one of several lines is drawn."""

    colour: str
    dashes: str
    marker: str


LOOKS = (
    Look("#0072B2", "-", "o"),
    Look("#D55E00", "--", "s"),
    Look("#009E73", "-.", "^"),
    Look("#CC79A7", ":", "D"),
    Look("#E69F00", "-", "v"),
    Look("#56B4E9", "--", "P"),
    Look("#000000", "-.", "X"),
)


def look(number: int) -> Look:
    """Return the look of the line of some number; they repeat after seven."""
    return LOOKS[number % len(LOOKS)]


def require_plots(purpose: str) -> None:
    """Refuse to go on without matplotlib.

    Raises
    ------
    MissingExtra
        It is not installed; ``purpose`` says what needed it.
    """
    try:
        import matplotlib.figure  # noqa: F401
    except ImportError as error:
        raise MissingExtra(purpose, "plots") from error


def new_figure(width: float = 6.5, height: float = 4.0) -> Figure:
    """Make an empty figure.

    Parameters
    ----------
    width, height
        In inches; 6.5 is the text of a page.

    Raises
    ------
    MissingExtra
        matplotlib is not installed.
    """
    require_plots("A figure")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def dress(axes: Axes, *, x: str = "", y: str = "", title: str = "") -> None:
    """Give axes their labels and the common look: no frame, a faint grid, titles at the left."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set(color=INK, linewidth=THIN)
    axes.grid(True, color=FAINT, linewidth=THIN / 2)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", colors=INK, width=THIN, labelsize=SMALL, labelfontfamily=FONT)
    text: dict[str, Any] = {"fontfamily": FONT, "color": INK}
    axes.set_xlabel(x, fontsize=LABEL, **text)
    axes.set_ylabel(y, fontsize=LABEL, **text)
    axes.set_title(title, fontsize=TITLE, loc="left", **text)


def key(axes: Axes, **where: Any) -> None:
    """Add a legend without a frame."""
    axes.legend(frameon=False, labelcolor=INK, prop={"family": FONT, "size": SMALL}, **where)


def key_above(figure: Figure, axes: Axes) -> None:
    """Add the legend of axes above the whole figure, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        *(handles, labels),
        loc="outside upper right",
        ncols=len(labels),
        frameon=False,
        labelcolor=INK,
        prop={"family": FONT, "size": SMALL},
    )


def save(figure: Figure, path: Path, *, force: bool = False) -> None:
    """Write a figure, whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        From `new_figure`.
    path
        ``.png`` (200 dots an inch), ``.svg`` or ``.pdf``.
    force
        Replace what stands there.

    Raises
    ------
    OutputError
        It has another suffix, exists, or cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise OutputError(
            f"{path}: a figure of unknown kind '{suffix}'; expected {', '.join(FORMATS)}"
        )
    with atomic_output(path, force=force) as draft:
        draw(figure, draft, suffix)


def draw(figure: Figure, into: Path | BytesIO, suffix: str) -> None:
    """Write a figure as ``.png``, ``.svg`` or ``.pdf``, always in the same bytes."""
    from matplotlib import rc_context

    # TrueType, because publishers refuse Type 3 fonts; a salt, so that names in SVG stay.
    with rc_context({"pdf.fonttype": 42, "svg.hashsalt": "damcli"}):
        figure.savefig(into, format=suffix[1:], metadata=_UNDATED[suffix])
