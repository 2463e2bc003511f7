"""The section on failures: the worst false alarms and misses, and what drove their scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from PIL import Image
from scipy import ndimage

from vlmad.errors import InputError, VlmadError
from vlmad.files import digest
from vlmad.images import decode
from vlmad_datasets.masks import mask_of
from vlmad_evaluation.image_metrics import image_metrics
from vlmad_report._report_blocks import CardGallery, ImageCard, ReportSection
from vlmad_report._report_html import picture_of
from vlmad_report._report_text import count
from vlmad_report._score_drivers import ScoreDrivers
from vlmad_run.pictures import LINE, Range, outline, paint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jaxtyping import Bool, Float

    from vlmad_evaluation.result_folders import Scored
    from vlmad_report._image_study import CellView, DetectorView, ImageStudy
    from vlmad_report._report_blocks import CardPicture

DETECTORS, NEAREST = 2, 2
"""Detectors that are shown, and images where none is on the wrong side."""
LONGEST, SMALL = 320, 160
"""Pixels of a picture's longer side; a smaller image is enlarged by a whole factor."""
KINDS_OF_FAILURE = ((False, "false alarm", "false alarms"), (True, "miss", "misses"))
RANKED = (
    "Images are ranked by how far their score lies on the wrong side of the threshold of their "
    "category, in standard deviations of the category's scores. The thresholds are those with "
    "the largest F1 on these same images, so failures are fewer here than they would be elsewhere."
)
NOTHING = "No image has a score that can be read; a bench of any images would fill this section."
GONE = "The photograph is not where it was measured."
CHANGED = "Not shown: the photograph is another file now than the one that was scored."


@dataclass(frozen=True, slots=True)
class FailureCase:
    """An image and how far its score is on the wrong side."""

    cell: CellView
    scored: Scored
    excess: float
    """In standard deviations of the category's scores; below 0 on the right side."""

    @property
    def wrong(self) -> bool:
        """Whether the verdict is false: an image that scores the threshold is called anomalous."""
        limit, score = self.cell.threshold, self.scored.row.score or 0.0
        return limit is not None and (score >= limit) != self.scored.sample.anomalous

    @property
    def verdict(self) -> str:
        """Score, threshold and outcome in a sentence."""
        limit, score = self.cell.threshold, self.scored.row.score or 0.0
        if limit is None:
            return f"Score {score:.3f}; there is no threshold without both kinds of images."
        kind = "a miss" if self.scored.sample.anomalous else "a false alarm"
        return f"Score {score:.3f}, threshold {limit:.3f}: {kind if self.wrong else 'right'}."


def failures(study: ImageStudy, most: int) -> ReportSection:
    """Show the worst false alarms and misses of the first detectors, `most` of each."""
    if not most:
        return ReportSection("Failures", ["Photographs were left out on request."])
    shown = [each for each in study.detectors if any(cell.scored for cell in each.cells)]
    galleries = [
        gallery
        for detector in shown[:DETECTORS]
        for gallery in _galleries(study, detector, most)
    ]
    if not galleries:
        return ReportSection("Failures", [NOTHING])
    more = f" The first {DETECTORS} of {len(shown)} detectors are shown."
    return ReportSection("Failures", [RANKED + (more if shown[DETECTORS:] else "")], galleries)


def _galleries(study: ImageStudy, detector: DetectorView, most: int) -> Iterator[CardGallery]:
    cases = sorted((c for v in detector.cells for c in _cases(v)), key=lambda c: -c.excess)
    drivers = ScoreDrivers()
    for anomalous, noun, nouns in KINDS_OF_FAILURE:
        kind = [case for case in cases if case.scored.sample.anomalous == anomalous]
        wrong = [case for case in kind if case.wrong]
        total = f"{len(kind)} {'anomalous' if anomalous else 'normal'} images"
        caption = f"{detector}: {count(len(wrong), noun, nouns)} among {total}, the worst first."
        if not wrong:
            caption = f"{detector}: no {nouns} among {total}; nearest to the threshold:"
        chosen = wrong[:most] or kind[:NEAREST]
        # those of a run follow each other, so that its detector is built once
        order = sorted(range(len(chosen)), key=lambda index: chosen[index].cell.cell.run)
        cards = {i: _card(chosen[i], study, drivers) for i in order}
        if cards:
            yield _gallery(caption, [cards[index] for index in range(len(chosen))])


def _cases(cell: CellView) -> Iterator[FailureCase]:
    if not cell.scored:
        return
    scores = cell.scores
    spread = float(scores.std()) or 1.0
    limit = float(np.median(scores)) if cell.threshold is None else cell.threshold
    for each, score in zip(cell.scored, scores, strict=True):
        beyond = (limit - score) if each.sample.anomalous else (score - limit)
        yield FailureCase(cell, each, float(beyond / spread))


