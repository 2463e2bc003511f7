"""The scorer that registers images as it learned to on other categories (RegAD)."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le

from vlmad import ImageBatch, Prediction, Preprocessing
from vlmad.errors import InputError
from vlmad.images import Source
from vlmad.parts import CELLS
from vlmad.watching import note
from vlmad_attribution.attribution import Addend, Attribution, Judged
from vlmad_families._draem_networks import flattened, unflattened
from vlmad_families._pixels import image_of, levels_of
from vlmad_families._registration import (
    NETWORK,
    WIDTHS,
    Registering,
    RegistrationLesson,
    RegistrationNetwork,
    moved,
    turns_and_scales,
)
from vlmad_families.learned_scorer import LearnedScorer
from vlmad_families.learning import Course, FitTraining, digest_of
from vlmad_memory.pooled_gaussian import whitening_of
from vlmad_memory.smoothing import to_pixels
from vlmad_run.learning_in_fit import PIXELS, NotLearned, circumstances
from vlmad_run.opening import open_dataset
from vlmad_train.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from jaxtyping import Float, UInt8
    from torch import Tensor

    from vlmad import Features

NAME = "regad"
MOST = 64
"""Images of an auxiliary category: more are drawn from."""
MEAN, WHITENING = "mean", "whitening"


class Regad(LearnedScorer[Registering]):
    """How unusual each place of an image is, among references registered with it.

    Three transformers turn and scale the maps of a frozen trunk. They learn on good images of
    other categories to make those of one category alike, and nothing of the category that is
    tested. The references, and turned, shifted, mirrored and grey ones, then leave a Gaussian for
    each place; the map is the Mahalanobis distance to it, the image score its maximum.

    Args:
        auxiliary: a data set of other categories, whose good train images are learned from; a
            category that holds a reference is left out. By default a bench's other categories.
        supports: images of its category with whose mean each is compared while it learns.
        turned: degrees by which images are turned at most while it learns.
        hidden: numbers between the two layers of a transformer.
        width: channels of the encoder and the predictor.
        channels: how many are drawn of those of all stages; none for all 176.
        ridge: what is added to every variance.
        epochs: how often all auxiliary images are looked at, or 64 where there are fewer.
        batch: images in each step, each with its supports.
        rate: of gradient descent with momentum 0.9; it falls by a cosine.
        weight_decay: by which weights shrink.
        budget: minutes after which it has to have learned.
        seed: of all that is drawn.
        sigma: of the Gaussian over the map, in pixels.
    """

    needs = frozenset({CELLS, PIXELS})
    learns_across = True
    only_in_fit = frozenset({"auxiliary"})

    def __init__(
        self,
        auxiliary: str | None = None,
        supports: Annotated[int, Ge(1)] = 2,
        turned: Annotated[float, Ge(0), Le(180)] = 20.0,
        hidden: Annotated[int, Ge(1)] = 1024,
        width: Annotated[int, Ge(1)] = 256,
        channels: Annotated[int, Ge(1), Le(sum(WIDTHS))] | None = 100,
        ridge: Annotated[float, Gt(0)] = 0.01,
        epochs: Annotated[int, Ge(1)] = 50,
        batch: Annotated[int, Ge(1)] = 8,
        rate: Annotated[float, Gt(0)] = 1e-4,
        weight_decay: Annotated[float, Ge(0)] = 0.0,
        budget: Annotated[float, Gt(0)] = 3.0,
        seed: Annotated[int, Ge(0)] = 0,
        sigma: Annotated[float, Ge(0)] = 4.0,
    ) -> None:
        self.auxiliary, self.supports, self.turned = auxiliary, supports, turned
        self.sizes, self.channels, self.ridge = (hidden, width), channels, ridge
        self.budget, self.sigma = budget, sigma
        self.schedule = Schedule(
            epochs, batch, rate, (0.9, 0.999), seed, "sgd", 0.9, weight_decay, "cosine"
        )
        generator = torch.Generator().manual_seed(seed)
        self.drawn = torch.randperm(sum(WIDTHS), generator=generator)[:channels].sort().values
        super().__init__()

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Learn from other categories, then remember how the registered references are spread."""
        with torch.inference_mode(False), torch.no_grad():
            pixels = image_of(references, NAME)
            registering = self._learned(pixels)
            cells = (registering.cells(views_of(image))[..., self.drawn] for image in pixels)
            gaussians = position_gaussians(cells, self.ridge)
            return {NETWORK: flattened(registering), **gaussians}

    def _learned(self, pixels: Float[Tensor, "b 3 h w"]) -> Registering:
        categories = auxiliary_images(self.auxiliary, levels_of(pixels))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.schedule.seed)
            network = RegistrationNetwork(*self.sizes)
        known = [*self.sizes, self.supports, self.turned, self.schedule, self.budget]
        digest = digest_of(known, [torch.from_numpy(each) for each in categories])
        lesson = RegistrationLesson(network, categories, self.supports, self.turned)
        course = Course(NAME, self.schedule, self.budget, digest)
        FitTraining(lesson, len(lesson.images), course).run()
        return network.registering

    def built(self, memory: Mapping[str, Tensor]) -> Registering:
        """Return the network, if there are Gaussians too."""
        count, places = len(self.drawn), memory[MEAN].shape[:1] if MEAN in memory else ()
        shapes = {MEAN: (*places, count), WHITENING: (*places, count, count)}
        own = {name: tuple(t.shape) for name, t in memory.items() if name != NETWORK}
        if NETWORK not in memory or own != shapes:
            raise InputError(f"it does not hold a network and Gaussians of {count} channels")
        with torch.device("meta"):
            registering = Registering(self.sizes[0])
        unflattened(registering, memory[NETWORK])
        return registering

    def judge(
        self, features: Features, memory: Mapping[str, Tensor]
    ) -> tuple[Prediction, Attribution]:
        """Score by the highest place, and name the pixels."""
        registering, found = self.networks(memory), []
        for image in image_of(features, NAME):
            cells = registering.cells(image[None])[0, ..., self.drawn]
            if cells.shape[0] * cells.shape[1] != len(memory[MEAN]):
                raise InputError(f"{NAME} was fitted on images of another size; fit it anew")
            away = distances(cells.flatten(0, 1), memory).unflatten(0, cells.shape[:2])
            found.append(to_pixels(away[None], features.image_size, self.sigma))
        heat = torch.cat(found)
        judged = (Judged(features.regions[0], "references", heat.flatten(1)),)
        highest = Addend("references", 1.0, heat.amax((1, 2)), judged, "arithmetic", heat)
        return Prediction(highest.value, heat), Attribution((highest,), judged)


