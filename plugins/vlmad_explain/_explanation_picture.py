"""An explanation as one picture: the score, the places, their nearest references, sentences."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from vlmad_explain import words
from vlmad_explain.lettering import font, shortened, wrapped
from vlmad_run.overlays import paint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_explain.explanations import Explanation, Finding, Sentence
    from vlmad_explain._shown_regions import Place
    from vlmad_run.overlays import Range

WIDTH, MARGIN, GAP = 1080, 16, 12
VIEW = 470
"""The longest side of the image and of the heat map."""
CARD, CROP = 164, 156
UNDER = 78
"""Pixels under a crop, for four lines."""
CONTEXT = 1.6
"""How much more than the region itself a crop shows, to each side together."""
SMALLEST_SHARE = 0.16
"""Of the image's shorter side: a crop shows at least that much."""
SENTENCES = 4
BAR = 90
INK, PALE, BEYOND = "#202020", "#6a6a6a", "#e4e4e4"
COLOURS = {"references": "#ff8c1a", "text": "#19b5d8", "map": "#d946ef"}
DECIDED = "#ffe600"


def draw(
    explanation: Explanation,
    image: Image.Image,
    references: Mapping[int, Image.Image],
    scale: Range,
) -> Image.Image:
    """Draw an explanation.

    Args:
        explanation: what to draw.
        image: the original, RGB.
        references: those at hand, by their number.
        scale: the values that the colours of the heat map span.
    """
    rows = [_header(explanation), _views(explanation, image, scale)]
    for by, group in groupby(explanation.findings, key=lambda finding: finding.by):
        rows.append(_line(words.HEADINGS[by], bold=True))
        rows.append(_cards(list(group), image, references))
    if explanation.sentences:
        rows.append(_line(words.totals(explanation), bold=True))
        rows.append(_sentences(explanation))
    if explanation.gap:
        rows.append(_paragraph(f"Not known: {explanation.gap}."))
    return _stacked(rows)


