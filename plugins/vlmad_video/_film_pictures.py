"""Pictures of a judged film: each frame beside its heat map over the curve of scores; a strip."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlmad_run.pictures import LONGEST_SIDE, Range, outline, paint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float

    from vlmad_video.film_events import JudgedFrame

    Heat: TypeAlias = Float[np.ndarray, "H W"]

LEAST_SIDE = 240
"""Of a frame in a picture; words below a small one could not be read."""
HEAD, CURVE, GAP = 34, 90, 4
STRIP_COLUMNS, STRIP_WIDTH = 4, 320
COLOURS = {"OK": "#1a7f37", "NG": "#c62828", "": "#606060"}
WORDS = {"OK": "OK", "NG": "NG", "": "no verdict"}
NO_SCORE = "not scored"


class FilmPictures:
    """Draws the frames of one film.

    Args:
        frames: all of them, judged.
        scale: the values that colours span.
        threshold: from which score on a frame is anomalous by itself, if one is known.
        size: of its frames.
    """

    def __init__(
        self,
        frames: Sequence[JudgedFrame],
        scale: Range,
        threshold: float | None,
        size: tuple[int, int],
    ) -> None:
        self.frames, self.scale, self.threshold = frames, scale, threshold
        factor = min(1.0, LONGEST_SIDE / max(size))
        factor = max(factor, LEAST_SIDE / max(size))
        self.size = (max(2, round(size[0] * factor)), max(2, round(size[1] * factor)))
        self.width = max(2 * self.size[0] + GAP, 2 * LEAST_SIDE)
        self._curve = self._draw_curve()

    def frame(self, number: int, image: Image.Image | None, heat: Heat | None) -> Image.Image:
        """Return a frame beside its heat map, over the curve, under its time, score and verdict."""
        shown = self.frames[number]
        picture = Image.new("RGB", (self.width, HEAD + self.size[1] + GAP + CURVE), "white")
        _write_head(picture, shown, self._word(shown))
        for left, half in zip((0, self.size[0] + GAP), self._halves(image, heat), strict=True):
            picture.paste(half, (left, HEAD))
        top = HEAD + self.size[1] + GAP
        picture.paste(self._curve, (0, top))
        at = self._across(shown.time)
        ImageDraw.Draw(picture).line((at, top, at, top + CURVE), fill="black", width=2)
        return picture

    def tile(self, number: int, image: Image.Image | None, heat: Heat | None) -> Image.Image:
        """Return a frame with its hottest region outlined, for a strip."""
        shown = self.frames[number]
        height = max(2, round(self.size[1] * STRIP_WIDTH / self.size[0]))
        tile = Image.new("RGB", (STRIP_WIDTH, HEAD + height), "white")
        _write_head(tile, shown, self._word(shown))
        tile.paste(self._halves(image, heat)[0].resize((STRIP_WIDTH, height)), (0, HEAD))
        return tile

    def _word(self, shown: JudgedFrame) -> str:
        """Return the verdict, and whether it is another than the frame's by itself."""
        alone = (
            None if self.threshold is None or shown.score is None else shown.score < self.threshold
        )
        differs = alone is not None and shown.answer != ("OK" if alone else "NG")
        return f"{WORDS[shown.answer]}{', steadied' if differs else ''}"

    def _halves(
        self, image: Image.Image | None, heat: Heat | None
    ) -> tuple[Image.Image, Image.Image]:
        if image is None or heat is None:
            return (Image.new("RGB", self.size, "grey"),) * 2
        small = image.resize(self.size)
        hot = np.asarray(Image.fromarray(heat.astype(np.float32)).resize(self.size))
        return outline(small, self.scale.share(hot)), paint(small, heat, self.scale)

    def _across(self, time: float) -> int:
        begin, end = self.frames[0].time, self.frames[-1].time
        share = (time - begin) / (end - begin) if end > begin else 0.0
        return round(share * (self.width - 3)) + 1

    def _draw_curve(self) -> Image.Image:
        """Draw the scores over time: red where NG, a bar where a frame could not be scored."""
        scores = [frame.score for frame in self.frames if frame.score is not None]
        marks = [*scores, *([] if self.threshold is None else [self.threshold])]
        low, high = (min(marks), max(marks)) if marks else (0.0, 1.0)
        picture = Image.new("RGB", (self.width, CURVE), "#f0f0f0")
        draw = ImageDraw.Draw(picture)

        def up(score: float) -> int:
            share = (score - low) / (high - low) if high > low else 0.5
            return round((CURVE - 7) * (1 - share)) + 3

        if self.threshold is not None:
            for left in range(0, self.width, 12):
                level = up(self.threshold)
                draw.line((left, level, left + 6, level), fill="#606060")
        before: tuple[int, int] | None = None
        for frame in self.frames:
            at, colour = self._across(frame.time), COLOURS[frame.answer]
            if frame.score is None:
                draw.line((at, 0, at, CURVE), fill=colour, width=2)
                before = None
                continue
            place = (at, up(frame.score))
            draw.line((*(before or place), *place), fill=colour, width=2)
            draw.ellipse((place[0] - 1, place[1] - 1, place[0] + 1, place[1] + 1), fill=colour)
            before = place
        return picture


def strip(tiles: Sequence[Image.Image]) -> Image.Image:
    """Return tiles side by side, in rows."""
    width, height = tiles[0].size
    columns = min(STRIP_COLUMNS, len(tiles))
    rows = -(-len(tiles) // columns)
    picture = Image.new(
        "RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), "white"
    )
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        picture.paste(tile, (column * (width + GAP), row * (height + GAP)))
    return picture


def worst(frames: Sequence[JudgedFrame], count: int) -> list[int]:
    """Return the numbers of the worst frames in the order of time, no two of them neighbours.

    One that could not be scored is worse than all; they are apart by a fortieth of the film at
    least.
    """
    apart = (frames[-1].time - frames[0].time) / 40
    order = sorted(range(len(frames)), key=lambda n: _badness(frames[n]), reverse=True)
    chosen: list[int] = []
    for number in order:
        if len(chosen) < count and all(
            abs(frames[number].time - frames[other].time) > apart for other in chosen
        ):
            chosen.append(number)
    return sorted(chosen)


def _badness(frame: JudgedFrame) -> float:
    return float("inf") if frame.score is None else frame.score


def _write_head(picture: Image.Image, frame: JudgedFrame, word: str) -> None:
    """Write time and score, and the verdict in words on its colour."""
    draw, font = ImageDraw.Draw(picture), ImageFont.load_default(18)
    score = NO_SCORE if frame.score is None else f"{frame.score:.4g}"
    draw.text((6, 6), f"{frame.time:.3f} s   {score}", fill="black", font=font)
    room = draw.textlength(word, font) + 20
    corner = (picture.width - room, 0, picture.width, HEAD - 1)
    draw.rectangle(corner, fill=COLOURS[frame.answer])
    draw.text((corner[0] + 10, 6), word, fill="white", font=font)
