"""The image tower: the first number of its embeddings says how bad, the others what is shown.

It learns to agree with the sentences of a text tower that learns no more: the class token of an
image, the patches, and windows of 2 x 2 and 3 x 3 patches with a class token of their own. They
learn not only what is defective but also how rare it is within its image, which holds for products
that are unlike the drawn ones (docs/log.md).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from descent import Descent
from phrases import Vocabulary, in_templates
from picture_features import GRID, Shard, standardised
from picture_pairs import DEFECTIVE, Pairs, draw_pairs, noisy, products_of, turned
from torch import Tensor, nn

from vlmad.regions import window_patches
from vlmad_openclip.language import TextLoop, clip_tokenizer
from vlmad_tiny import _tiny_model as architecture
from vlmad_train.losses import dice_loss, focal_loss, image_loss, side_logits

STEPS, RATE, PRODUCTS = 320, 1e-3, 12
KEPT, WHOLE = 64, 0.9
"""Patches of an image that a step looks at, and after which share of the steps it looks at all."""
WINDOWS, WINDOWS_EACH = (2, 3), 2
ENSEMBLES, SENTENCES = 8, 6
"""Of each name: ensembles of good and of bad sentences, and how many sentences each has."""
WEIGHTS = {"image": 1.0, "pair": 0.5, "focal": 8.0, "dice": 0.5, "window": 0.5}
WEIGHTS |= {"patch": 1.0, "name": 0.1, "apart": 1.0}
NAME_TEMPERATURE = 0.1
RARE, DEFECT = 3.0, 1.0
"""Of the log-odds that are learned: rarity in deviations, and whether there is a defect."""
LENGTHS, FINER, POWER = 0.3, 0.3, 6
"""Rarity as the scorer `rarity` has it: the weights of patches as they are beside unit ones, and of
the finer stride beside the coarsest; the exponent of the mean over patches."""


class RarityScale:
    """How rare patches, windows and images are within their image, in deviations of drawn ones.

    Args:
        shards: of drawn pictures.
    """

    def __init__(self, shards: Sequence[Shard]) -> None:
        cells = torch.cat([self._cells(shard.similarities) for shard in shards])
        self.members = {size: window_patches((GRID, GRID), size) for size in (1, *WINDOWS, GRID)}
        found = {size: _power_mean(cells[:, own]) for size, own in self.members.items()}
        self.usual = {size: (values.mean(), values.std()) for size, values in found.items()}

    def __call__(self, similarities: Tensor, size: int = GRID) -> Tensor:
        """Return the rarity of all windows of a size (b, r)."""
        mean, deviation = self.usual[size]
        found = _power_mean(self._cells(similarities)[:, self.members[size]])
        return (found - mean) / deviation

    def _cells(self, similarities: Tensor) -> Tensor:
        """Return the logarithm of the rarity of each patch (b, 225)."""
        each = architecture.SIMILARITIES // len(architecture.FEATURE_GROUPS)
        first = len(architecture.NEIGHBOURS) + 1  # after the distances of a group
        groups = similarities.float().unflatten(2, (-1, each))[..., first : first + 2]
        units, lengths = groups[..., 0], groups[..., 1]
        both = (units + LENGTHS * lengths) / (1 + LENGTHS)
        found: Tensor = both[..., 0] + FINER * both[..., 1]
        return found


def _power_mean(logarithms: Tensor) -> Tensor:
    return ((POWER * logarithms).logsumexp(-1) - math.log(logarithms.shape[-1])) / POWER


def learned_odds(rarity: Tensor, defective: Tensor) -> Tensor:
    """Return the probability of the bad side that is to be learned."""
    return torch.sigmoid(RARE * rarity + DEFECT * (2 * defective.float() - 1))


class Sides:
    """Ensembles of sentences by name, embedded once.

    Args:
        model: its text tower has learned.
        own: what sentences are made of.
        names: of products.
        rng: chooses states and templates.
    """

    def __init__(
        self, model: Any, own: Vocabulary, names: Sequence[str], rng: np.random.Generator
    ) -> None:
        self.numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        loop = TextLoop(model, clip_tokenizer(architecture.TEXT["context_length"]))
        states = [
            [s for s, p in zip(own.states, own.polarity, strict=True) if p == side]
            for side in (-1, 1)
        ]
        count = ENSEMBLES * SENTENCES
        phrases = [
            state.format(name)
            for name in self.numbers
            for side in states
            for state in rng.choice(side, count)
        ]
        with torch.inference_mode():
            found = F.normalize(loop.encode(in_templates(own, phrases, rng)), dim=-1)
            shown = F.normalize(loop.encode(list(self.numbers)), dim=-1)
        table = found.view(len(self.numbers), 2, ENSEMBLES, SENTENCES, -1).mean(3)
        self.table = F.normalize(table, dim=-1).clone()
        self.shown = F.normalize(shown[:, 1:], dim=-1).clone()

    def draw(self, names: Sequence[str], rng: np.random.Generator) -> Tensor:
        """Return an ensemble of either side for each name (n, 2, 256)."""
        rows = torch.tensor([self.numbers[name] for name in names])
        return self.table[rows, :, torch.from_numpy(rng.integers(ENSEMBLES, size=len(names)))]

    def contents(self, names: Sequence[str]) -> Tensor:
        """Return what the names alone say (n, 255)."""
        return self.shown[[self.numbers[name] for name in names]]


def embed(visual: Any, pairs: Pairs) -> Tensor:
    """Return class token and patches (b, 226, 192) before the first block."""
    stem = visual.conv1
    seen = noisy(standardised(stem, pairs.features), 1)
    alike = noisy((pairs.similarities.float() - stem.smu) / stem.ssd, 2)
    alike = alike.mT.unflatten(2, (GRID, GRID))
    patches = (stem.lin(seen) + stem.sl(alike)).flatten(2).mT
    first = visual.class_embedding.expand(len(patches), 1, -1)
    return visual.ln_pre(torch.cat([first, patches], 1) + visual.positional_embedding)  # type: ignore[no-any-return]


def choose_patches(cover: Tensor, number: int, rng: np.random.Generator) -> Tensor:
    """Return which patches of each image are looked at (b, number), defective ones first."""
    chance = torch.from_numpy(rng.random(cover.shape)).float()
    return (chance + (cover > DEFECTIVE)).topk(number, dim=1).indices


def encode(visual: Any, tokens: Tensor, kept: Tensor) -> Tensor:
    """Return unit embeddings (b, 1 + k, 256) of the class token and some patches (b, k)."""
    rows = torch.arange(len(tokens))[:, None]
    some = visual.transformer(tokens[rows, F.pad(kept + 1, (1, 0))])
    return F.normalize(visual.ln_post(some) @ visual.proj, dim=-1)


def margins(embeddings: Tensor, sides: Tensor) -> Tensor:
    """Return how much more bad than good embeddings are (b, ...)."""
    logits = side_logits(embeddings, sides)
    return logits[..., 1] - logits[..., 0]


def window_loss(
    visual: Any,
    tokens: Tensor,
    pairs: Pairs,
    rarity: RarityScale,
    sides: Tensor,
    rng: np.random.Generator,
) -> Tensor:
    """Return the cross-entropy of some windows of every image, near half of them defective."""
    losses = []
    for size in WINDOWS:
        members = rarity.members[size]
        cover = pairs.cover[:, members].amax(2)  # b r
        chance = torch.from_numpy(rng.random(cover.shape)).float()
        liked = chance + torch.where(cover > DEFECTIVE, 1.0, 0.0) * (chance > 0.5)
        chosen = liked.topk(WINDOWS_EACH, dim=1).indices  # b n
        repeated = tokens.repeat_interleave(WINDOWS_EACH, 0)
        found = encode(visual, repeated, members[chosen].flatten(0, 1))[:, 0]
        rare = rarity(pairs.similarities, size).gather(1, chosen)
        target = learned_odds(rare, cover.gather(1, chosen) > DEFECTIVE)
        own = margins(found.unflatten(0, chosen.shape), sides)
        losses.append(F.binary_cross_entropy_with_logits(own, target))
    return torch.stack(losses).sum()


def name_loss(shown: Tensor, names: Sequence[str], sides: Sides) -> Tensor:
    """Return the cross-entropy of what images show with the names in a step."""
    known = list(dict.fromkeys(names))
    target = torch.tensor([known.index(name) for name in names])
    cosines = F.normalize(shown, dim=-1) @ sides.contents(known).T
    return F.cross_entropy(cosines / NAME_TEMPERATURE, target)


def image_losses(
    visual: Any,
    pairs: Pairs,
    rarity: RarityScale,
    sides: Sides,
    kept: int,
    rng: np.random.Generator,
) -> dict[str, Tensor]:
    """Return the weighted terms of the loss of a step.

    `pair`: of one product, the defective image is worse. `apart`: what is shown of it is the same.
    """
    own = sides.draw(pairs.names, rng)
    tokens = embed(visual, pairs)
    chosen = choose_patches(pairs.cover, kept, rng)
    found = encode(visual, tokens, chosen)
    image = found[:, 0]
    good, bad = margins(image[:, None], own).flatten().chunk(2)
    target = learned_odds(rarity(pairs.similarities)[:, 0], pairs.bad)
    logits = side_logits(found[:, 1:], own)
    maps = logits.softmax(-1).mT[:, :, None]  # b 2 1 k
    defective = pairs.cover.gather(1, chosen) > DEFECTIVE
    rare = rarity(pairs.similarities, 1).gather(1, chosen) - 1  # most patches are to be good
    shown_good, shown_bad = image[:, 1:].chunk(2)
    terms = {
        "image": image_loss(image, own, target),
        "pair": F.softplus(good - bad).mean(),
        "focal": focal_loss(maps, defective[:, None]),
        "dice": dice_loss(maps[:, 1], defective[:, None]),
        "patch": F.binary_cross_entropy_with_logits(
            logits[..., 1] - logits[..., 0], learned_odds(rare, defective)
        ),
        "window": window_loss(visual, tokens, pairs, rarity, own, rng),
        "name": name_loss(image[:, 1:], pairs.names, sides),
        "apart": (shown_good - shown_bad).pow(2).sum(1).mean(),
    }
    return {name: WEIGHTS[name] * term for name, term in terms.items()}


def train_image(
    model: Any,
    own: Vocabulary,
    shards: Sequence[Shard],
    work: Path,
    seed: int = 0,
    steps: int = STEPS,
) -> None:
    """Train the image tower of a model, in place; a folder keeps what it has come to."""
    products, rarity = products_of(shards), RarityScale(shards)
    names = [product.name for product in products]
    sides = Sides(model, own, names, np.random.default_rng(seed))
    visual = model.visual
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("visual.") and ".trunk." not in name)
    descent = Descent(nn.ModuleDict({"visual": visual}), steps, RATE, work / "image.state", seed)
    print(f"{len(products)} products, {len(sides.numbers)} names", flush=True)
    for number, rng in descent:
        pairs = turned(draw_pairs(shards, products, PRODUCTS, rng), rng)
        kept = KEPT if number < WHOLE * steps else GRID * GRID
        descent.step(image_losses(visual, pairs, rarity, sides, kept, rng))
    model.requires_grad_(False)
