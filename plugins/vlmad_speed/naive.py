"""Windows without any saving: what the encodings of a backbone are compared with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from vlmad.regions import window_patches

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float
    from torch import Tensor


def naive_features(
    visual: Any, pixels: Float[Tensor, "b 3 h w"], sizes: Sequence[int]
) -> list[Tensor]:
    """Return class token, window class tokens of each size, and normed patches.

    Every window goes through open_clip's own blocks as an image of its own, all those of a
    size at once, which is the way that WinCLIP describes.

    Args:
        visual: open_clip's VisionTransformer.
        pixels: of the size that it was made for.
        sizes: of the windows, in patches.
    """
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(patches), 1, -1)
    tokens = torch.cat([first, patches], dim=1) + visual.positional_embedding
    image = _through(visual, tokens)
    windows = []
    for size in sizes:
        members = 1 + window_patches(visual.grid_size, size)
        members = torch.cat([torch.zeros(len(members), 1, dtype=torch.long), members], dim=1)
        encoded = _through(visual, tokens[:, members.to(tokens.device)].flatten(0, 1))
        windows.append((encoded[:, 0] @ visual.proj).unflatten(0, (len(tokens), -1)))
    return [image[:, 0] @ visual.proj, *windows, image[:, 1:]]


def _through(visual: Any, tokens: Float[Tensor, "b t w"]) -> Float[Tensor, "b t w"]:
    tokens = visual.ln_pre(tokens)
    for block in visual.transformer.resblocks:
        tokens = block(tokens)
    return visual.ln_post(tokens)  # type: ignore[no-any-return]
