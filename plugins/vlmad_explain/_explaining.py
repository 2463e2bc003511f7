"""Explaining: from a detector and an image to what drove its score.

What is said comes from the scorer's own `vlmad.attribution.Attribution`, whose numbers rebuild
the score. Of a scorer that offers none, an explanation shows where its map is highest and which
sentences and reference regions are nearest, and says in `gap` what it cannot know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from vlmad.attribution import Addend, Attribution, Judged
from vlmad.errors import InputError
from vlmad.images import as_source
from vlmad.parts import CLASS_TOKEN
from vlmad.resizing import join_maps
from vlmad.types import Features, ImageBatch
from vlmad_explain.explanations import Covering, Explanation, Finding, Part, Sentence
from vlmad_explain._shown_regions import (
    Canvas,
    Cells,
    Pick,
    canvases,
    cells_of,
    covering,
    highest_cell,
    judged_by_map,
    strongest,
)
from vlmad_explain._nearest import References, encode_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.images import Source
    from vlmad.types import Prediction, Resize, TextEmbeddings

TOP = 3
SPOKEN = 3
"""Sentences for and against that are named for each region."""
WHOLE_IMAGE, WHOLE_TILE = "the whole image", "the whole tile"
DECIDING_PLACE = "the place that decided"
TOLERANCE = 1e-4
"""By how much the sum of a scorer's addends may miss its score before it is not believed."""


def explain(
    detector: Detector, images: Sequence[Any], class_name: str = "object", top: int = TOP
) -> Iterator[Explanation]:
    """Yield what drove the score of each image.

    Args:
        detector: fitted, if its score is to compare with references.
        images: paths, PIL images or arrays, as `Detector.predict` takes them.
        class_name: what they show.
        top: regions shown of each kind of judgement.

    Raises:
        InputError: an image cannot be read, its score is not finite, or references are needed.
    """
    sources = [as_source(item, index) for index, item in enumerate(images)]
    references = References(detector)
    groups = [sources] if detector.scorer.scope == "set" else [[source] for source in sources]
    for group in groups:
        yield from _explain_together(references, group, class_name, top)


@torch.inference_mode()
def _explain_together(
    references: References, sources: Sequence[Source], class_name: str, top: int
) -> list[Explanation]:
    if not sources:
        return []
    detector = references.detector
    features, images = encode_whole(detector, sources)
    explainer = _Explainer(references, features, class_name, top)
    explanations, start = [], 0
    for source, pieces in zip(sources, images, strict=True):
        explanations.append(explainer.explain(source, pieces, start))
        start += len(pieces)
    return explanations


def _joined(
    pieces: Sequence[Source], heats: Float[Tensor, "b h w"], resize: Resize
) -> Float[np.ndarray, "H W"]:
    """Bring the maps of an image's pieces to the size of the original, as a run does."""
    batch = ImageBatch(tuple(pieces), resize)
    maps = [batch.restore(index, heat) for index, heat in enumerate(heats)]
    if pieces[0].whole is None:
        return maps[0]
    places = [piece.whole[1] for piece in pieces if piece.whole]
    return join_maps(pieces[0].whole[0].size, places, maps)


def _states(
    detector: Detector, class_name: str, text: TextEmbeddings | None
) -> Sequence[str | None]:
    """Return the state that each sentence is made of, or nothings if the prompts do not tell."""
    count = 0 if text is None else len(text.sentences)
    tell = getattr(detector.prompts, "states", None)
    states: Sequence[str | None] = tell(class_name.replace("_", " ")) if tell else ()
    return states if len(states) == count else [None] * count