def _stacked(rows: Sequence[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (WIDTH, sum(r.height for r in rows) + 2 * MARGIN), "white")
    top = MARGIN
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _blank(height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    row = Image.new("RGB", (WIDTH, height), "white")
    return row, ImageDraw.Draw(row)


def _line(text: str, bold: bool = False) -> Image.Image:
    row, pen = _blank(34)
    letters = font(14, bold)
    pen.text((MARGIN, 10), shortened(text, letters, WIDTH - 2 * MARGIN), INK, letters)
    return row


def _paragraph(text: str) -> Image.Image:
    lines = wrapped(text, font(13), WIDTH - 2 * MARGIN)
    row, pen = _blank(20 * len(lines) + GAP)
    for number, line in enumerate(lines):
        pen.text((MARGIN, GAP + 20 * number), line, INK, font(13))
    return row


def _header(explanation: Explanation) -> Image.Image:
    """Draw the score, the file, and the sum that the score is."""
    lines = words.equation(explanation)
    row, pen = _blank(34 + 20 * len(lines) + GAP)
    score = f"{explanation.score:.3f}"
    pen.text((MARGIN, 0), score, INK, font(20, bold=True))
    left = MARGIN + font(20, bold=True).getlength(score) + GAP
    name = f"{explanation.image}  ({explanation.class_name})"
    pen.text((left, 4), shortened(name, font(15), WIDTH - left - MARGIN), INK, font(15))
    for number, line in enumerate(lines):
        shown = shortened(line, font(13), WIDTH - 2 * MARGIN)
        pen.text((MARGIN, 34 + 20 * number), shown, PALE, font(13))
    return row


def _views(explanation: Explanation, image: Image.Image, scale: Range) -> Image.Image:
    """Draw the image with its boxes, and beside it the heat map with the values it spans."""
    zoom = VIEW / max(image.size)
    size = (max(1, round(image.width * zoom)), max(1, round(image.height * zoom)))
    seen = image.resize(size, Image.Resampling.BICUBIC)
    hot = paint(seen, explanation.map, scale)
    row, pen = _blank(size[1] + GAP)
    _mark(seen, explanation, zoom)
    row.paste(seen, (MARGIN, 0))
    left = MARGIN + size[0] + GAP
    row.paste(hot, (left, 0))
    ramp = np.linspace(scale.high, scale.low, size[1], dtype=np.float32)[:, None]
    bar = paint(Image.new("L", (12, size[1])), ramp.repeat(12, axis=1), scale)
    row.paste(bar, (left + size[0] + 8, 0))
    beside = left + size[0] + 26
    pen.text((beside, 0), f"{scale.high:.3g}", PALE, font(12))
    pen.text((beside, size[1] - 16), f"{scale.low:.3g}", PALE, font(12))
    return row


def _mark(seen: Image.Image, explanation: Explanation, zoom: float) -> None:
    """Draw the places that decided and the numbered boxes, the first on top."""
    pen = ImageDraw.Draw(seen)
    for finding in reversed(explanation.findings):
        box = _scaled(finding.place, zoom)
        pen.rectangle(box, outline="black", width=5)
        pen.rectangle((box[0] + 1, box[1] + 1, box[2] - 1, box[3] - 1), None, _of(finding), 3)
    if explanation.tile:
        pen.rectangle(_scaled(explanation.tile, zoom), None, DECIDED, 2)
    for part in explanation.parts:
        if part.place:
            left, top, right, bottom = _scaled(part.place, zoom)
            x, y = (left + right) / 2, (top + bottom) / 2
            pen.ellipse((x - 5, y - 5, x + 5, y + 5), DECIDED, "black", 2)
    for finding in reversed(explanation.findings):
        left, top, _, bottom = _scaled(finding.place, zoom)
        above = top - 20 if top >= 20 else min(bottom + 1, seen.height - 20)
        _tag(pen, (min(left, seen.width - 20), above), finding)


def _scaled(place: Place, zoom: float) -> tuple[float, float, float, float]:
    left, top = round(place.left * zoom), round(place.top * zoom)
    right, bottom = round(place.right * zoom) - 1, round(place.bottom * zoom) - 1
    return left, top, max(right, left + 6), max(bottom, top + 6)


def _of(finding: Finding) -> str:
    return COLOURS[finding.by]


def _tag(pen: ImageDraw.ImageDraw, corner: tuple[float, float], finding: Finding) -> None:
    left, top = corner
    text = str(finding.number)
    width = font(13, bold=True).getlength(text)
    pen.rectangle((left, top, left + width + 9, top + 19), _of(finding), "black")
    pen.text((left + 5, top + 2), text, "black", font(13, bold=True))


def _cards(
    findings: Sequence[Finding], image: Image.Image, references: Mapping[int, Image.Image]
) -> Image.Image:
    """Draw each finding's crop beside the crop of the nearest reference, three to a row."""
    compared = any(_reference(finding, references) for finding in findings)
    width = 2 * CARD + GAP if compared else CARD
    per_row = max(1, (WIDTH - 2 * MARGIN + GAP) // (width + GAP))
    height = CROP + UNDER
    row, _ = _blank(-(-len(findings) // per_row) * height)
    for index, finding in enumerate(findings):
        down, across = divmod(index, per_row)
        card = _card(finding, image, references, width)
        row.paste(card, (MARGIN + across * (width + GAP), down * height))
    return row


def _card(
    finding: Finding, image: Image.Image, references: Mapping[int, Image.Image], width: int
) -> Image.Image:
    card = Image.new("RGB", (width, CROP + UNDER), "white")
    pen = ImageDraw.Draw(card)
    card.paste(_crop(image, finding.place, _of(finding)), (0, 0))
    _tag(pen, (0, 0), finding)
    letters = font(12)
    nearest = _reference(finding, references)
    if nearest:
        card.paste(_crop(*nearest, "#ffffff"), (CROP + 4, 0))
    told = f"{finding.level}, decided" if finding.decided else finding.level
    lines = [(told, INK), (words.values(finding), INK)]
    lines += [(line, PALE) for line in wrapped(_beneath(finding), letters, width - 4)[:2]]
    for number, (text, colour) in enumerate(lines):
        pen.text((0, CROP + 4 + 17 * number), shortened(text, letters, width - 4), colour, letters)
    return card


def _reference(
    finding: Finding, references: Mapping[int, Image.Image]
) -> tuple[Image.Image, Place] | None:
    """Return the nearest reference and the place in it, if both are at hand."""
    near = finding.nearest
    if near is None or near.number is None or near.place is None:
        return None
    return (references[near.number], near.place) if near.number in references else None


def _beneath(finding: Finding) -> str:
    """Return what a crop is compared with: the nearest reference, or the loudest sentence."""
    if finding.nearest:
        return f"nearest: {words.nearest(finding)}"
    return finding.speaking_for[0].text if finding.speaking_for else ""


def _crop(image: Image.Image, place: Place, colour: str) -> Image.Image:
    """Return a square around a place at a readable size, the place outlined in it."""
    longest = max(place.right - place.left, place.bottom - place.top)
    side = max(longest * CONTEXT, SMALLEST_SHARE * min(image.size), 1)
    x, y = (place.left + place.right) / 2, (place.top + place.bottom) / 2
    left, top = (min(max(c - side / 2, 0), max(0, length - side))
                 for c, length in ((x, image.width), (y, image.height)))  # fmt: skip
    zoom = CROP / side
    window = round(left), round(top), round(left + side), round(top + side)
    canvas = Image.new("RGB", (window[2] - window[0], window[3] - window[1]), BEYOND)
    right, bottom = min(window[2], image.width), min(window[3], image.height)
    canvas.paste(image.crop((window[0], window[1], right, bottom)))
    crop = canvas.resize((CROP, CROP), Image.Resampling.BICUBIC)
    inner = (place.left - left, place.top - top, place.right - left, place.bottom - top)
    outline = tuple(round(value * zoom) for value in inner)
    pen = ImageDraw.Draw(crop)
    pen.rectangle(outline, outline="black", width=3)
    pen.rectangle([outline[0] + 1, outline[1] + 1, outline[2] - 1, outline[3] - 1], None, colour)
    return crop


def _sentences(explanation: Explanation) -> Image.Image:
    """Draw the sentences that spoke for on the left, those against on the right."""
    sides = words.spoken_by_state(explanation, SENTENCES)
    titles = ("spoke for an anomaly", "spoke against")
    if explanation.unit is None:
        titles = ("nearest to the image", "")
    row, pen = _blank(24 + 22 * max(1, *map(len, sides)) + GAP)
    half = (WIDTH - 2 * MARGIN - GAP) // 2
    longest = max((s.share or 0.0 for side in sides for s in side), default=0) or 1.0
    for column, (title, side) in enumerate(zip(titles, sides, strict=True)):
        left = MARGIN + column * (half + GAP)
        pen.text((left, 0), title, PALE, font(12))
        if title and not side:
            pen.text((left, 24), words.NO_SENTENCE, INK, font(12))
        for number, sentence in enumerate(side):
            _sentence(pen, (left, 24 + 22 * number), half, sentence, longest)
    return row


def _sentence(
    pen: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    width: int,
    sentence: Sentence,
    longest: float,
) -> None:
    """Write a sentence behind a bar as long as its share."""
    left, top = corner
    if sentence.share is not None:
        colour = "#e0533d" if (sentence.push or 0) > 0 else "#3d7be0"
        length = round(BAR * sentence.share / longest)
        pen.rectangle((left, top + 3, left + length, top + 13), colour)
    pen.text((left + BAR + 8, top), words.measure(sentence), INK, font(12))
    beside = left + BAR + (100 if sentence.share is None else 58)
    side = "anomalous" if sentence.anomalous else "normal"
    room = left + width - beside - font(12).getlength(f"  {side}")
    text = shortened(sentence.text, font(12), room)
    pen.text((beside, top), text, INK, font(12))
    pen.text((beside + font(12).getlength(f"{text}  "), top), side, PALE, font(12))
