"""Drawing figures: for a wide and a narrow page, and the same bytes for the same figure.

Figures are drawn with matplotlib's own defaults and the style below, whatever the user's
matplotlibrc says. How wide they may be stands in ``figure.figsize``.
"""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib
from cycler import cycler
from matplotlib import font_manager
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text
from matplotlib.ticker import Formatter, FuncFormatter, LogFormatter, NullFormatter

from vlmad.errors import printable
from vlmad_report.rendering.colours import CYCLE, LIGHT, names
from vlmad_report.rendering.encoded import PNG, Encoded, Rendered
from vlmad_report.rendering.vector import Vector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure as Drawing

    from vlmad_report.content import Figure

DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)))
"""So that lines need no colour to be told apart."""
FONTS = (
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "PingFang SC",
    "Microsoft YaHei",
    "Hiragino Sans",
    "WenQuanYi Zen Hei",
    "Arial Unicode MS",
)
"""The first comes with matplotlib; of the others, those that are installed fill its gaps."""
DOTS_PER_INCH = 160
LARGEST_SVG = 600_000
"""Bytes; a figure of more points than that is shown as PNG."""


WIDE, NARROW = 9.2, 3.6
"""Inches of a page's column on a desk and on a phone: no figure may be wider."""


def style(room: float) -> dict[str, Any]:
    """Return the rcParams of a figure that has so many inches from left to right."""
    scheme = LIGHT
    return {
        "figure.figsize": (room, 3.8),
        "figure.facecolor": "none",
        "figure.constrained_layout.use": True,
        "axes.facecolor": "none",
        "axes.edgecolor": scheme.line,
        "axes.labelcolor": scheme.muted,
        "axes.titlecolor": scheme.ink,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=CYCLE) + cycler(linestyle=DASHES),
        "boxplot.boxprops.color": scheme.ink,
        "boxplot.capprops.color": scheme.ink,
        "boxplot.flierprops.markeredgecolor": scheme.muted,
        "boxplot.medianprops.color": scheme.ink,
        "boxplot.whiskerprops.color": scheme.ink,
        "font.family": fonts(),
        "font.size": 10,
        "grid.color": scheme.line,
        "grid.linewidth": 0.7,
        "hatch.color": scheme.ground,
        "legend.frameon": False,
        "legend.labelcolor": scheme.ink,
        "lines.linewidth": 1.8,
        "patch.edgecolor": scheme.ground,
        "text.color": scheme.ink,
        "text.parse_math": False,  # a $ in a name is a $
        "xtick.color": scheme.line,
        "xtick.labelcolor": scheme.muted,
        "ytick.color": scheme.line,
        "ytick.labelcolor": scheme.muted,
        "savefig.dpi": DOTS_PER_INCH,
    }


@cache
def fonts() -> list[str]:
    """Return the families of `FONTS` that are installed; matplotlib complains of others."""
    installed = set(font_manager.get_font_names())
    return [name for name in FONTS if name in installed]


def render_figure(figure: Figure) -> Rendered:
    """Draw a figure for a wide and a narrow page, and as PNG on white.

    Raises:
        Exception: whatever its own `draw` raises.
    """
    with drawn(figure, WIDE) as drawing:
        width, height = (round(inches * 96) for inches in drawing.get_size_inches())
        plain = _png(drawing)
        wide = _vector(drawing, f"{figure.name}.w", "wide")
    with drawn(figure, NARROW) as drawing:
        narrow = _vector(drawing, f"{figure.name}.n", "narrow")
    vectors = (wide, narrow) if wide and narrow else ()
    return Rendered(plain, width, height, vectors)


@contextmanager
def drawn(figure: Figure, room: float) -> Iterator[Drawing]:
    """Draw a figure in the style of the report, which holds until the drawing is let go of."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        parameters: Any = matplotlib.rcParams  # typed by every key there is
        parameters.update(style(room))
        drawing = figure.draw()
        try:
            _make_safe(drawing)
            yield drawing
        finally:
            if "matplotlib.pyplot" in sys.modules:  # it would keep the drawing for ever
                sys.modules["matplotlib.pyplot"].close(drawing)


def _make_safe(drawing: Drawing) -> None:
    """Make names fit to be drawn, and tick labels plain texts."""
    for axes in drawing.axes:
        for axis in (axes.xaxis, axes.yaxis):
            formatter = axis.get_major_formatter()
            if isinstance(formatter, LogFormatter):  # it writes powers as formulas
                formatter = FuncFormatter(lambda value, _: f"{value:g}")
                axis.set_minor_formatter(NullFormatter())
            axis.set_major_formatter(_Printable(formatter))
        for bars in axes.containers:
            if isinstance(bars, ErrorbarContainer):  # dashes are to tell lines apart, not these
                for lines in bars.lines[2]:
                    lines.set_linestyle("-")
    for text in drawing.findobj(Text):
        if isinstance(text, Text):
            text.set_text(_printable_lines(text.get_text()))
            text.set_gid(text.get_horizontalalignment())  # for `Vector`


class _Printable(Formatter):
    """A formatter whose labels can be drawn, whatever they are names of."""

    def __init__(self, own: Formatter) -> None:
        self.own = own

    def __call__(self, x: float, pos: int | None = None) -> str:
        return _printable_lines(self.own(x, pos))

    def format_ticks(self, values: list[float]) -> list[str]:
        return [_printable_lines(label) for label in self.own.format_ticks(values)]

    def get_offset(self) -> str:
        return _printable_lines(self.own.get_offset())

    def set_locs(self, locs: list[float]) -> None:
        self.own.set_locs(locs)


def _printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def _vector(drawing: Drawing, name: str, kind: str) -> str:
    """Return a drawing as SVG, or nothing if it holds an image or very many points."""
    drawing.set_dpi(72)
    width, height = (72 * float(inches) for inches in drawing.get_size_inches())
    vector = Vector(width, height, name, names())
    try:
        with _quietly():
            drawing.draw(vector)
    except NotImplementedError:  # how matplotlib says that a renderer draws no images
        return ""
    svg = vector.svg(kind)
    return svg if len(svg) <= LARGEST_SVG else ""


def _png(drawing: Drawing) -> Encoded:
    buffer = io.BytesIO()
    with _quietly():
        drawing.savefig(buffer, format="png", facecolor=LIGHT.ground, metadata={"Software": None})
    return Encoded(buffer.getvalue(), PNG)


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep matplotlib from warning of letters that its fonts lack, and of too little room."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*missing from")
        warnings.filterwarnings("ignore", "constrained_layout not applied")
        yield
