"""Explaining: from a detector and an image to what drove its score.

The numbers come from the scorer's own `vlmad_attribution.attribution.Attribution`, which rebuilds
the score. Of a scorer that offers none, an explanation shows where its map is highest and which
sentences and reference regions are nearest, and names in `gap` what cannot be known.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from vlmad.detector import as_list
from vlmad.errors import InputError, blaming
from vlmad.fitting import only_named
from vlmad.images import restore_whole
from vlmad.parts import CLASS_TOKEN
from vlmad_attribution.attribution import Addend, Attribution, HasAttribution
from vlmad_explain._naming import name_regions
from vlmad_explain._reference_regions import ReferenceRegions, encode_whole
from vlmad_explain._shown_regions import (
    JudgedRegion,
    PatchGrid,
    Place,
    covering,
    highest_cell,
    judged_by_map,
    patch_grids,
    place_of,
    strongest,
)
from vlmad_explain.explanations import (
    CoveringRegion,
    Explanation,
    HasStates,
    ScoreAddend,
    SentenceShare,
    ShownRegion,
)
from vlmad_explain.words import strongest_sentences

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.images import Source

TOP = 3
SENTENCES = 3
"""Sentences for and against an anomaly that are named for each region."""
DECIDING_PLACE = "the place that decided"
TOLERANCE = 1e-4
"""By how much the sum of a scorer's addends may miss its score before it is not believed."""
INSTEAD = "regions are those where its map is highest"
WITHOUT_SHARES = ", sentences have cosines but no shares"


def explain(
    detector: Detector, images: Any, class_name: str = "object", top: int = TOP
) -> Iterator[Explanation]:
    """Yield what drove the score of each image.

    Args:
        detector: fitted, if its score is to compare with references.
        images: as `Detector.predict` takes them.
        class_name: what they show.
        top: regions shown of each kind of judgement.

    Raises:
        InputError: an image cannot be read, its score is not finite, or references are needed.
    """
    for explanation, _ in explain_with_maps(detector, images, class_name, top):
        yield explanation


def explain_with_maps(
    detector: Detector, images: Any, class_name: str = "object", top: int = TOP
) -> Iterator[tuple[Explanation, Float[np.ndarray, "H W"]]]:
    """Yield what `explain` does, each with the image's map at its original size."""
    sources = [*detector.sources(as_list(images))]
    references = ReferenceRegions(detector, sources)
    together = detector.scorer.scope == "set" and sources
    for group in [sources] if together else [[source] for source in sources]:
        with torch.inference_mode():
            explained = list(_Explainer(references, group, class_name, top).explain_all())
        yield from explained