class _Explainer:
    """What a detector says of images that were encoded together."""

    def __init__(
        self, references: References, features: Features, class_name: str, top: int
    ) -> None:
        detector = self.detector = references.detector
        self.references, self.features = references, features
        self.class_name, self.top = class_name, top
        self.prediction: Prediction = detector.score(features, class_name)
        self.text: TextEmbeddings | None = detector.text(class_name, features)
        self.states = _states(detector, class_name, self.text)
        given = detector.attribute(features, class_name)
        self.gap = self._gap(given)
        whole = Attribution((), judged_by_map(features, self.prediction.map))
        self.attribution = whole if given is None or self.gap else given

    def _gap(self, given: Attribution | None) -> str | None:
        owner = f"{self.detector.assembly.parts['scorer']}"
        shown = "regions are those where its map is highest, sentences have cosines but no shares"
        if given is None:
            return f"{owner} does not say what its score is made of: {shown}"
        rebuilt = sum(addend.weight * addend.value for addend in given.addends)
        wrong = (rebuilt - self.prediction.score).abs() > TOLERANCE
        if bool(torch.as_tensor(wrong).any()):
            return f"{owner} says what its score is made of, but that is not its score: {shown}"
        return None

    def explain(self, source: Source, pieces: Sequence[Source], start: int) -> Explanation:
        """Explain an image whose pieces are rows `start` and those after it, by the highest."""
        rows = slice(start, start + len(pieces))
        scores, heats = self.prediction.score[rows], self.prediction.map[rows]
        if not (torch.isfinite(heats).all() and torch.isfinite(scores).all()):
            raise InputError(f"{source.name}: its score or map is not a finite number")
        highest = int(scores.argmax())
        index = start + highest
        spec = self.detector.backbone.spec
        canvas = canvases(source, self.detector.resizing, spec)[highest]
        on, sentences = self._conclusion(index)
        return Explanation(
            source.name,
            *source.size,
            self.class_name,
            float(scores[highest]),
            canvas.whole if len(pieces) > 1 else None,
            tuple(self._part(addend, index, canvas) for addend in self.attribution.addends),
            self.attribution.voices.unit if self.attribution.voices else None,
            WHOLE_TILE if on == WHOLE_IMAGE and len(pieces) > 1 else on,
            tuple(sentences),
            tuple(self._findings(index, canvas)),
            self.gap,
            _joined(pieces, heats, self.detector.resizing.of_each),
        )

    def _part(self, addend: Addend, index: int, canvas: Canvas) -> Part:
        value, cell = float(addend.value[index]), highest_cell(addend, index)
        if cell is None:
            return Part(addend.by, addend.weight, value, True)
        regions = tuple(
            Covering(
                level.regions.name,
                canvas.place(cells_of(level.regions, region)),
                float(level.values[index, region]),
            )
            for level in addend.levels
            for region in covering(level, cell)
        )
        place = canvas.place(cell)
        return Part(addend.by, addend.weight, value, False, place, addend.mean, regions)

    def _conclusion(self, index: int) -> tuple[str | None, list[Sentence]]:
        """Return what the sentences said of the image, or of the place that decided."""
        if self.text is None:
            return None, []
        voices = self.attribution.voices
        deciding = [a for a in self.attribution.addends if a.by == "text" and a.levels]
        if voices is not None and deciding and deciding[0].mean == "arithmetic":
            return DECIDING_PLACE, self._at_place(deciding[0], index)
        if CLASS_TOKEN not in self.detector.extractor.gives:
            return None, []
        image = self.features.image[:, None]
        pushes = voices.pushes(image)[index, 0] if voices else None
        return WHOLE_IMAGE, self._sentences(image[index, 0], index, pushes)

    def _at_place(self, addend: Addend, index: int) -> list[Sentence]:
        """Return the means of what was said of the regions that cover the highest cell.

        Means of regions within a level, then over levels, as the scorer's own value is made.
        """
        assert self.attribution.voices is not None
        cell = highest_cell(addend, index)
        assert cell is not None
        pushes, directions = [], []
        for level in addend.levels:
            there = covering(level, cell)
            chosen = level.regions.embeddings[:, there]
            pushes.append(self.attribution.voices.pushes(chosen)[index].mean(0))
            directions.append(F.normalize(chosen[index], dim=-1).mean(0))
        mean = torch.stack(directions).mean(0)
        return self._sentences(mean, index, torch.stack(pushes).mean(0))

    def _sentences(
        self, embedding: Float[Tensor, " d"], index: int, pushes: Float[Tensor, " n"] | None
    ) -> list[Sentence]:
        """Return all sentences, those that pushed most towards an anomaly first."""
        assert self.text is not None
        vectors = self.text.embeddings
        vectors = vectors if vectors.ndim == 2 else vectors[index]
        cosines = F.normalize(embedding, dim=-1) @ vectors.T
        said = cosines if pushes is None else pushes
        total = float(said.abs().sum()) or 1.0
        return [
            Sentence(
                self.text.sentences[i],
                bool(self.text.anomalous[i]),
                float(cosines[i]),
                None if pushes is None else float(pushes[i]),
                None if pushes is None else abs(float(pushes[i])) / total,
                self.states[i],
            )
            for i in said.argsort(descending=True, stable=True).tolist()
        ]

    def _findings(self, index: int, canvas: Canvas) -> Iterator[Finding]:
        """Yield regions by each kind of judgement, the one that decided the score first."""
        decided = {a.by: highest_cell(a, index) for a in self.attribution.addends if a.levels}
        number = 0
        for by in sorted({j.by for j in self.attribution.judged}, key=lambda by: by not in decided):
            levels = [judged for judged in self.attribution.judged if judged.by == by]
            for pick in strongest(levels, index, canvas, self.top, decided.get(by)):
                number += 1
                yield self._finding(number, pick, index, canvas, list(decided.values()))

    def _finding(
        self, number: int, pick: Pick, index: int, canvas: Canvas, decided: Sequence[Cells | None]
    ) -> Finding:
        judged, region = pick
        place = canvas.place(cells_of(judged.regions, region))
        assert place is not None
        sentences = self._spoken(judged, region, index)
        same = [j for j in self.attribution.judged if j.regions is judged.regions]
        return Finding(
            number,
            judged.by,
            judged.regions.name,
            place,
            {j.by: float(j.values[index, region]) for j in same},
            any(cell is not None and region in covering(judged, cell) for cell in decided),
            tuple(s for s in sentences if s.push is None or s.push > 0)[:SPOKEN],
            tuple(s for s in sentences[::-1] if s.push is not None and s.push < 0)[:SPOKEN],
            self.references.nearest(same, region, index),
        )

    def _spoken(self, judged: Judged, region: int, index: int) -> list[Sentence]:
        if self.text is None or not judged.regions.aligned:
            return []
        embeddings = judged.regions.embeddings[:, [region]]
        voices = self.attribution.voices
        pushes = voices.pushes(embeddings)[index, 0] if voices else None
        return self._sentences(embeddings[index, 0], index, pushes)