def _gallery(caption: str, cards: Sequence[ImageCard]) -> CardGallery:
    """Return a gallery whose remarks are what all its cards would repeat."""
    common = [s for s in cards[0].sentences[1:] if all(s in card.sentences for card in cards)]
    if len(cards) == 1:
        return CardGallery(caption, cards)
    own = [[s for s in card.sentences if s not in common] for card in cards]
    shorter = [replace(c, sentences=s) for c, s in zip(cards, own, strict=True)]
    return CardGallery(caption, shorter, common)


def _card(case: FailureCase, study: ImageStudy, drivers: ScoreDrivers) -> ImageCard:
    """Return a card for an image; what of it cannot be read is left out, with the reason."""
    sample, scored = case.scored.sample, case.scored
    title = f"{sample.category} · {sample.defect} · {sample.image.name}"
    hidden = _why_hidden(scored)
    if hidden:
        return ImageCard(title, [], [case.verdict, hidden])
    run = study.source.run(case.cell.cell)
    sentences = [case.verdict, *drivers.sentences(run, scored)]
    image = _read(lambda: decode(sample.image), sentences)
    mask = _read(lambda: mask_of(sample), sentences)
    heat = _read(lambda: _heat(scored), sentences)
    if heat is not None:
        sentences.append(_peak(heat, mask))
    pictures = [] if image is None else _pictures(case.cell, image, mask, heat)
    return ImageCard(title, list(pictures), sentences)


def _why_hidden(scored: Scored) -> str | None:
    """Return why an image cannot be shown: it is gone, or not the one that was scored."""
    try:
        now = digest(scored.sample.image)
    except (OSError, VlmadError):
        return GONE
    return None if scored.row.sha256 in (None, now) else CHANGED


T = TypeVar("T")


def _read(reader: Callable[[], T], sentences: list[str]) -> T | None:
    """Return what is read, or None, after a sentence with the reason."""
    try:
        return reader()
    except VlmadError as error:
        sentences.append(f"Not shown: {error}.")
        return None


def _heat(scored: Scored) -> Float[np.ndarray, "H W"]:
    if not (scored.run / scored.row.map).is_file():
        raise InputError("its map is not on disk")
    return scored.heat()


def _pictures(
    cell: CellView,
    image: Image.Image,
    mask: Bool[np.ndarray, "H W"] | None,
    heat: Float[np.ndarray, "H W"] | None,
) -> Iterator[CardPicture]:
    small = _fit(image)
    if mask is not None and mask.any():
        # a pixel of the picture shows a defect if any part of it does
        grey = Image.fromarray(mask.astype(np.float32)).resize(small.size, Image.Resampling.BOX)
        shown = np.asarray(grey) > 0
        # outside of the defect, so that thin ones are not hidden by their own outline
        around = ndimage.binary_dilation(shown, iterations=LINE + 1)
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        place = f"a defect from {columns[0]}, {rows[0]} to {columns[-1] + 1}, {rows[-1] + 1}"
        outlined = outline(small, around.astype(np.float32))
        yield picture_of(outlined, "image, defect outlined", f"The image with {place}.")
        black = Image.fromarray(shown.astype(np.uint8) * 255)
        yield picture_of(black, "mask", f"The mask: {place}.")
    else:
        yield picture_of(small, "image", "The image.")
    if heat is not None:
        scales = [each.scale for each in cell.scored]  # all maps of a cell are coloured alike
        scale = Range(min(each.low for each in scales), max(each.high for each in scales))
        yield picture_of(paint(small, heat, scale), "map", "The image under its map.")


def _fit(image: Image.Image) -> Image.Image:
    longest = max(image.size)
    if longest * 2 <= LONGEST:
        factor = max(2, SMALL // longest)
        size = image.width * factor, image.height * factor
        return image.resize(size, Image.Resampling.NEAREST)
    small = image.copy()
    small.thumbnail((LONGEST, LONGEST))
    return small


def _peak(heat: Float[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"] | None) -> str:
    """Return where a map is highest, and how it compares with the mask."""
    if heat.min() == heat.max():
        return "The map is flat."
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    where = f"The map is highest at pixel {column}, {row}"
    if mask is None or not mask.any() or mask.shape != heat.shape:
        return f"{where}."
    side = "inside" if mask[row, column] else "outside"
    found = image_metrics(mask.ravel(), heat.ravel())["image_auroc"].value
    share = f"; a pixel of the defect is above one of the rest with probability {found or 0:.2f}"
    return f"{where}, {side} the defect{'' if found is None else share}."