class _Explainer:
    """Explains images that are encoded together."""

    def __init__(
        self, references: ReferenceRegions, sources: Sequence[Source], class_name: str, top: int
    ) -> None:
        self.references, self.class_name, self.top = references, class_name, top
        self.sources, detector = sources, references.detector
        self.detector = detector
        self.features, self.pieces = encode_whole(detector, sources)
        self.prediction = detector.score(self.features, class_name)
        self.text = detector.text(class_name, self.features)
        self.states = self._states()
        given = self._attribution()
        self.gap = self._gap(given)
        if given is None or self.gap:
            given = Attribution((), judged_by_map(self.features, self.prediction.map))
        self.attribution, self.voices = given, given.voices

    def _states(self) -> Sequence[str | None]:
        """Return the state that each sentence is made of, None where the prompts do not know."""
        count = len(self.text.sentences) if self.text else 0
        prompts, states = self.detector.prompts, list[str | None]()
        if isinstance(prompts, HasStates):
            states = list(prompts.states(self.class_name.replace("_", " ")))
        return states if len(states) == count else [None] * count

    def _attribution(self) -> Attribution | None:
        """Return what the scorer's scores are made of, or None if it does not offer that."""
        scorer = self.detector.scorer
        if not isinstance(scorer, HasAttribution):
            return None
        with blaming(f"{self.detector.assembly.parts['scorer'].registration} failed"):
            given = only_named(self.features, self.detector.scorer.needs)
            return scorer.attribute(given, self.text, self.detector.memory)

    def _gap(self, given: Attribution | None) -> str | None:
        owner = f"{self.detector.assembly.parts['scorer']}"
        instead = INSTEAD + (WITHOUT_SHARES if self.text else "")
        if given is None:
            return f"{owner} does not say what its score is made of: {instead}"
        rebuilt = sum(addend.weight * addend.value for addend in given.addends)
        missed = torch.as_tensor(rebuilt - self.prediction.score).abs() > TOLERANCE
        if missed.any():
            return f"{owner} says what its score is made of, but that is not its score: {instead}"
        return None

    def explain_all(self) -> Iterator[tuple[Explanation, Float[np.ndarray, "H W"]]]:
        """Yield an explanation of each image by its highest piece, and its map."""
        start, each = 0, self.detector.resizing.of_each
        for source, pieces in zip(self.sources, self.pieces, strict=True):
            rows = slice(start, start + len(pieces))
            scores, maps = self.prediction.score[rows], self.prediction.map[rows]
            if not (torch.isfinite(maps).all() and torch.isfinite(scores).all()):
                scorer = self.detector.assembly.parts["scorer"].registration
                what = "a score or map that is not a finite number"
                raise InputError(f"{source.name}: {scorer} returned {what}")
            explanation = self._explain(source, start, int(scores.argmax()), len(pieces) > 1)
            heat = restore_whole(pieces, maps, each)
            if source.prepared is None:
                named = name_regions(source.decoded(), heat, self.top)
                explanation = explanation.model_copy(update={"named": named})
            yield explanation, heat
            start += len(pieces)

    def _explain(self, source: Source, start: int, highest: int, tiled: bool) -> Explanation:
        spec, index = self.detector.backbone.spec, start + highest
        patches = patch_grids(source, self.detector.resizing, spec)[highest]
        patches = replace(patches, placement=source.placement)
        width, height = source.size if source.placement is None else source.placement.size
        place, sentences = self._conclusion(index)
        whole = "the whole tile" if tiled else "the whole image"
        return Explanation(
            image=source.name,
            width=width,
            height=height,
            class_name=self.class_name,
            score=float(self.prediction.score[index]),
            tile=patches.box((0, 0, *patches.grid)) if tiled else None,
            addends=[self._addend(addend, index, patches) for addend in self.attribution.addends],
            unit=self.voices.unit if self.voices else None,
            sentences_on=place or (whole if sentences else None),
            sentences=sentences,
            findings=list(self._findings(index, patches)),
            gap=self.gap,
        )

    def _addend(self, addend: Addend, index: int, patches: PatchGrid) -> ScoreAddend:
        cell, grid, weight = highest_cell(addend, index), patches.grid, addend.weight
        regions = [
            CoveringRegion(
                level=level.regions.name,
                place=patches.box(place_of(level.regions, region, grid)),
                value=float(level.values[index, region]),
            )
            for level in addend.levels
            for region in (covering(level, cell, grid) if cell else ())
        ]
        return ScoreAddend(
            by=addend.by,
            weight=float(weight[index] if isinstance(weight, torch.Tensor) else weight),
            value=float(addend.value[index]),
            whole_image=cell is None,
            place=patches.box(cell) if cell else None,
            mean=addend.mean if cell else None,
            highest=addend.highest_count,
            regions=regions,
        )

    def _conclusion(self, index: int) -> tuple[str | None, list[SentenceShare]]:
        """Return what the sentences add up to for the place that decided, or for the image.

        The place is None where it is the whole image.
        """
        if self.text is None:
            return None, []
        for addend in self.attribution.addends:
            if self.voices and addend.by == "text" and addend.mean == "arithmetic":
                cell = highest_cell(addend, index)
                if cell is not None:
                    return DECIDING_PLACE, self._at_cell(addend, cell, index)
        if CLASS_TOKEN not in self.detector.extractor.gives:
            return None, []
        return None, self._sentences(self.features.image[:, None], index)

    def _at_cell(self, addend: Addend, cell: Place, index: int) -> list[SentenceShare]:
        """Return the means over the regions that cover a cell.

        Means of regions within a level, then over levels, as the scorer's own value is made.
        """
        assert self.voices is not None
        pushes, directions = [], []
        for level in addend.levels:
            there = level.regions.embeddings[:, covering(level, cell, self.features.grid)]
            pushes.append(self.voices.pushes(there)[index].mean(0))
            directions.append(F.normalize(there[index], dim=-1).mean(0))
        mean = torch.stack(directions).mean(0)
        return self._shares(mean, torch.stack(pushes).mean(0), index)

    def _sentences(self, embeddings: Float[Tensor, "b 1 d"], index: int) -> list[SentenceShare]:
        pushes = self.voices.pushes(embeddings)[index, 0] if self.voices else None
        return self._shares(embeddings[index, 0], pushes, index)

    def _shares(
        self, embedding: Float[Tensor, " d"], pushes: Float[Tensor, " n"] | None, index: int
    ) -> list[SentenceShare]:
        """Return all sentences, those that push most towards an anomaly first."""
        assert self.text is not None
        vectors = self.text.embeddings
        vectors = vectors if vectors.ndim == 2 else vectors[index]
        cosines = F.normalize(embedding, dim=-1) @ vectors.T
        order = cosines if pushes is None else pushes
        total = float(order.abs().sum()) or 1.0
        return [
            SentenceShare(
                text=self.text.sentences[i],
                anomalous=bool(self.text.anomalous[i]),
                cosine=float(cosines[i]),
                push=None if pushes is None else float(pushes[i]),
                share=None if pushes is None else abs(float(pushes[i])) / total,
                state=self.states[i],
            )
            for i in order.argsort(descending=True, stable=True).tolist()
        ]

    def _findings(self, index: int, patches: PatchGrid) -> Iterator[ShownRegion]:
        """Yield regions by each kind of judgement, the one that decided the score first."""
        judged = self.attribution.judged
        decided = {a.by: highest_cell(a, index) for a in self.attribution.addends if a.levels}
        cells = [cell for cell in decided.values() if cell]
        number = 0
        for by in sorted(dict.fromkeys(j.by for j in judged), key=lambda by: by not in decided):
            levels = [each for each in judged if each.by == by]
            for found in strongest(levels, index, patches, self.top, decided.get(by)):
                number += 1
                yield self._finding(number, found, index, patches, cells)

    def _finding(
        self, number: int, found: JudgedRegion, index: int, patches: PatchGrid, decided: list[Place]
    ) -> ShownRegion:
        judged, region = found
        regions = judged.regions
        place = patches.box(place_of(regions, region, patches.grid))
        assert place is not None
        sentences: list[SentenceShare] = []
        if self.text is not None and regions.aligned:
            sentences = self._sentences(regions.embeddings[:, [region]], index)
        ahead, behind = strongest_sentences(sentences, SENTENCES)
        same = [each for each in self.attribution.judged if each.regions is regions]
        return ShownRegion(
            number=number,
            by=judged.by,
            level=regions.name,
            place=place,
            values={each.by: float(each.values[index, region]) for each in same},
            decided=any(region in covering(judged, cell, patches.grid) for cell in decided),
            for_anomaly=ahead,
            against_anomaly=behind,
            nearest=self.references.nearest(same, region, index),
        )
