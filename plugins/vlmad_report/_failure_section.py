"""The section on failures: the worst false alarms and misses, and what drove their scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps
from scipy import ndimage

from vlmad.errors import InputError, VlmadError, reason_of
from vlmad.files import digest
from vlmad.images import decode
from vlmad_datasets.masks import mask_of
from vlmad_evaluation.notation import count
from vlmad_explain import words
from vlmad_report._report_blocks import CardGallery, ImageCard, ReportSection
from vlmad_report._report_html import picture_of
from vlmad_run.manifest import reading_of
from vlmad_run.pictures import LINE, Range, outline, paint
from vlmad_run.references import Assembled
from vlmad_run.repeating import repeat
from vlmad_run.stored_run import read_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from jaxtyping import Bool, Float

    from vlmad_evaluation.result_folders import Scored
    from vlmad_explain.explanations import Explanation, SentenceShare
    from vlmad_report._image_study import CellView, DetectorView, ImageStudy
    from vlmad_report._report_blocks import CardPicture
    from vlmad_run.kinds import Runnable
    from vlmad_run.stored_run import StoredRun

DETECTORS, NEAREST = 2, 2
"""Detectors that are shown, and images where none is on the wrong side."""
SAME = 1e-3
"""How far a score may be from that of the run: other batches and processors change digits."""
MOST_SENTENCES = 2
LONGEST = 320
"""Pixels of a picture's longer side."""
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
    wrong: bool
    """Whether the verdict is false: an image that scores the threshold is called anomalous."""

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
    shown = [each for each in study.detectors if each.scored]
    galleries = [
        gallery for detector in shown[:DETECTORS] for gallery in _galleries(detector, most)
    ]
    if not galleries:
        return ReportSection("Failures", [NOTHING])
    more = f" The first {DETECTORS} of {len(shown)} detectors are shown."
    return ReportSection("Failures", [RANKED + (more if shown[DETECTORS:] else "")], galleries)


def _galleries(detector: DetectorView, most: int) -> Iterator[CardGallery]:
    cases = sorted((c for v in detector.cells for c in _cases(v)), key=lambda c: -c.excess)
    for anomalous, noun, nouns in KINDS_OF_FAILURE:
        kind = [case for case in cases if case.scored.sample.anomalous == anomalous]
        wrong = [case for case in kind if case.wrong]
        total = f"{len(kind)} {'anomalous' if anomalous else 'normal'} images"
        caption = f"{detector}: {count(len(wrong), noun, nouns)} among {total}, the worst first."
        if not wrong:
            caption = f"{detector}: no {nouns} among {total}; nearest to the threshold:"
        chosen = wrong[:most] or kind[:NEAREST]
        # those of a run follow each other, so that its detector is built once
        order = sorted(range(len(chosen)), key=lambda index: chosen[index].scored.run)
        cards = {i: _card(chosen[i]) for i in order}
        if cards:
            yield _gallery(caption, [cards[index] for index in range(len(chosen))])


def _cases(cell: CellView) -> Iterator[FailureCase]:
    if not cell.scored:
        return
    spread = float(cell.scores.std()) or 1.0
    limit = float(np.median(cell.scores)) if cell.threshold is None else cell.threshold
    for each, score in zip(cell.scored, cell.scores.tolist(), strict=True):
        anomalous = each.sample.anomalous
        wrong = cell.threshold is not None and (score >= limit) != anomalous
        beyond = (limit - score) if anomalous else (score - limit)
        yield FailureCase(cell, each, beyond / spread, wrong)


def _gallery(caption: str, cards: Sequence[ImageCard]) -> CardGallery:
    """Return a gallery whose remarks are what all its cards would repeat."""
    if len(cards) == 1:
        return CardGallery(caption, cards)
    common = [s for s in cards[0].sentences[1:] if all(s in card.sentences for card in cards)]
    shorter = [
        replace(card, sentences=[s for s in card.sentences if s not in common]) for card in cards
    ]
    return CardGallery(caption, shorter, common)


