"""Make the weights that tell kinds of defect from a region that was found.

    python examples/weights/kinds.py

draws plain products with defects, lets the detectors that are the default with and without
references look for them, and learns from what the embedded trunk sees in the regions they find,
right or wrong. It writes `kinds.safetensors` beside `vlmad explain` and prints how good that is on
other products, those of `products.drawing`, nothing of which was learned from. Nothing but pictures
drawn by code is used. The same seed gives the same file on one machine.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from plain_products import DrawPiece, plain_product
from products.drawing import FAMILIES, Product, draw_product, flawed
from safetensors.torch import save_file
from scipy import ndimage
from torch import Tensor

from vlmad import Detector, load_detector
from vlmad.errors import InputError
from vlmad_explain._found_regions import (
    FoundRegion,
    by_cells,
    find_regions,
    view_of,
)
from vlmad_explain._kinds import FACTS, KINDS, NOTHING, WEIGHTS, KindNet, features_of
from vlmad_explain._look import PLACES, where
from vlmad_synthesis.nuisances import disturb
from vlmad_synthesis.synthetic import choose_defects, seeded, synthesise

NAMES = {
    "scratch": ("scratch",),
    "crack": ("crack",),
    "thread": ("thread",),
    "stain": ("stain",),
    "specks": ("specks",),
    "discolouration": ("colour",),
    "hole": ("hole",),
    "dent": ("dent",),
    "missing piece": ("missing",),
    "foreign body": ("foreign",),
    "distortion": ("warp",),
    "displaced strip": ("shift",),
    "patch": ("cutpaste", "scar", "smoothblend", "perlin"),
}
"""What is drawn for each kind."""
EACH, REFERENCES, REGIONS = 7, 3, 3
"""Defects drawn for a product to test with, good pieces a detector is fitted on, regions looked
at of each picture."""
DISTURBED = 0.3
"""The share of pictures that are changed in a way that is no defect, before one is drawn."""
NEAR = 0.5
"""The share of a region that lies on a defect if it is found, the defect grown by two cells."""
STEPS, BATCH, RATE, DECAY, SMOOTHING = 600, 128, 4e-3, 0.02, 0.05
LEAST_DEVIATION = 0.1
FOLDS, TESTED = 3, 120
"""Of products, to calibrate on what was not learned from; and of other products, to test with."""
ANSWERED = 0.66
"""The share of the regions with a defect whose kind is told."""


Drawn: TypeAlias = "tuple[UInt8[np.ndarray, '320 320 3'], Bool[np.ndarray, '320 320'], str]"
"""A picture, where its defect is, and of which kind."""


class Looked(NamedTuple):
    """A picture that a detector looked at."""

    picture: UInt8[np.ndarray, "320 320 3"]
    heat: Float[np.ndarray, "r c"]
    mask: Bool[np.ndarray, "320 320"]
    kind: str
    product: int


class Seen(NamedTuple):
    """A region that a detector found."""

    features: Float[Tensor, " f"]
    kind: str
    """Of its defect, or `NOTHING`."""
    drawn: str | None
    """The place of its defect."""
    told: str
    """The place of the region."""
    product: int


def look_at_plain(seed: int, products: range) -> Iterator[Looked]:
    """Yield pictures of plain products with each kind of defect, and maps of detectors."""
    rarity, gaussian = load_detector("rarity"), load_detector("gaussian")
    for number in products:
        rng = seeded(seed, "p", number)
        draw = plain_product(rng)
        detector = rarity
        if rng.random() < 0.5:
            detector = gaussian.fit([draw(rng) for _ in range(REFERENCES)])
        yield from _looked(detector, _plain_pictures(draw, rng), number)


def _plain_pictures(draw: DrawPiece, rng: np.random.Generator) -> Iterator[Drawn]:
    for kind, names in NAMES.items():
        name = names[rng.integers(len(names))] if len(names) > 1 else names[0]
        good = draw(rng)
        if rng.random() < DISTURBED:
            good = disturb(good, rng)[0]
        try:
            made = synthesise(good, rng, choose_defects([name]))
        except InputError:  # it would not show
            continue
        yield made.image, made.mask, kind
    good = draw(rng)
    yield good, np.zeros(good.shape[:2], bool), NOTHING


def look_at_others(seed: int, products: range) -> Iterator[Looked]:
    """Yield pictures of products of all families, and maps of detectors."""
    rarity, gaussian = load_detector("rarity"), load_detector("gaussian")
    for number in products:
        product = draw_product(seed, number, sorted(FAMILIES)[number % len(FAMILIES)])
        rng = seeded(seed, "kinds", number)
        detector = rarity
        if number % 2:
            good = [
                product.camera.take(product.piece(rng).render(), rng) for _ in range(REFERENCES)
            ]
            detector = gaussian.fit(good)
        yield from _looked(detector, _other_pictures(product, number, rng), number)


def _other_pictures(product: Product, number: int, rng: np.random.Generator) -> Iterator[Drawn]:
    for index in range(EACH):
        kind = list(NAMES)[(number * EACH + index) % len(NAMES)]
        try:
            flaw = flawed(product, product.piece(rng), rng, str(rng.choice(NAMES[kind])))
        except InputError:
            continue
        yield product.camera.take(flaw.image, rng), flaw.mask, kind
    good = product.camera.take(product.piece(rng).render(), rng)
    yield good, np.zeros(good.shape[:2], bool), NOTHING


def _looked(detector: Detector, drawn: Iterable[Drawn], number: int) -> Iterator[Looked]:
    pieces = list(drawn)
    results = detector.predict([picture for picture, _, _ in pieces])
    for (picture, mask, kind), result in zip(pieces, results, strict=True):
        assert result.map is not None
        yield Looked(picture, by_cells(result.map), mask, kind, number)


def regions_of(looked: Iterable[Looked]) -> Iterator[Seen]:
    """Yield regions that are on the defect, and such beside it that strike most of the picture."""
    for picture, heat, mask, kind, product in looked:
        for rank, region in enumerate(find_regions(heat, REGIONS)):
            hit = _on_defect(region, mask)
            if hit or rank == 0:
                features = features_of(view_of(Image.fromarray(picture), heat, region))
                drawn, told = where(*_middle(mask)) if hit else None, where(*region.middle)
                yield Seen(features, kind if hit else NOTHING, drawn, told, product)


def _on_defect(region: FoundRegion, mask: Bool[np.ndarray, "H W"]) -> bool:
    size = region.cells.shape[::-1]
    share = np.asarray(Image.fromarray(mask.astype(np.float32)).resize(size, Image.Resampling.BOX))
    near = ndimage.binary_dilation(share > 0.02, iterations=2)
    return bool((region.cells & near).sum() > NEAR * region.cells.sum())


def _middle(mask: Bool[np.ndarray, "H W"]) -> tuple[float, float]:
    row, column = (
        (index.mean() + 0.5) / n for index, n in zip(mask.nonzero(), mask.shape, strict=True)
    )
    return float(row), float(column)


def train(seen: list[Seen], seed: int) -> KindNet:
    """Learn kinds, each weighted as if there were as many of it, in half precision at the end."""
    torch.manual_seed(seed)
    features, kinds = features_and_kinds(seen)
    weight = 1 / torch.bincount(kinds, minlength=len(KINDS)).clamp_min(1)
    weight = (weight / weight.mean()).clamp(0.3, 3)
    net = KindNet()
    net.mean, net.deviation = features.mean(0), features.std(0) + LEAST_DEVIATION
    optimiser = torch.optim.AdamW(net.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(len(seen), (BATCH,))
        logits = net(features[rows])
        loss = F.cross_entropy(logits, kinds[rows], weight, label_smoothing=SMOOTHING)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    return net.half().float().eval()


def features_and_kinds(seen: list[Seen]) -> tuple[Float[Tensor, "n f"], Int[Tensor, " n"]]:
    """Return the features of all regions, and the numbers of their kinds."""
    kinds = [KINDS.index(each.kind) for each in seen]
    return torch.stack([each.features for each in seen]), torch.tensor(kinds)


def unseen_logits(seen: list[Seen], seed: int) -> Float[Tensor, "n k"]:
    """Return the logits of each region after learning from the products of other folds."""
    fold = torch.tensor([each.product % FOLDS for each in seen])
    logits = torch.zeros(len(seen), len(KINDS), dtype=torch.double)
    for number in range(FOLDS):
        kept = [each for each in seen if each.product % FOLDS != number]
        others = [each for each in seen if each.product % FOLDS == number]
        logits[fold == number] = logits_of(train(kept, seed), others)
    return logits


@torch.inference_mode()
def logits_of(net: KindNet, seen: list[Seen]) -> Float[Tensor, "n k"]:
    """Return the logits of regions."""
    return net(features_and_kinds(seen)[0]).double()  # type: ignore[no-any-return]


def calibrate(logits: Float[Tensor, "n k"], seen: list[Seen]) -> tuple[float, float]:
    """Return what logits are divided by, and the least chance of what is told."""
    kinds = features_and_kinds(seen)[1]
    trials = [float(2 ** (power / 8)) for power in range(-16, 17)]
    losses = [float(F.cross_entropy(logits / trial, kinds)) for trial in trials]
    temperature = trials[int(np.argmin(losses))]
    found = kinds != KINDS.index(NOTHING)
    highest = (logits[found] / temperature).softmax(1).max(1)
    told = torch.where(highest.indices == KINDS.index(NOTHING), 0, highest.values)
    return temperature, round(float(told.quantile(1 - ANSWERED)), 3)


def report(
    logits: Float[Tensor, "n k"], seen: list[Seen], temperature: float, least: float
) -> Iterator[str]:
    """Yield how good kinds, certainties and places are."""
    sure, number = (each.numpy() for each in (logits / temperature).softmax(1).max(1))
    kinds, nothing = features_and_kinds(seen)[1].numpy(), KINDS.index(NOTHING)
    found, told = kinds != nothing, (number != nothing) & (sure >= least)
    right, answered = number == kinds, told & found
    yield f"{found.sum()} defects found, of {answered.sum() / found.sum():.0%} the kind is told"
    recalls = []
    for kind in range(nothing):
        own = answered & (kinds == kind)
        recalls.append(right[own].mean() if own.any() else 0.0)
        several = f"{own.sum():4} told of {(kinds == kind).sum():4}"
        yield f"  {KINDS[kind]:16} {several}, {recalls[-1]:.2f} right"
    yield f"balanced accuracy of kinds where told: {np.mean(recalls):.3f}"
    for low, high in pairwise((0, 0.5, 0.7, 0.85, 1.01)):
        own = answered & (sure >= low) & (sure < high)
        if own.any():
            yield f"  {own.sum():4} told with {sure[own].mean():.2f}, {right[own].mean():.2f} right"
    yield f"of {(~found).sum()} regions beside defects, {told[~found].mean():.0%} are called one"
    pairs = [(each.drawn, each.told) for each in seen if each.drawn]
    exact = [[told == drawn for drawn, told in pairs if drawn == place] for place in PLACES]
    yield f"balanced accuracy of places: {np.mean([np.mean(each) for each in exact]):.3f}"


def main() -> None:
    """Draw, learn, calibrate, write and test."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--products", type=int, default=100)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    given = parser.parse_args()
    torch.set_num_threads(1)  # or sums, and the file with them, depend on the machine
    seen = list(regions_of(look_at_plain(given.seed, range(given.products))))
    temperature, least = calibrate(unseen_logits(seen, given.seed), seen)
    net = train(seen, given.seed)
    facts = {
        "kinds": KINDS,
        "data": {"products": given.products, "regions": len(seen)},
        "seed": given.seed,
        "temperature": temperature,
        "least": least,
        "versions": {name: version(name) for name in ("vlmad", "torch")},
    }
    halved = {name: tensor.half() for name, tensor in net.state_dict().items()}
    save_file(halved, given.out, {FACTS: json.dumps(facts)})  # one entry: their order is chance
    tested = list(regions_of(look_at_others(given.seed, range(TESTED))))
    for line in report(logits_of(net, tested), tested, temperature, least):
        print(line)


if __name__ == "__main__":
    main()
