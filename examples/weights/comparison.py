"""Make the network of the scorer `change`, from drawn products alone.

    python examples/weights/comparison.py --work work/

draws products, each with good pieces and pieces with a defect, lets the embedded trunk see them,
keeps what `vlmad_memory.comparison_channels` says of each picture beside none to three others of
its product, and trains the network on that. Shards of channels and the training's state lie in the
folder: a command that was stopped goes on from there, to the same weights.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from products.drawing import Picture, draw_set
from safetensors.torch import load_file, save_file
from torch import Tensor

from vlmad_memory._change import NETWORK
from vlmad_memory.comparison_channels import OWN, ImageCells, all_channels
from vlmad_memory.comparison_network import SLACK, ComparisonNetwork
from vlmad_tiny._tiny import LEVEL_WEIGHTS, WEIGHTS
from vlmad_tiny._trunk_levels import TrunkLevels

PRODUCTS, IN_SHARD, SEED = 600, 20, 0
STEPS, BATCH, RATE, WARM_UP, DECAY = 600, 32, 1.5e-3, 50, 0.02
COVERED = 0.05
"""Share of a cell that shows a defect from which on it is one; cells with less are left out."""
FOCAL, DICE, WHOLE = 6.0, 0.5, 0.3
TOP = 12
"""Cells whose mean stands for the picture."""
LEVELS = ("b4", "e5")
HELD_OUT = 16
"""One in so many products is not learned from."""


@cache
def trunk() -> TrunkLevels:
    """Return the embedded trunk."""
    return TrunkLevels(load_file(WEIGHTS), load_file(LEVEL_WEIGHTS))


@torch.inference_mode()
def cells_of(picture: Picture) -> ImageCells:
    """Return what the trunk sees of a picture, standardised."""
    pixels = torch.from_numpy(picture.image.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    seen = trunk()(pixels, LEVELS)
    return ImageCells(*(trunk().standardise(name, seen[name])[0] for name in LEVELS))


def covered(picture: Picture) -> Tensor:
    """Return the share of each cell that shows a defect."""
    rows, columns = 20, 20
    height, width = picture.mask.shape
    tiles = picture.mask.reshape(rows, height // rows, columns, width // columns)
    return torch.from_numpy(tiles.mean((1, 3))).half()


@torch.inference_mode()
def examples_of(seed: int, number: int) -> Iterator[tuple[Tensor, Tensor, int]]:
    """Yield channels, covered cells and the number of references of one product's pictures.

    The last two of six pictures are the two before them with a defect; each of these four is seen
    alone, and beside one to three others, never beside its twin.
    """
    pictures = draw_set(seed, number)
    cells, rng = [cells_of(picture) for picture in pictures], np.random.default_rng([seed, number])
    for index, other in ((2, 3), (3, 2), (4, 3), (5, 2)):
        beside = rng.permutation([0, 1, other])[: rng.choice([1, 1, 2, 3])]
        for references in ([], [cells[each] for each in beside]):
            channels = all_channels(cells[index], references).half()
            yield channels, covered(pictures[index]), len(references)


def make_shard(folder: Path, seed: int, first: int) -> None:
    """Write the examples of some products, unless they are there."""
    path = folder / f"channels-{seed}-{first:05d}.safetensors"
    if path.exists():
        return
    torch.set_num_threads(1)
    numbers = [n for n in range(first, first + IN_SHARD) for _ in range(8)]
    found = [each for n in range(first, first + IN_SHARD) for each in examples_of(seed, n)]
    channels, masks, references = zip(*found, strict=True)
    made = {
        "channels": torch.stack(channels),
        "covered": torch.stack(masks),
        "references": torch.tensor(references),
        "product": torch.tensor(numbers),
    }
    save_file(made, path.with_suffix(".part"))
    os.replace(path.with_suffix(".part"), path)
    print(f"{path.name}: {len(found)} examples", flush=True)


def make_shards(folder: Path, seed: int, products: int, processes: int) -> dict[str, Tensor]:
    """Make what is missing and return all examples."""
    firsts = range(0, products, IN_SHARD)
    with ProcessPoolExecutor(processes) as pool:
        list(pool.map(partial(make_shard, folder, seed), firsts))
    names = [folder / f"channels-{seed}-{first:05d}.safetensors" for first in firsts]
    shards = [load_file(name) for name in names]
    return {name: torch.cat([shard[name] for shard in shards]) for name in shards[0]}


def standardise(network: ComparisonNetwork, channels: Tensor, references: Tensor) -> None:
    """Set the mean and deviation of each channel, of those beside references where there are."""
    logs = (channels.float() + SLACK).log()
    beside = logs[references > 0]
    for index in range(logs.shape[1]):
        some = (logs if index < len(OWN) else beside)[:, index].flatten(1)
        network.mean[index], network.deviation[index] = some.mean(), some.std() + 1e-3
        network.spread[index] = (some - some.mean(1, keepdim=True)).std() + 1e-2


def turned(examples: Tensor, way: int) -> Tensor:
    """Return grids in one of eight ways turned and mirrored."""
    examples = examples.flip(-1) if way & 1 else examples
    examples = examples.flip(-2) if way & 2 else examples
    return examples.transpose(-1, -2) if way & 4 else examples


def loss_of(odds: Tensor, covered: Tensor) -> Tensor:
    """Return focal and Dice loss of cells, and the cross-entropy of pictures."""
    defect = (covered > COVERED).float().flatten(1)
    counted = ((covered <= 0) | (covered > COVERED)).float().flatten(1)
    odds = odds.flatten(1)
    entropy = F.binary_cross_entropy_with_logits(odds, defect, reduction="none")
    found = odds.sigmoid()
    right = torch.where(defect > 0, found, 1 - found)
    focal = ((1 - right) ** 2 * entropy * counted).mean()
    both = (found * defect * counted).sum(1)
    either = ((found + defect) * counted).sum(1)
    dice = (1 - (2 * both + 1) / (either + 1)).mean()
    highest = odds.topk(TOP, 1).values.mean(1)
    whole = F.binary_cross_entropy_with_logits(highest, defect.amax(1))
    return FOCAL * focal + DICE * dice + WHOLE * whole


def rate_at(step: int, steps: int) -> float:
    """Return the learning rate of a step: it rises in a line, then falls like a cosine."""
    falling = 0.5 + 0.5 * math.cos(math.pi * step / steps)
    return RATE * min(1, (step + 1) / WARM_UP) * falling + 1e-6


def train(examples: dict[str, Tensor], work: Path, seed: int, steps: int) -> ComparisonNetwork:
    """Train on all but the held-out products; the running mean of the weights is returned."""
    learned = (examples["product"] % HELD_OUT != 0).nonzero()[:, 0]
    torch.manual_seed(seed)
    network = ComparisonNetwork()
    some = learned[::7]  # examples of a product are eight
    standardise(network, examples["channels"][some], examples["references"][some])
    mean = torch.optim.swa_utils.AveragedModel(network, use_buffers=True, multi_avg_fn=
        torch.optim.swa_utils.get_ema_multi_avg_fn(0.99))  # fmt: skip
    optimizer = torch.optim.AdamW(network.parameters(), RATE, (0.9, 0.98), weight_decay=DECAY)
    of = f"{seed}-{int(examples['product'].max()) + 1}-{steps}"
    state, begin = work / f"training-{of}.pt", 0
    parts: dict[str, Any] = {"network": network, "mean": mean, "optimizer": optimizer}
    if state.exists():
        kept = torch.load(state, weights_only=True)
        begin = kept["step"]
        for name, part in parts.items():
            part.load_state_dict(kept[name])
    for step in range(begin, steps):
        for group in optimizer.param_groups:
            group["lr"] = rate_at(step, steps)
        draw = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = learned[torch.randint(len(learned), (BATCH,), generator=draw)]
        way = int(torch.randint(8, (), generator=draw))
        channels = turned(examples["channels"][chosen].float(), way)
        odds = network(channels, examples["references"][chosen])
        loss = loss_of(odds, turned(examples["covered"][chosen].float(), way))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        mean.update_parameters(network)
        if (step + 1) % 100 == 0:
            kept = {name: part.state_dict() for name, part in parts.items()} | {"step": step + 1}
            torch.save(kept, state.with_suffix(".part"))
            os.replace(state.with_suffix(".part"), state)
            print(f"step {step + 1} of {steps}: loss {loss.item():.3f}", flush=True)
    network.load_state_dict(mean.module.state_dict())
    return network.eval()


@torch.inference_mode()
def judge(network: ComparisonNetwork, examples: dict[str, Tensor]) -> Iterator[str]:
    """Yield how well pictures of held-out products are told, by the number of references."""
    from sklearn.metrics import roc_auc_score

    held = examples["product"] % HELD_OUT == 0
    for count in range(4):
        rows = (held & (examples["references"] == count)).nonzero()[:, 0].split(64)
        told, truth = [], []
        for some in rows:
            odds = network(examples["channels"][some].float(), examples["references"][some])
            told.append(odds.flatten(1).topk(TOP, 1).values.mean(1))
            truth.append(examples["covered"][some].flatten(1).amax(1) > COVERED)
        auroc = roc_auc_score(torch.cat(truth), torch.cat(told))
        yield f"{count} references: image AUROC {auroc:.3f} of held-out pictures"


def main() -> None:
    """Make the file and say how good it is on products that it did not learn from."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of what is done")
    parser.add_argument("--products", type=int, default=PRODUCTS)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=NETWORK)
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    examples = make_shards(given.work, given.seed, given.products, given.processes)
    torch.set_num_threads(1)  # sums over threads differ in their last digits
    network = train(examples, given.work, given.seed, given.steps)
    held = list(judge(network, examples))
    facts = {
        "products": f"{given.products} of examples/weights/products, seed {given.seed}",
        "training": f"{given.steps} steps of {BATCH}, seed {given.seed}",
        "held out": held,
        "versions": {name: version(name) for name in ("torch", "numpy", "scipy")},
        "licence": "Apache-2.0",
    }
    given.out.parent.mkdir(exist_ok=True)
    halved = {name: tensor.half() for name, tensor in network.state_dict().items()}
    save_file(halved, given.out, {"facts": json.dumps(facts)})  # one entry: their order is chance
    print(*held, given.out, sep="\n")


if __name__ == "__main__":
    main()
