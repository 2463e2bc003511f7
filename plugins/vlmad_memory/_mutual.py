"""The scorer of images that are compared with each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

import torch
import torch.nn.functional as F
from annotated_types import Ge, Le

from vlmad import Prediction, Scorer
from vlmad.errors import OptionError
from vlmad.parts import CELLS
from vlmad.regions import only_inside
from vlmad.watching import note, track
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_memory._mutual_distances import MutualDistances, Pairing, nearest_patches
from vlmad_memory.smoothing import to_pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Features, TextEmbeddings

LONG_SECONDS, LARGE_BYTES = 10, 1 << 30
"""From which on time and disk are said before."""


class JudgedSet(NamedTuple):
    """What came of a set."""

    cells: list[Float[Tensor, "b p"]]
    """Of each level and piece the values of cells."""
    highest: Float[Tensor, " n"]
    """Of each image the highest pixel of its map."""
    score: Float[Tensor, " n"]


class Mutual(Scorer):
    """The distance of each patch to the most similar one of each other image (MuSc).

    Only the images in which it is nearest count, so that what many images have is normal even
    where others lack it. Tiles of an image are not compared with each other.

    Args:
        neighbourhoods: sides in cells of the squares that features are averaged over.
        lowest: from which to which share of the other images counts, the nearest first.
        rescoring: over how many of the most similar images, itself among them, scores (scaled
            to 0 to 1 over the set) are averaged; the mean over several such numbers. 0 is off.
        sample: with how many others, drawn, each is compared; 0 is all.
        seed: which are drawn.
    """

    needs = frozenset({CELLS})
    scope = "set"
    honours_inside = True

    def __init__(
        self,
        neighbourhoods: tuple[int, ...] = (1, 3, 5),
        lowest: tuple[float, ...] = (0.0, 0.3),
        rescoring: tuple[int, ...] = (0,),
        sample: Annotated[int, Ge(0)] = 0,
        seed: Annotated[int, Ge(0), Le(2**32 - 1)] = 0,
    ) -> None:
        if not neighbourhoods or any(side < 1 or side % 2 == 0 for side in neighbourhoods):
            raise OptionError(f"neighbourhoods are odd sides from 1 on, not {neighbourhoods}")
        if len(lowest) != 2 or not 0 <= lowest[0] < lowest[1] <= 1:
            raise OptionError(f"lowest is a share and a larger one, 0 to 1, not {lowest}")
        if min((sample, *rescoring)) < 0:
            raise OptionError("rescoring and sample are numbers of images from 0 on")
        self.neighbourhoods, self.lowest = neighbourhoods, lowest
        self.rescoring = tuple(count for count in rescoring if count)
        self.sample, self.seed = sample, seed

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score each image against all the others."""
        each = [*self._predict([features[[row]] for row in range(len(features))])]
        return Prediction(torch.cat([one.score for one in each]), torch.cat([o.map for o in each]))

    def score_set(
        self,
        images: Sequence[Features],
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Iterator[Prediction]:
        """Compare all images, then yield the score and the map of each."""
        self._note_what_is_few(len(images))
        return self._predict(images)

    def attribute(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Attribution:
        """Take the score apart: the image's own patches, and what rescoring makes of it."""
        images = [features[[row]] for row in range(len(features))]
        judgement = self._judge(images)
        judged = [
            Judged(regions, "others", cells, nearest_patches(features, level))
            for level, regions, cells in zip(
                range(len(judgement.cells)), features.regions, judgement.cells, strict=True
            )
        ]
        own, score = judgement.highest, judgement.score
        cells = F.adaptive_avg_pool2d(_maps(features, judgement.cells)[:, None], features.grid)
        addends = [Addend("others", 1.0, own, tuple(judged), "smoothed", cells[:, 0])]
        if self.rescoring:
            addends.append(Addend("others", 1.0, score - own))
        return Attribution(tuple(addends), tuple(judged))

    def _predict(self, images: Sequence[Features]) -> Iterator[Prediction]:
        judgement, end = self._judge(images), 0
        for features, score in zip(images, judgement.score, strict=True):
            start, end = end, end + len(features)
            maps = _maps(features, [cells[start:end] for cells in judgement.cells])
            yield Prediction(score.expand(len(features)), maps)

    def _judge(self, images: Sequence[Features]) -> JudgedSet:
        owners, means = [], []
        for number, features in enumerate(images):
            owners += [number] * len(features)
            means.append(features.image.double().mean(0))
        pooled = torch.stack(means)
        pairing = Pairing(owners, self._draw(pooled.cpu()))
        levels = images[0].regions
        self._note_what_is_much(images, pairing)
        cells = [each.embeddings.new_zeros(len(owners), len(each.cells)).float() for each in levels]
        blocks = [len(pairing.blocks(len(each.cells))) for each in levels]
        steps = len(self.neighbourhoods) * sum(blocks)
        for _ in track(self._compare(images, pairing, cells), "comparing", steps):
            pass
        highest, end = [], 0
        for features in images:
            start, end = end, end + len(features)
            maps = _maps(features, [each[start:end] for each in cells])
            highest.append(only_inside(maps, features.inside).amax())
        score = torch.stack(highest)
        return JudgedSet(cells, score, self._rescored(score, pooled) if self.rescoring else score)

    def _compare(
        self, images: Sequence[Features], pairing: Pairing, cells: Sequence[Tensor]
    ) -> Iterator[None]:
        """Add to the values of cells what all levels and neighbourhoods give."""
        for level, values in enumerate(cells):
            for side in self.neighbourhoods:
                distances = MutualDistances(images, level, side, pairing)
                yield from distances.compare()
                for piece in range(len(values)):
                    values[piece] += distances.lowest(piece, *self.lowest).to(values)
            values /= len(self.neighbourhoods)

    def _draw(self, pooled: Float[Tensor, "n d"]) -> list[int] | None:
        """Draw those that all are compared with; None if it is all.

        They are drawn by the order of their features, so that the order of images changes nothing.
        """
        if not 0 < self.sample < len(pooled) - 1:
            return None
        generator = torch.Generator().manual_seed(self.seed)
        direction = torch.randn(pooled.shape[1], generator=generator, dtype=pooled.dtype)
        order = (F.normalize(pooled, dim=1) @ direction).argsort(stable=True)
        drawn = torch.randperm(len(pooled), generator=generator)[: self.sample + 1]
        numbers: list[int] = order[drawn].tolist()
        return numbers

    def _rescored(
        self, score: Float[Tensor, " n"], pooled: Float[Tensor, "n d"]
    ) -> Float[Tensor, " n"]:
        """Let similar images have similar scores (RsCIN)."""
        scaled = (score - score.min()) / (score.max() - score.min()).clamp_min(1e-12)
        units = F.normalize(pooled, dim=1).float()
        rescored = torch.zeros_like(score)
        for count in self.rescoring:
            similar, which = (units @ units.T).topk(min(count, len(units)), dim=1)
            weights = similar / similar.sum(1, keepdim=True)
            rescored += (weights * scaled[which]).sum(1)
        return rescored / len(self.rescoring)

    def _note_what_is_few(self, count: int) -> None:
        if count == 1:
            note("mutual: a single image has no other to be compared with; its score is 0")
        elif int(self.lowest[1] * (count - 1)) == 0:
            share = f"{self.lowest[1]:.0%} of the others is less than one"
            note(f"mutual: of {count} images {share}; the nearest one counts")
        if any(each > count for each in self.rescoring):
            note(f"mutual: rescoring over {max(self.rescoring)} images is cut to {count}")

    def _note_what_is_much(self, images: Sequence[Features], pairing: Pairing) -> None:
        levels = images[0].regions
        each = [pairing.seconds(regions) for regions in levels]
        seconds = len(self.neighbourhoods) * sum(each)
        stored = len(images) * sum(tensor.nbytes for tensor in images[0].tensors)
        disk = stored + max(map(pairing.bytes, levels))
        if seconds > LONG_SECONDS or disk > LARGE_BYTES:
            time = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
            fewer = "" if self.sample else "; --set scorer.sample=50 compares each with 50"
            note(f"mutual: {len(images)} images, about {time} and {disk >> 20} MB of disk{fewer}")


def _maps(features: Features, cells: Sequence[Float[Tensor, "b p"]]) -> Float[Tensor, "b h w"]:
    """Return the mean over levels of their values, in pixels."""
    maps = [
        to_pixels(
            values.unflatten(1, regions.grid or features.grid),
            features.image_size,
            interpolation="bilinear-corners",
        )
        for regions, values in zip(features.regions, cells, strict=True)
    ]
    return torch.stack(maps).mean(0)
