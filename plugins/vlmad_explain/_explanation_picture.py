"""An explanation as one picture: the score, the places, their nearest references, sentences."""

from __future__ import annotations

import io
import textwrap
import warnings
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from vlmad.errors import InputError, printable
from vlmad_explain import words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

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
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
LABEL: dict[str, Any] = {"size": 8, "weight": "bold", "color": "white"}
"""Of the regions that are named, on the map."""
COLUMNS, SENTENCES = 6, 4
"""Crops in a row, and sentences on a side."""
CONTEXT, SMALLEST_SHARE = 1.6, 0.16
"""How many times the region a crop shows, and of the image's shorter side at least."""
INK, PALE, DECIDED, FOR, AGAINST = "#202020", "#6a6a6a", "#ffe600", "#e0533d", "#3d7be0"
COLOURS = {
    "references": "#ff8c1a",
    "nearest": "#ffc21a",
    "others": "#ff8c1a",
    "text": "#19b5d8",
    "image": "#22c55e",
    "map": "#d946ef",
}


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
    rows = list(_rows(explanation, heat, image, references))
    heights = [height for height, _ in rows]
    figure = Figure(figsize=(WIDTH, sum(heights)), dpi=DPI)
    places = figure.subfigures(len(rows), 1, height_ratios=heights, squeeze=False, hspace=0)
    for place, (_, paint) in zip(places[:, 0], rows, strict=True):
        paint(place)
    buffer = io.BytesIO()
    with warnings.catch_warnings():  # noqa: TID251 (a command with one thread)
        warnings.filterwarnings("ignore", "Glyph")  # a letter that no font has is drawn as a box
        figure.savefig(buffer, format="png", pil_kwargs={"compress_level": 1})
    return buffer.getvalue()


def _rows(
    explanation: Explanation,
    heat: Float[np.ndarray, "H W"],
    image: Image.Image,
    references: Sequence[Source],
) -> Iterator[Painter]:
    title = f"{explanation.score:.3f}   {explanation.image}  ({explanation.class_name})"
    yield _text([title], size=14, weight="bold")
    if explanation.named:
        pairs = zip(LETTERS, explanation.named, strict=False)
        yield _text([f"{letter}  {words.named(each)}" for letter, each in pairs], weight="bold")
    yield _text(words.equation(explanation), color=PALE)
    height = VIEW * min(1, image.height / image.width) + 0.2
    yield height, partial(_paint_views, explanation, heat, image)
    for by, group in groupby(explanation.findings, key=lambda finding: finding.by):
        yield _text([words.HEADINGS[by]], weight="bold")
        yield _cards(list(group), image, references)
    if explanation.sentences:
        yield _text([words.totals(explanation)], weight="bold")
        yield (SENTENCES + 1.5) * LINE, partial(_paint_sentences, explanation)
    if explanation.gap:
        yield _text(textwrap.wrap(f"Not known: {explanation.gap}.", 150))


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
    for letter, region in zip(LETTERS, explanation.named, strict=False):
        _outline(right, region.place, "white", 1)
        right.text(region.place.left, region.place.top, letter, va="bottom", **LABEL)
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
    """Show each region beside the nearest one of the references, some to a row."""
    nearest = [_nearest(finding, references) for finding in findings]
    step = 2 if any(nearest) else 1
    rows = -(-len(findings) * step // COLUMNS)

    def paint(place: SubFigure) -> None:
        margins = _margins(wspace=0.06, hspace=0.35, top=1 - 0.52 / rows / CARD)
        axes = place.subplots(rows, COLUMNS, squeeze=False, gridspec_kw=margins).flat
        for each in axes:
            each.set_axis_off()
        for number, (finding, reference) in enumerate(zip(findings, nearest, strict=True)):
            card = axes[number * step]
            _crop(card, image, finding.place, COLOURS[finding.by])
            lines = [_plain(line, 29 * step) for line in _beside(finding)]
            card.set_title("\n".join(lines), size=8, loc="left", color=INK)
            if reference:
                _crop(axes[number * step + 1], *reference, "white")

    return rows * CARD, paint


def _nearest(
    finding: ShownRegion, references: Sequence[Source]
) -> tuple[Image.Image, PixelBox] | None:
    near = finding.nearest
    if near is None or near.number is None or near.place is None:
        return None
    try:
        return references[near.number].open(), near.place
    except InputError:
        return None


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


def _paint_sentences(explanation: Explanation, place: SubFigure) -> None:
    """List the sentences for an anomaly on the left, those against on the right."""
    sides = words.strongest_sentences(words.by_state(explanation.sentences), SENTENCES)
    titles = ("for an anomaly", "against") if explanation.unit else ("nearest to the image", "")
    columns = place.subplots(1, 2, gridspec_kw=_margins(top=0.85, wspace=0.02))
    longest = max((s.share or 0.0 for side in sides for s in side), default=0) or 1.0
    for axes, title, side, colour in zip(columns, titles, sides, (FOR, AGAINST), strict=True):
        axes.set(xlim=(0, 5 * longest), ylim=(SENTENCES - 0.4, -0.6))
        axes.set_axis_off()
        axes.set_title(title if side or not title else f"{title}: none", loc="left", size=9)
        axes.barh(range(len(side)), [s.share or 0.0 for s in side], 0.6, color=colour)
        for number, sentence in enumerate(side):
            kind = "anomalous" if sentence.anomalous else "normal"
            text = _plain(f"{words.measure(sentence)}  {sentence.text}  ({kind})", 75)
            axes.text(1.05 * longest, number, text, va="center", size=8, color=INK)
