"""One loop over the blocks of a CLIP's vision tower, for every backbone of open_clip's classes.

The loop runs the model's own layers in the model's own order, but reads what requests ask for
on the way and lets an attention modifier take the place of a block's attention, or write a
second path beside it. Nothing is patched, hooked or left behind on the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from vlmad.errors import WeightsError
from vlmad.regions import tile_boxes, window_patches
from vlmad.types import ClassToken, Level, LevelSpec, Patches, Tiles, VisualFeatures, Windows
from vlmad_openclip._blocks import merge_heads, project_in, run_block, run_last_block, split_heads
from vlmad_openclip._shared_windows import SharedWindows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.parts import Attention
    from vlmad.types import ImageBatch, Preprocessing, Request

TOKENS_ON_CPU, TOKENS_ON_GPU = 2048, 32_768
"""How many tokens go through the blocks together.

It bounds the memory. On a processor it also keeps what lies between two matrix products in
the cache, and below the size from which each allocation costs fresh pages; a GPU is only busy
with many.
"""
CROPS_AT_ONCE = 16


def check_vision(visual: nn.Module) -> None:
    """Refuse a vision tower that the loop would run wrongly.

    Raises:
        WeightsError: it is no plain open_clip VisionTransformer with a class token.
    """
    from open_clip.transformer import ResidualAttentionBlock, VisionTransformer

    if not isinstance(visual, VisionTransformer):
        raise WeightsError(
            f"the vision tower is a {type(visual).__name__}; only open_clip's VisionTransformer "
            "has the class token and patches that windows and patch features are made of"
        )
    plain = all(isinstance(b, ResidualAttentionBlock) for b in visual.transformer.resblocks)
    if visual.attn_pool is not None or visual.pool_type != "tok" or not plain:
        raise WeightsError(
            "the vision tower pools by attention or average, or has custom blocks; "
            "only a class token and plain blocks are supported"
        )


def blocks_as_levels(depth: int, grid: tuple[int, int], width: int) -> dict[str, LevelSpec]:
    """Return the levels of a vision transformer: its blocks, by their numbers from 1."""
    return {str(number): LevelSpec(grid, width) for number in range(1, depth + 1)}


class VisionLoop:
    """A vision transformer, run block by block.

    Args:
        visual: open_clip's VisionTransformer, never modified.
        grid: rows and columns of patches at the size in use.
        positions: position embeddings (1 + p, w) for that grid.
    """

    def __init__(self, visual: Any, grid: tuple[int, int], positions: Float[Tensor, "t w"]) -> None:
        self.visual, self.grid, self.positions = visual, grid, positions
        self.blocks = list(visual.transformer.resblocks)
        on_cpu = positions.device.type == "cpu"
        self.tokens_at_once = TOKENS_ON_CPU if on_cpu else TOKENS_ON_GPU

    def encode(
        self,
        batch: ImageBatch,
        preprocessing: Preprocessing,
        requests: Sequence[Request],
        attention: Attention,
    ) -> VisualFeatures:
        """Answer the requests; see `vlmad.Backbone.encode`."""
        layers = {r: Patches(int(r.name), stage="raw") for r in requests if isinstance(r, Level)}
        plain = [request for request in requests if not isinstance(request, Tiles | Level)]
        whole = list(dict.fromkeys([*plain, *layers.values()]))
        answers = self._whole(batch.pixels(preprocessing), whole, attention) if whole else {}
        answers |= {level: answers[same].unflatten(1, self.grid) for level, same in layers.items()}
        for request in requests:
            if isinstance(request, Tiles):
                answers[request] = self._tiles(batch, preprocessing, request, attention)
        ordered = {request: answers[request] for request in requests}
        return VisualFeatures(ordered, self.grid, preprocessing.size)

    def embed(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b t w"]:
        """Return class token and patches with their positions, after the first norm."""
        patches = self.visual.conv1(pixels).flatten(2).transpose(1, 2)  # b p w
        first = self.visual.class_embedding.expand(len(patches), 1, -1)
        return self.visual.ln_pre(torch.cat([first, patches], dim=1) + self.positions)  # type: ignore[no-any-return]

    def _whole(
        self, pixels: Float[Tensor, "b 3 h w"], requests: Sequence[Request], attention: Attention
    ) -> dict[Request, Tensor]:
        """Answer the requests for whole images, a few images at a time."""
        pixels = pixels.to(self.positions.device)
        sizes = {r.size for r in requests if isinstance(r, Windows) and r.encoding == "shared"}
        shared = SharedWindows(self.grid, sorted(sizes), pixels.device)
        parts = []
        for some in pixels.split(max(1, self.tokens_at_once // shared.length)):
            tokens = self.embed(some)
            exact = self._exact_windows(tokens, requests, attention)
            parts.append(self._pass(tokens, shared, requests, attention) | exact)
        return {r: torch.cat([answers[r] for answers in parts]) for r in requests}

    def _pass(
        self,
        tokens: Float[Tensor, "b t w"],
        shared: SharedWindows,
        requests: Sequence[Request],
        attention: Attention,
    ) -> dict[Request, Tensor]:
        """Answer for class token, patches and shared windows from one pass over all tokens."""
        patches = {r for r in requests if isinstance(r, Patches)}
        classes = {r for r in requests if isinstance(r, ClassToken)}
        windows = {r for r in requests if isinstance(r, Windows) and r.encoding == "shared"}
        answers: dict[Request, Tensor] = {}
        if not patches and not windows:
            last = self._class_token(tokens, attention) if classes else tokens
            return answers | {r: self._project(last, r.normed) for r in classes}
        for layer, plain, beside in self._layers(shared.join(tokens), attention, shared):
            for request in patches:
                if request.layer == layer:
                    path = beside if request.path == "beside" else plain[:, : shared.plain]
                    answers[request] = self._stage(path[:, 1:], request.stage)
        answers |= {r: self._project(plain[:, 0], r.normed) for r in classes}
        answers |= {r: self._project(shared.of_size(r.size, plain), r.normed) for r in windows}
        return answers

    def _layers(
        self, tokens: Float[Tensor, "b j w"], attention: Attention, shared: SharedWindows
    ) -> Iterator[tuple[int, Float[Tensor, "b j w"], Float[Tensor, "b t w"]]]:
        """Yield after each block its number and both paths; 0 is before the first block.

        Where attention acts beside, the second path gathers what the modified attention
        makes of the plain stream, without feed-forward (AnomalyCLIP, section 3.3); until
        its first block, and without such attention, it is the plain stream.
        """
        acts = attention.blocks(len(self.blocks))
        writes_beside = attention.path == "beside" and len(acts) > 0
        stream = tokens
        beside = tokens[:, : shared.plain]
        yield 0, stream, beside
        for index, block in enumerate(self.blocks):
            qkv = project_in(block, stream)
            mix = attention.mix if index in acts and not writes_beside else None
            stream = run_block(block, stream, shared.attention(mix), qkv)
            if writes_beside and index in acts:  # last: a mix that writes to what it is given
                plain = split_heads(block, beside, qkv[:, : shared.plain])  # spoils its own path
                beside = beside + merge_heads(block, attention.mix(*plain))
            if not writes_beside or index < acts.start:
                beside = stream[:, : shared.plain]
            yield index + 1, stream, beside

    def _exact_windows(
        self, tokens: Float[Tensor, "b t w"], requests: Sequence[Request], attention: Attention
    ) -> dict[Request, Float[Tensor, "b r d"]]:
        """Run each window of patches, with the class token and at its own place, by itself.

        The first block's queries, keys and values are each token's own: they are computed
        once for all windows of all sizes.
        """
        windows = {r for r in requests if isinstance(r, Windows) and r.encoding == "exact"}
        if not windows:
            return {}
        qkv = project_in(self.blocks[0], tokens)
        sizes = {r.size for r in windows}
        encoded = {size: self._windows_of(size, tokens, qkv, attention) for size in sizes}
        return {r: self._project(encoded[r.size], r.normed) for r in windows}

    def _windows_of(
        self,
        size: int,
        tokens: Float[Tensor, "b t w"],
        qkv: Float[Tensor, "b t 3w"],
        attention: Attention,
    ) -> Float[Tensor, "b r w"]:
        patches = window_patches(self.grid, size).to(tokens.device)  # r k
        members = F.pad(patches + 1, (1, 0))  # r 1+k; token 0 is the class token
        at_once = max(1, self.tokens_at_once // members[0].numel() // len(tokens))
        encoded = []
        for chunk in members.split(at_once):
            first = qkv[:, chunk].flatten(0, 1)
            last = self._class_token(tokens[:, chunk].flatten(0, 1), attention, first)
            encoded.append(last.unflatten(0, (len(tokens), -1)))
        return torch.cat(encoded, dim=1)

    def _tiles(
        self,
        batch: ImageBatch,
        preprocessing: Preprocessing,
        request: Tiles,
        attention: Attention,
    ) -> Float[Tensor, "b r d"]:
        """Encode crops of the original images as images of their own."""
        boxes = tile_boxes(request.grid, request.overlap)
        encoded = []
        for some in boxes.split(max(1, CROPS_AT_ONCE // len(batch))):
            crops = batch.crops(some, preprocessing).flatten(0, 1)
            classes = self._whole(crops, [ClassToken(request.normed)], attention)
            encoded += [tokens.unflatten(0, (len(batch), -1)) for tokens in classes.values()]
        return torch.cat(encoded, dim=1)

    def _class_token(
        self,
        tokens: Float[Tensor, "b t w"],
        attention: Attention,
        qkv: Float[Tensor, "b t 3w"] | None = None,
    ) -> Float[Tensor, "b w"]:
        """Return the class token after all blocks; it reads the stream and no other path.

        `qkv` are the first block's queries, keys and values, if known.
        """
        acts = attention.blocks(len(self.blocks)) if attention.path == "stream" else range(0)
        for index, block in enumerate(self.blocks[:-1]):
            tokens = run_block(block, tokens, attention.mix if index in acts else None, qkv)
            qkv = None
        mix = attention.mix if len(self.blocks) - 1 in acts else None
        return run_last_block(self.blocks[-1], tokens, mix, qkv)

    def _stage(self, tokens: Float[Tensor, "b p w"], stage: str) -> Tensor:
        if stage == "projected":
            return self._project(tokens, normed=True)
        return tokens if stage == "raw" else self.visual.ln_post(tokens)

    def _project(self, tokens: Float[Tensor, "*b w"], normed: bool) -> Float[Tensor, "*b d"]:
        tokens = self.visual.ln_post(tokens) if normed else tokens
        return tokens if self.visual.proj is None else tokens @ self.visual.proj


def resize_positions(
    positions: Float[Tensor, "t w"],
    old: tuple[int, int],
    new: tuple[int, int],
    mode: Literal["bilinear", "bicubic"],
) -> Float[Tensor, "u w"]:
    """Interpolate position embeddings to another grid; the originals stay as they are.

    AnomalyCLIP does it bilinearly, open_clip for its own models bicubically with antialias.
    """
    if old == new:
        return positions
    first, rest = positions[:1], positions[1:]
    image = rest.cpu().T.unflatten(1, old)[None]  # once; not every device has every filter
    resized = F.interpolate(image, size=new, mode=mode, antialias=mode == "bicubic")[0]
    return torch.cat([first, resized.flatten(1).T.to(first.device)])
