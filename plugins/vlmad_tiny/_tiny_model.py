"""The architecture of the embedded model; its weights are a file of their own.

It is open_clip's CLIP with one exchange: where a large CLIP cuts the image into patches with a
convolution, this one puts a frozen convolutional trunk and a stem that also gives each patch
its similarity to the others of its image, and how rare it is among them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import nn

from vlmad_tiny._efficientnet import EfficientNetLite0, fold_norms

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

IMAGE_SIZE = 240
PATCH = 16
GRID = IMAGE_SIZE // PATCH
VISION = {"width": 192, "layers": 4, "head_width": 64}
TEXT = {"width": 128, "layers": 3, "heads": 4, "context_length": 77, "vocab_size": 49_408}
EMBEDDING = 256

FEATURE_GROUPS = ((0, 112), (112, 272), (272, 344))
"""Channels of the trunk's strides 16, 8 and 4."""
TRUNK_WIDTH = FEATURE_GROUPS[-1][1]
NEIGHBOURS = (1, 3, 8, 20, 60)
"""The nearest other patches whose distances a patch gets, by rank."""
IMAGES_AT_ONCE = 2
"""Through the stem on a processor: the early maps of more would leave its cache."""
RIDGE = 0.003
"""Added to every variance of an image's patches."""
SIMILARITIES = 2 * len(FEATURE_GROUPS) * (len(NEIGHBOURS) + 3)


def build_model() -> Any:
    """Return the untrained model, an open_clip CLIP whose `conv1` is a `Stem`."""
    from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg

    vision = CLIPVisionCfg(image_size=IMAGE_SIZE, patch_size=PATCH, **VISION)
    model = CLIP(EMBEDDING, vision, CLIPTextCfg(**TEXT))
    model.visual.conv1 = Stem(VISION["width"])
    return model


def make_ready(model: Any) -> None:
    """Make a trained model as fast as it can be, in place; it cannot be trained any more.

    Each convolution of the trunk takes in the batch norm after it, and images are kept pixel
    by pixel, as its many 1 x 1 convolutions read them.
    """
    trunk = model.visual.conv1.trunk
    fold_norms(trunk)
    trunk.to(memory_format=torch.channels_last)


class Stem(nn.Module):
    """From pixels to the tokens of a 15 x 15 grid.

    Args:
        width: of the transformer.
    """

    mu: Tensor
    sd: Tensor
    smu: Tensor
    ssd: Tensor
    near: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.trunk = EfficientNetLite0()
        self.register_buffer("mu", torch.zeros(TRUNK_WIDTH))
        self.register_buffer("sd", torch.ones(TRUNK_WIDTH))
        self.register_buffer("smu", torch.zeros(SIMILARITIES))
        self.register_buffer("ssd", torch.ones(SIMILARITIES))
        self.lin = nn.Conv2d(TRUNK_WIDTH, width, 1)
        self.sl = nn.Sequential(nn.Conv2d(SIMILARITIES, 64, 1), nn.GELU(), nn.Conv2d(64, width, 1))
        self.register_buffer("near", _near_patches(), persistent=False)

    def forward(self, pixels: Float[Tensor, "b 3 240 240"]) -> Float[Tensor, "b w 15 15"]:
        """Return the patch tokens, still in the image's shape."""
        at_once = IMAGES_AT_ONCE if pixels.device.type == "cpu" else len(pixels)
        return torch.cat([self._tokens(some) for some in pixels.split(at_once)])

    def _tokens(self, pixels: Float[Tensor, "b 3 240 240"]) -> Float[Tensor, "b w 15 15"]:
        features = (self.features(pixels) - _per_channel(self.mu)) / _per_channel(self.sd)
        similar = (self.similarities(features) - self.smu) / self.ssd
        similar = similar.transpose(1, 2).unflatten(2, (GRID, GRID))
        return self.lin(features) + self.sl(similar)  # type: ignore[no-any-return]

    def features(self, pixels: Float[Tensor, "b 3 240 240"]) -> Float[Tensor, "b 344 15 15"]:
        """Return the trunk's features of all strides on the coarsest grid."""
        by_pixel = pixels.contiguous(memory_format=torch.channels_last)
        _, stride_4, stride_8, _, stride_16 = self.trunk(by_pixel)
        pooled = [F.avg_pool2d(stride_4, 4), F.max_pool2d(stride_4, 4), -F.max_pool2d(-stride_4, 4)]
        return torch.cat([stride_16, F.pixel_unshuffle(stride_8, 2), *pooled], dim=1)

    def similarities(self, features: Float[Tensor, "b 344 15 15"]) -> Float[Tensor, "b p 48"]:
        """Return how each patch differs from the others of its image.

        For each group of channels, as logarithms, as they are and with the image's mean removed:
        the distances to the nearest patches outside its neighbourhood of the ranks `NEIGHBOURS`,
        that to the mean, and the rarity of unit patches and of patches as they are.
        """
        tokens = features.flatten(2).transpose(1, 2)
        found = []
        for start, stop in FEATURE_GROUPS:
            group = tokens[..., start:stop]
            width = math.sqrt(stop - start)
            distances = _distances(group) / width
            distances = distances.masked_fill(self.near, 1e4)
            nearest = distances.topk(max(NEIGHBOURS), largest=False).values
            ranked = nearest[..., [rank - 1 for rank in NEIGHBOURS]]
            to_mean = (group - group.mean(1, keepdim=True)).pow(2).mean(-1, keepdim=True).sqrt()
            rare = [_rarity(F.normalize(group, dim=-1)), _rarity(group / width)]
            logs = torch.log(torch.cat([ranked, to_mean, *rare], dim=-1) + 1e-3)
            found += [logs, logs - logs.mean(1, keepdim=True)]
        return torch.cat(found, dim=-1)


def _distances(tokens: Float[Tensor, "b p c"]) -> Float[Tensor, "b p p"]:
    """Return the distances between the tokens of each image.

    A matrix product's rounding, which differs with the batch, would be all that is left of
    them in flat parts of an image. So they are taken one by one; a processor is five times as
    fast with a product in float64 from the middle of the tokens, where nothing large cancels.
    """
    if tokens.device.type != "cpu":
        return torch.cdist(tokens, tokens, compute_mode="donot_use_mm_for_euclid_dist")
    centred = tokens.double()
    centred = centred - centred.mean(1, keepdim=True)
    return torch.cdist(centred, centred, compute_mode="use_mm_for_euclid_dist").float()


def _rarity(tokens: Float[Tensor, "b p c"]) -> Float[Tensor, "b p 1"]:
    """Return the squared Mahalanobis distance of each token to all of its image, times `RIDGE`."""
    centred = tokens.double() if tokens.device.type == "cpu" else tokens
    centred = centred - centred.mean(1, keepdim=True)
    covariance = centred.mT @ centred / tokens.shape[1]
    same = torch.eye(covariance.shape[-1]).to(covariance)
    triangle = torch.linalg.cholesky(covariance + RIDGE * same)
    whitened = torch.linalg.solve_triangular(triangle, centred.mT, upper=False)
    found: Tensor = RIDGE * whitened.square().sum(1).to(tokens)[..., None]
    return found


def _per_channel(values: Tensor) -> Tensor:
    return values[:, None, None]


def _near_patches() -> Tensor:
    """Return which patches (p, p) lie within each other's 3 x 3 neighbourhood."""
    rows, columns = torch.meshgrid(torch.arange(GRID), torch.arange(GRID), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=1)
    return (places[:, None] - places[None]).abs().amax(-1) <= 1