def _card(case: FailureCase) -> ImageCard:
    """Return a card for an image; what of it cannot be read is left out, with the reason."""
    sample, scored = case.scored.sample, case.scored
    title = f"{sample.category} · {sample.defect} · {sample.image.name}"
    hidden = _why_hidden(scored)
    if hidden:
        return ImageCard(title, [], [case.verdict, hidden])
    sentences = [case.verdict, *score_drivers(scored)]
    image, mask, heat = None, None, None
    try:
        image = decode(sample.image, reading=reading_of(scored.run))
        mask = mask_of(sample)
        if not (scored.run / scored.row.map).is_file():
            raise InputError("its map is not on disk")
        heat = scored.heat()
        sentences.append(_peak(heat, mask))
    except VlmadError as error:
        sentences.append(f"Not shown: {error}.")
    pictures = [] if image is None else _pictures(case.cell, image, mask, heat)
    return ImageCard(title, list(pictures), sentences)


def _why_hidden(scored: Scored) -> str | None:
    """Return why an image cannot be shown: it is gone, or not the one that was scored."""
    try:
        now = digest(scored.sample.image)
    except (OSError, VlmadError):
        return GONE
    return None if scored.row.sha256 in (None, now) else CHANGED


def _pictures(
    cell: CellView,
    image: Image.Image,
    mask: Bool[np.ndarray, "H W"] | None,
    heat: Float[np.ndarray, "H W"] | None,
) -> Iterator[CardPicture]:
    small = ImageOps.contain(image, (LONGEST, LONGEST))
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


def _peak(heat: Float[np.ndarray, "H W"], mask: Bool[np.ndarray, "H W"] | None) -> str:
    """Return where a map is highest, and how it compares with the mask."""
    if heat.min() == heat.max():
        return "The map is flat."
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    where = f"The map is highest at pixel {column}, {row}"
    if mask is None or not mask.any() or mask.shape != heat.shape:
        return f"{where}."
    return f"{where}, {'inside' if mask[row, column] else 'outside'} the defect."


def score_drivers(scored: Scored) -> list[str]:
    """Return what drove the score of an image, or why that cannot be known here."""
    try:
        return list(sentences_of(_explain(scored)))
    except VlmadError as error:
        return [f"What drove the score is not known: {error}."]
    except Exception as error:  # of a plugin that is not ours; the card is worth showing
        return [f"What drove the score is not known: the detector failed, {reason_of(error)}."]


@lru_cache(maxsize=1)  # weights are large
def _repeated(run: Path) -> tuple[StoredRun, Runnable]:
    stored = read_run(run)
    return stored, repeat(stored, {})


def _explain(scored: Scored) -> Explanation:
    stored, repeated = _repeated(scored.run)
    other = stored.manifest.identity.differences(repeated.describe().identity, threshold=False)
    if other:
        raise InputError(f"the detector is another now: {'; '.join(other[:3])}")
    if repeated.together or not isinstance(repeated, Assembled):
        raise InputError("its scorer looks at all images together, and only one is at hand")
    from vlmad_explain import explain  # here, because it needs torch

    [explanation] = explain(repeated.detector, [scored.sample.image], stored.class_name, top=1)
    if abs(explanation.score - (scored.row.score or 0.0)) > SAME:
        raise InputError(f"the score is {explanation.score:.3f} now")
    return explanation


def sentences_of(explanation: Explanation) -> Iterator[str]:
    """Yield what stands out and where, the sum that the score is, the strongest sentences."""
    for region in explanation.named:
        yield f"{words.named(region).capitalize()}."
    parts = [" ".join(line.split()) for line in words.equation(explanation)]
    if parts:
        yield f"{explanation.score:.3f} {' '.join(parts)}."
    for finding in explanation.findings[:1]:
        level = f"{finding.level}, which decided," if finding.decided else finding.level
        near = words.nearest(finding)
        beside = f"; nearest is {near}" if near else ""
        values = ", ".join(words.values(finding).split("  "))
        heading = words.HEADINGS[finding.by].capitalize()
        yield f"{heading}: {level} at {finding.place} ({values}{beside})."
    ahead, behind = words.strongest_sentences(words.by_state(explanation.sentences), MOST_SENTENCES)
    if explanation.unit is None and ahead:
        yield f"Nearest sentences: {_quoted(ahead)}."
    elif len(explanation.sentences) > 2:  # of two, each has half of the sum
        yield (
            f"Strongest on {explanation.sentences_on}, for an anomaly: {_quoted(ahead)}; "
            f"against: {_quoted(behind)}."
        )
    if explanation.gap:
        yield f"Not known: {explanation.gap}."


def _quoted(sentences: Sequence[SentenceShare]) -> str:
    return ", ".join(f"“{each.text}” ({words.measure(each)})" for each in sentences) or "none"
