"""An explanation as one picture: the score, the places, their nearest references, sentences."""

from __future__ import annotations

import io
import textwrap
import warnings
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vlmad.errors import InputError, printable
from vlmad.loading import chunks
from vlmad_explain import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jaxtyping import Float
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

    from vlmad.images import Source
    from vlmad_explain.explanations import Explanation, PixelBox, ShownRegion

    Painter = tuple[float, Callable[[SubFigure], None]]
    """A row of the picture: its height in inches, and what paints it."""

WIDTH, DPI = 10.8, 100
VIEW, LINE, CARD = 4.7, 0.22, 2.3
"""The longest side of the image, and the heights of a line of text and of a crop, in inches."""
LONGEST = 800
"""The side in pixels to which larger images are reduced."""
COLUMNS, SENTENCES = 6, 4
"""Crops in a row, and sentences on a side."""
CONTEXT, SMALLEST_SHARE = 1.6, 0.16
"""How many times the region a crop shows, and of the image's shorter side at least."""
INK, PALE, DECIDED = "#202020", "#6a6a6a", "#ffe600"
COLOURS = {"references": "#ff8c1a", "text": "#19b5d8", "map": "#d946ef"}


def draw(
    explanation: Explanation,
    heat: Float[np.ndarray, "H W"],
    image: Image.Image,
    references: Sequence[Source],
) -> bytes:
    """Draw an explanation and return the bytes of a PNG file.

    Args:
        explanation: what to draw.
        heat: the map, of the size of the original.
        image: the original, RGB.
        references: what regions are compared with; those that cannot be read are left out.
    """
    title = f"{explanation.score:.3f}   {explanation.image}  ({explanation.class_name})"
    rows = [_text([title], size=14, weight="bold"), _text(words.equation(explanation), color=PALE)]
    height = VIEW * min(1, image.height / image.width) + 0.2
    rows.append((height, partial(_paint_views, explanation, heat, image)))
    for by, group in groupby(explanation.findings, key=lambda finding: finding.by):
        rows.append(_text([words.HEADINGS[by]], weight="bold"))
        rows += [_cards(some, image, references) for some in chunks(group, COLUMNS // 2)]
    if lines := words.strongest_lines(explanation, SENTENCES):
        rows += [_text(lines[:1], weight="bold"), _text(lines[1:], family="monospace")]
    if explanation.gap:
        rows.append(_text(textwrap.wrap(f"Not known: {explanation.gap}.", 150)))
    heights = [height for height, _ in rows]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI)
    places = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False, hspace=0)
    for place, (_, paint) in zip(places[:, 0], rows, strict=True):
        paint(place)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a letter that no font has is drawn as a box
        figure.savefig(buffer, format="png", pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def _text(lines: Sequence[str], size: float = 9, **style: Any) -> Painter:
    def paint(place: SubFigure) -> None:
        shown = "\n".join(_plain(line, round(1150 / size)) for line in lines)
        place.text(0.015, 0.5, shown, va="center", size=size, **{"color": INK, **style})

    return (len(lines) * size / 9 + 0.5) * LINE, paint


def _plain(text: str, most: int) -> str:
    """Return a text as matplotlib draws it literally, without its middle where it is long."""
    safe = printable(text)
    if len(safe) > most:
        safe = f"{safe[: most // 2]}…{safe[-(most // 2) :]}"
    return safe.replace("$", r"\$")


def _margins(**others: Any) -> dict[str, Any]:
    return {"left": 0.015, "right": 0.985, "bottom": 0.02, "top": 0.98, **others}


def _paint_views(
    explanation: Explanation, heat: Float[np.ndarray, "H W"], image: Image.Image, place: SubFigure
) -> None:
    """Show the image with its boxes, and beside it the heat map with the values it spans."""
    margins = _margins(wspace=0.05, right=0.94, width_ratios=(1, 1, 0.03))
    left, right, beside = place.subplots(1, 3, gridspec_kw=margins)
    _show(left, image)
    for finding in reversed(explanation.findings):
        colour = COLOURS[finding.by]
        _outline(left, finding.place, colour, 3)
        corner, style = (finding.place.left, finding.place.top), {"fc": colour, "pad": 2}
        left.text(*corner, str(finding.number), size=8, weight="bold", va="bottom", bbox=style)
    if explanation.tile:
        _outline(left, explanation.tile, DECIDED, 2)
    for box in [addend.place for addend in explanation.addends if addend.place]:
        centre = (box.left + box.right) / 2, (box.top + box.bottom) / 2
        left.plot(*centre, "o", color=DECIDED, markeredgecolor="black", markersize=7)
    _show(right, image.convert("L"), cmap="gray")
    low, high = float(heat.min()), float(heat.max())
    values = Image.fromarray(heat.astype(np.float32, copy=False))
    opacity = (np.asarray(_reduced(values)) - low) / (high - low or 1)
    shades = _show(right, values, cmap="inferno", vmin=low, vmax=high, alpha=0.75 * opacity)
    place.colorbar(shades, cax=beside)
    beside.tick_params(labelsize=8)


def _show(axes: Axes, image: Image.Image, **style: Any) -> Any:
    """Show an image in pixels of the original."""
    extent = (0, image.width, image.height, 0)
    shown = axes.imshow(np.asarray(_reduced(image)), extent=extent, **style)
    axes.autoscale(False)
    axes.set_axis_off()
    return shown


def _reduced(image: Image.Image) -> Image.Image:
    return image.reduce(max(1, max(image.size) // LONGEST))


def _outline(axes: Axes, box: PixelBox, colour: str, width: float) -> None:
    corner, size = (box.left, box.top), (box.right - box.left, box.bottom - box.top)
    for edge, line in (("black", width + 2), (colour, width)):
        axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=edge, linewidth=line))


def _cards(
    findings: Sequence[ShownRegion], image: Image.Image, references: Sequence[Source]
) -> Painter:
    """Show a row of regions, each beside the nearest one of the references."""

    def paint(place: SubFigure) -> None:
        axes = place.subplots(1, COLUMNS, gridspec_kw=_margins(wspace=0.06, top=0.77))
        for each in axes:
            each.set_axis_off()
        for card, beside, finding in zip(axes[::2], axes[1::2], findings, strict=False):
            _crop(card, image, finding.place, COLOURS[finding.by])
            lines = [_plain(line, 58) for line in _beside(finding)]
            card.set_title("\n".join(lines), size=8, loc="left", color=INK)
            near = finding.nearest
            if near and near.number is not None and near.place:
                with suppress(InputError):  # its file is gone
                    _crop(beside, references[near.number].open(), near.place, "white")

    return CARD, paint


def _beside(finding: ShownRegion) -> list[str]:
    """Return what a crop is of, and the nearest reference or else the strongest sentence."""
    level = f"{finding.level}, decided" if finding.decided else finding.level
    beneath = f"nearest: {words.nearest(finding)}" if finding.nearest else ""
    if not beneath and finding.for_anomaly:
        beneath = finding.for_anomaly[0].text
    return [f"{finding.number}  {level}", words.values(finding), beneath]


def _crop(axes: Axes, image: Image.Image, box: PixelBox, colour: str) -> None:
    """Show a square around a box at a readable size, the box outlined in it."""
    longest = max(box.right - box.left, box.bottom - box.top)
    side = int(max(longest * CONTEXT, SMALLEST_SHARE * min(image.size), 1))
    left = min(max((box.left + box.right - side) // 2, 0), max(0, image.width - side))
    top = min(max((box.top + box.bottom - side) // 2, 0), max(0, image.height - side))
    right, bottom = min(left + side, image.width), min(top + side, image.height)
    shown = np.asarray(image.crop((left, top, right, bottom)))
    axes.imshow(shown, extent=(left, right, bottom, top), interpolation="bicubic")
    axes.set(xlim=(left, left + side), ylim=(top + side, top))
    _outline(axes, box, colour, 1.5)
