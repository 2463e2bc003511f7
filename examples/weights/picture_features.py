"""What the frozen trunk sees in drawn pictures, kept in shards on disk.

A shard is made of some products' pictures and depends on nothing but their numbers and the seed.
The first one also says which mean and deviation each number of a patch has.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vlmad_tiny import _tiny_model as architecture

SIDE, GRID = architecture.IMAGE_SIZE, architecture.GRID
PRODUCTS_EACH = 50
"""In a shard."""
AT_ONCE = 2
"""Pictures through the trunk: the early maps of more would leave a processor's cache."""
LEAST_DEVIATION = 1e-3
STATISTICS = "statistics.safetensors"
Picture: TypeAlias = "tuple[np.ndarray[Any, Any], np.ndarray[Any, Any] | None]"
"""An image (h, w, 3) of 8 bits, and the mask (h, w) of its defect or None."""
DrawProduct: TypeAlias = Callable[[int, int], tuple[str, Sequence[Picture]]]
"""From a seed and a number to the product's name and its pictures."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Pictures as the towers see them."""

    features: Tensor
    """(n, 344, 15, 15), of half precision."""
    similarities: Tensor
    """(n, 225, 48), of half precision: how each patch differs from the others."""
    cover: Tensor
    """(n, 225), the share of each patch that is defective, 0 to 1."""
    product: Tensor
    """(n,), which of the names."""
    names: Sequence[str]


def squashed(pixels: np.ndarray[Any, Any]) -> Tensor:
    """Return an image as the model takes it (3, 240, 240)."""
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 127.5 - 1


def covered(mask: np.ndarray[Any, Any] | None) -> Tensor:
    """Return the share of each patch (225,) that a mask covers."""
    if mask is None:
        return torch.zeros(GRID * GRID)
    area = Image.fromarray(mask.astype(np.float32)).resize((GRID, GRID), Image.Resampling.BOX)
    return torch.from_numpy(np.array(area)).flatten()


@torch.inference_mode()
def features(stem: architecture.Stem, pictures: Sequence[Picture]) -> Tensor:
    """Return what the trunk sees in pictures (n, 344, 15, 15), in half precision."""
    batches = [pictures[i : i + AT_ONCE] for i in range(0, len(pictures), AT_ONCE)]
    some = (torch.stack([squashed(pixels) for pixels, _ in batch]) for batch in batches)
    return torch.cat([stem.features(pixels).half() for pixels in some]).contiguous()


@torch.inference_mode()
def similarities(stem: architecture.Stem, found: Tensor) -> Tensor:
    """Return each patch's differences to the others (n, 225, 48), not standardised."""
    parts = [stem.similarities(standardised(stem, some)) for some in found.split(16)]
    return torch.cat(parts).half()


def standardised(stem: architecture.Stem, found: Tensor) -> Tensor:
    """Return features with mean 0 and deviation 1 of drawn pictures."""
    return (found.float() - stem.mu[:, None, None]) / stem.sd[:, None, None]


def set_statistics(stem: architecture.Stem, folder: Path, found: Tensor | None = None) -> None:
    """Set mean and deviation of features and similarities, those of a file if there is one."""
    if found is not None and not (folder / STATISTICS).exists():
        every = found.float()
        deviation = every.std((0, 2, 3)).clamp_min(LEAST_DEVIATION)
        stem.mu.copy_(every.mean((0, 2, 3)))
        stem.sd.copy_(deviation)
        alike = similarities(stem, found).float()
        own = {"mu": stem.mu, "sd": deviation, "smu": alike.mean((0, 1)), "ssd": alike.std((0, 1))}
        save_file({name: tensor.clone() for name, tensor in own.items()}, folder / STATISTICS)
    for name, tensor in load_file(folder / STATISTICS).items():
        getattr(stem, name).copy_(tensor)


def write_shard(
    stem: architecture.Stem, draw: DrawProduct, number: int, folder: Path, seed: int
) -> None:
    """Draw the products of a shard and keep what the trunk sees, unless it is there already."""
    path = folder / f"shard-{number:03d}.safetensors"
    if path.exists():
        return
    first = number * PRODUCTS_EACH
    products = [draw(seed, first + each) for each in range(PRODUCTS_EACH)]
    pictures = [picture for _, own in products for picture in own]
    found = features(stem, pictures)
    set_statistics(stem, folder, found)
    of = [each for each, (_, own) in enumerate(products) for _ in own]
    tensors = {
        "features": found,
        "similarities": similarities(stem, found),
        "cover": torch.stack([covered(mask) for _, mask in pictures]),
        "product": torch.tensor(of),
    }
    fresh = path.with_suffix(".fresh")
    save_file(tensors, fresh, {"names": json.dumps([name for name, _ in products])})
    fresh.rename(path)


def read_shards(folder: Path) -> list[Shard]:
    """Return all shards of a folder, in order."""
    found = []
    for path in sorted(folder.glob("shard-*.safetensors")):
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            found.append(Shard(**tensors, names=json.loads(file.metadata()["names"])))
    return found