def auxiliary_images(
    data: str | None, references: UInt8[np.ndarray, "n h w 3"]
) -> list[UInt8[np.ndarray, "n h w 3"]]:
    """Return the good train images of each other category, as large as the references.

    Raises:
        NotLearned: there is no other category.
    """
    around = circumstances()
    if data is not None:
        samples = [s for s in open_dataset(data).select(None, "train") if not s.anomalous]
        names = dict.fromkeys(sample.category for sample in samples)
        others = {n: [s.image for s in samples if s.category == n] for n in names}
    elif around.others is not None:
        others = {name: [*images] for name, images in around.others.items()}
    elif around.most_steps is not None:  # only its manners are looked at
        return [references]
    else:
        others = {}
    size = (references.shape[1], references.shape[2])
    loaded = [_loaded(tuple(sorted(images)), size) for images in others.values()]
    tested = {image.tobytes() for image in references}
    found = [own for own in loaded if len(own) and not any(i.tobytes() in tested for i in own)]
    if not found:
        raise NotLearned(
            f"{NAME} learns on other categories than the one that is tested, and there is none: "
            "name a data set that has some with --auxiliary DATA"
        )
    return found


@lru_cache(maxsize=16)
def _loaded(images: tuple[Path, ...], size: tuple[int, int]) -> UInt8[np.ndarray, "n h w 3"]:
    """Return images of a category at a size, spread over all; what cannot be read is left out."""
    wanted, found = Preprocessing(size, (0.0,) * 3, (1.0,) * 3), [np.empty((0, *size, 3), np.uint8)]
    for path in images[:: math.ceil(len(images) / MOST)]:
        try:
            found.append(levels_of(ImageBatch((Source(str(path), path),)).pixels(wanted)))
        except InputError as error:
            note(f"{NAME} learns without an image: {error}")
    return np.concatenate(found)


def views_of(pixels: Float[Tensor, "3 h w"]) -> Float[Tensor, "v 3 h w"]:
    """Return an image as it is, in 8 turns, 8 shifts, 3 quarter turns, mirrored, and in grey."""
    turns = [math.radians(sign * step) for step in (11.25, 22.5, 33.75, 45) for sign in (1, -1)]
    turns += [math.radians(90 * quarters) for quarters in range(4)]
    turned = turns_and_scales(torch.tensor([[turn, 0.0, 0.0] for turn in turns]))
    shifted = turns_and_scales(torch.zeros(8, 3))
    shifts = [(s * by, 0.0) for by in (0.2, 0.4) for s in (1, -1)]  # of a side that is 2 long
    shifted[:, :, 2] = torch.tensor([*shifts, *((down, right) for right, down in shifts)])
    mirrored = torch.tensor([[[-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    places = torch.cat([turned, shifted, mirrored]).to(pixels)
    seen = moved(pixels.expand(len(places), -1, -1, -1), places)
    grey = (pixels * pixels.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    return torch.cat([seen, grey.expand(1, 3, -1, -1)])


def position_gaussians(
    references: Iterable[Float[Tensor, "v h w c"]], ridge: float
) -> dict[str, Tensor]:
    """Return the mean of each place over all views, and what makes covariances the identity.

    Covariances are unbiased, and have the ridge on their diagonals.
    """
    count, sums, products = 0, torch.zeros(1), torch.zeros(1)
    for views in references:
        cells = views.flatten(1, 2).transpose(0, 1).double()  # (places, views, channels)
        sums = sums + cells.sum(1)
        products = products + cells.transpose(1, 2) @ cells
        count += cells.shape[1]
    mean = sums / count
    covariance = (products - count * mean[:, :, None] * mean[:, None]) / max(1, count - 1)
    whitening = torch.cat([whitening_of(some, ridge).float() for some in covariance.split(64)])
    return {MEAN: mean.float(), WHITENING: whitening}


def distances(cells: Float[Tensor, "p c"], memory: Mapping[str, Tensor]) -> Float[Tensor, " p"]:
    """Return the Mahalanobis distance of each place to its Gaussian."""
    away: Tensor = memory[WHITENING] @ (cells - memory[MEAN])[..., None]
    return away[..., 0].square().sum(-1).sqrt()
