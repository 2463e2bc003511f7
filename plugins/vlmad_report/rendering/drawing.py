"""Drawing figures: a light and a dark style, and the same bytes for the same figure.

Figures are drawn with matplotlib's own defaults and the style below, whatever the user's
matplotlibrc says.
"""

from __future__ import annotations

import io
import sys
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import matplotlib
from cycler import cycler
from matplotlib import font_manager
from matplotlib.container import ErrorbarContainer
from matplotlib.text import Text
from matplotlib.ticker import Formatter, FuncFormatter, LogFormatter, NullFormatter

from vlmad_report.rendering.encoded import PNG, SVG, Encoded, Rendered
from vlmad_report.rendering.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure as Drawing

    from vlmad_report.content import Figure

CYCLE = ("#3181d6", "#dc7c01", "#05a97a", "#8c508b", "#a6514e")
"""Apart for all kinds of colour vision, and at least 3:1 on both grounds: found by search."""
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


@dataclass(frozen=True, slots=True)
class Scheme:
    """Colours that depend on the ground."""

    ground: str
    ink: str
    muted: str
    line: str


LIGHT = Scheme("#ffffff", "#1b1f24", "#59616c", "#dfe2e6")
DARK = Scheme("#15181d", "#e4e7eb", "#a3abb6", "#333943")


def style(scheme: Scheme) -> dict[str, Any]:
    """Return the rcParams of a scheme."""
    return {
        "figure.figsize": (7.2, 3.8),
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
        "svg.hashsalt": "vlmad",
        "svg.fonttype": "path",
    }


@cache
def fonts() -> list[str]:
    """Return the families of `FONTS` that are installed; matplotlib complains of others."""
    installed = set(font_manager.get_font_names())
    return [name for name in FONTS if name in installed]


def render_figure(figure: Figure) -> Rendered:
    """Draw a figure for a light and a dark ground, and as PNG on white.

    Raises:
        Exception: whatever its own `draw` raises.
    """
    with drawn(figure, LIGHT) as drawing:
        width, height = (round(inches * 96) for inches in drawing.get_size_inches())
        light, plain = _vector(drawing), _save(drawing, PNG, LIGHT.ground)
    with drawn(figure, DARK) as drawing:
        dark = _vector(drawing)
    return Rendered(light, dark, plain, width, height)


@contextmanager
def drawn(figure: Figure, scheme: Scheme) -> Iterator[Drawing]:
    """Draw a figure in a scheme, which holds until the drawing is let go of."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        parameters: Any = matplotlib.rcParams  # typed by every key there is
        parameters.update(style(scheme))
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


def _vector(drawing: Drawing) -> Encoded:
    encoded = _save(drawing, SVG, "none")
    if len(encoded.content) > LARGEST_SVG:
        return _save(drawing, PNG, "none")
    return encoded


def _save(drawing: Drawing, media: str, ground: str) -> Encoded:
    content, missing = _written(drawing, media, ground)
    if missing and media == SVG:
        # letters that no font here has: whoever looks at it may have one
        with matplotlib.rc_context({"svg.fonttype": "none"}):
            content, _ = _written(drawing, media, ground)
    return Encoded(content, media)


def _written(drawing: Drawing, media: str, ground: str) -> tuple[bytes, bool]:
    """Return a drawing's bytes, and whether its fonts lack letters."""
    silent = {"Date": None, "Creator": None} if media == SVG else {"Software": None}
    buffer = io.BytesIO()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        form = "svg" if media == SVG else "png"
        drawing.savefig(buffer, format=form, facecolor=ground, metadata=silent)
    of_glyphs = [each for each in caught if "missing from" in str(each.message)]
    for each in caught:
        if each not in of_glyphs:
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)
    return buffer.getvalue(), bool(of_glyphs)
