"""The scorer that learns to tell pasted pieces, and how good images look to it (CutPaste)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from annotated_types import Ge, Gt, Le

from vlmad import Prediction
from vlmad.errors import InputError
from vlmad.parts import CELLS
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_families._cutpaste_lesson import (
    CHANNELS,
    HEAD,
    STAGES,
    CutPasteLesson,
    Head,
    frozen_cells,
)
from vlmad_families._draem_networks import flattened, unflattened
from vlmad_families._pixels import image_of, levels_of
from vlmad_families.learned_scorer import LearnedScorer
from vlmad_families.learning import Course, FitTraining, digest_of
from vlmad_memory.smoothing import SIGMAS, to_pixels
from vlmad_run.learning_in_fit import PIXELS
from vlmad_synthesis.spans import Shares  # noqa: TC001 - options are read from annotations
from vlmad_train.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import Features

NAME = "cutpaste"
FLOOR = 1e-3
"""Of the mean variance of cells, what is added to all variances: few images have hardly any."""
OF_IMAGES, OF_CELLS = "image", "cell"


class CutPasteScorer(LearnedScorer[Head]):
    """How far an image's embedding is from those of good ones, by a head that tells pasted pieces.

    The head learns on features of the embedded model, frozen unless some are `tuned`, of the
    references as they are, with a patch and with a scar, to tell these three. The image score is
    the Mahalanobis distance of the image's embedding to those of the references, under the
    covariance of Ledoit and Wolf; the map is that of the cells' embeddings to all cells of the
    references.

    Args:
        width: of the hidden layer.
        code: numbers of an embedding.
        tuned: how many of the last two stages of the embedded model's trunk learn along; its
            rate should be lower then.
        epochs: how often all references are looked at, or 64 where there are fewer.
        batch: references in each step, each in three kinds.
        rate: of gradient descent with momentum 0.9; it falls by a cosine.
        weight_decay: by which weights shrink.
        area: share of the image that a patch covers, least and most.
        jitter: of brightness, contrast, saturation and hue of what is pasted.
        disturbed: likewise of each image before, the good one too.
        budget: minutes after which it has to have learned.
        seed: of all that is drawn.
        sigma: of the Gaussian over the map, in pixels; by default a sixtieth of its side.
    """

    needs = frozenset({CELLS, PIXELS})

    def __init__(
        self,
        width: Annotated[int, Ge(1)] = 128,
        code: Annotated[int, Ge(1)] = 64,
        tuned: Annotated[int, Ge(0), Le(len(STAGES))] = 0,
        epochs: Annotated[int, Ge(1)] = 20,
        batch: Annotated[int, Ge(1)] = 8,
        rate: Annotated[float, Gt(0)] = 0.03,
        weight_decay: Annotated[float, Ge(0)] = 3e-5,
        area: Shares = (0.02, 0.15),
        jitter: Annotated[float, Ge(0), Le(0.5)] = 0.1,
        disturbed: Annotated[float, Ge(0), Le(0.5)] = 0.1,
        budget: Annotated[float, Gt(0)] = 3.0,
        seed: Annotated[int, Ge(0)] = 0,
        sigma: Annotated[float, Ge(0)] | None = None,
    ) -> None:
        self.width, self.code, self.budget, self.sigma = width, code, budget, sigma
        self.tuned = tuned
        self.pasted = (area, jitter, disturbed)
        self.schedule = Schedule(
            epochs, batch, rate, (0.9, 0.999), seed, "sgd", 0.9, weight_decay, "cosine"
        )
        super().__init__()

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Learn from the references, then remember how they are spread."""
        with torch.inference_mode(False), torch.no_grad():
            pixels = image_of(references, NAME)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.schedule.seed)
                head = Head(CHANNELS, self.width, self.code, self.tuned)
            known = [self.width, self.code, self.tuned, self.schedule, self.budget, *self.pasted]
            course = Course(NAME, self.schedule, self.budget, digest_of(known, [pixels]))
            lesson = CutPasteLesson(head, levels_of(pixels), *self.pasted)
            FitTraining(lesson, len(references), course).run()
            embedded = torch.cat([head(frozen_cells(image, self.tuned)) for image in pixels])
            return {HEAD: flattened(head), **densities(embedded)}

    def built(self, memory: Mapping[str, Tensor]) -> Head:
        """Return the head, if there are its Gaussians too."""
        shapes = {name: tuple(t.shape) for name, t in memory.items() if name != HEAD}
        kinds = {"mean": (self.code,), "whitening": (self.code, self.code)}
        wanted = {f"{of}.{k}": shape for of in (OF_IMAGES, OF_CELLS) for k, shape in kinds.items()}
        if HEAD not in memory or shapes != wanted:
            raise InputError(f"it does not hold a head and Gaussians of {self.code} numbers")
        with torch.device("meta"):
            head = Head(CHANNELS, self.width, self.code, self.tuned)
        unflattened(head, memory[HEAD])
        return head

    def judge(
        self, features: Features, memory: Mapping[str, Tensor]
    ) -> tuple[Prediction, Attribution]:
        """Score by the distance of the image's embedding, and name the pixels."""
        head = self.networks(memory)
        images = image_of(features, NAME)
        embedded = [head(frozen_cells(image, self.tuned)) for image in images]
        scores = torch.cat([distances(cells.mean((1, 2)), memory, OF_IMAGES) for cells in embedded])
        cells = torch.cat([distances(each, memory, OF_CELLS) for each in embedded])
        sigma = min(features.image_size) / SIGMAS if self.sigma is None else self.sigma
        heat = to_pixels(cells, features.image_size, sigma)
        pixels = Judged(features.regions[0], "references", heat.flatten(1))
        whole = Addend("references", 1.0, scores)
        return Prediction(scores, heat), Attribution((whole,), (pixels,))


def densities(embedded: Float[Tensor, "n h w d"]) -> dict[str, Tensor]:
    """Return the Gaussians of images' and of cells' embeddings."""
    cells = embedded.flatten(0, 2)
    floor = max(FLOOR * float(cells.var(0, correction=0).mean()), 1e-8)
    both = {OF_IMAGES: embedded.mean((1, 2)), OF_CELLS: cells}
    return {f"{of}.{k}": t for of, rows in both.items() for k, t in gaussian(rows, floor).items()}


def gaussian(rows: Float[Tensor, "n d"], floor: float) -> dict[str, Tensor]:
    """Return the mean and what makes distances to it those of Mahalanobis.

    Args:
        rows: embeddings; the covariance of one alone is 0.
        floor: what is added to all variances.
    """
    from sklearn.covariance import ledoit_wolf  # slow to import

    exact = rows.double()
    covariance = torch.zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    if len(rows) > 1:
        covariance = torch.from_numpy(ledoit_wolf(exact.numpy())[0])
    covariance = covariance + floor * torch.eye(rows.shape[1], dtype=torch.float64)
    lower = torch.linalg.cholesky(covariance)
    unit = torch.eye(rows.shape[1], dtype=torch.float64)
    whitening = torch.linalg.solve_triangular(lower, unit, upper=False).T
    return {"mean": exact.mean(0).float(), "whitening": whitening.float().contiguous()}


def distances(
    embedded: Float[Tensor, "*n d"], memory: Mapping[str, Tensor], of: str
) -> Float[Tensor, "*n"]:
    """Return Mahalanobis distances to a Gaussian of the memory."""
    away: Tensor = (embedded - memory[f"{of}.mean"]) @ memory[f"{of}.whitening"]
    return away.square().sum(-1).sqrt()
