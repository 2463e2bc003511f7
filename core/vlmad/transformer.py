"""One loop over the blocks of a CLIP, for every backbone built from open_clip's classes.

The loop runs the model's own layers in the model's own order, but reads what requests ask for
on the way and lets an attention modifier take the place of a block's attention, or write a
second path beside it. Nothing is patched, hooked or left behind on the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import nn

from vlmad.errors import OptionError, WeightsError, first_line
from vlmad.regions import tile_boxes, window_patches
from vlmad.tokens import tokenise
from vlmad.types import ClassToken, Patches, Tiles, VisualFeatures, Windows

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

    from vlmad.parts import Attention
    from vlmad.types import ContextPrompts, ImageBatch, Preprocessing, Request

Mix = Callable[["Tensor", "Tensor", "Tensor"], "Tensor"]
TOKENS_AT_ONCE = 32_768
"""How many tokens of windows go through the blocks together; bounds the memory."""
CROPS_AT_ONCE = 16
SENTENCES_AT_ONCE = 64


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

    def encode(
        self,
        batch: ImageBatch,
        preprocessing: Preprocessing,
        requests: Sequence[Request],
        attention: Attention,
    ) -> VisualFeatures:
        """Answer the requests; see `vlmad.Backbone.encode`."""
        answers: dict[Request, Tensor] = {}
        if any(not isinstance(request, Tiles) for request in requests):
            embedded = self.embed(self._to_device(batch.pixels(preprocessing)))
            answers = self._whole(embedded, requests, attention)
        for request in requests:
            if isinstance(request, Windows):
                answers[request] = self._windows(embedded, request, attention)
            elif isinstance(request, Tiles):
                answers[request] = self._tiles(batch, preprocessing, request, attention)
        ordered = {request: answers[request] for request in requests}
        return VisualFeatures(ordered, self.grid, preprocessing.size)

    def embed(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b t w"]:
        """Return class token and patches with their positions, after the first norm."""
        patches = self.visual.conv1(pixels).flatten(2).transpose(1, 2)  # b p w
        first = self.visual.class_embedding.expand(len(patches), 1, -1)
        return self.visual.ln_pre(torch.cat([first, patches], dim=1) + self.positions)  # type: ignore[no-any-return]

    def _whole(
        self, tokens: Float[Tensor, "b t w"], requests: Sequence[Request], attention: Attention
    ) -> dict[Request, Tensor]:
        """Answer for class token and patches from one pass over all tokens."""
        patches = {r for r in requests if isinstance(r, Patches)}
        classes = {r for r in requests if isinstance(r, ClassToken)}
        if not patches and not classes:
            return {}
        answers: dict[Request, Tensor] = {}
        for layer, plain, beside in self._layers(tokens, attention):
            for request in patches:
                if request.layer == layer:
                    path = beside if request.path == "beside" else plain
                    answers[request] = self._stage(path[:, 1:], request.stage)
            if layer == len(self.blocks):
                answers |= {r: self._project(plain[:, 0], r.normed) for r in classes}
        return answers

    def _layers(
        self, tokens: Float[Tensor, "b t w"], attention: Attention
    ) -> Iterator[tuple[int, Float[Tensor, "b t w"], Float[Tensor, "b t w"]]]:
        """Yield after each block its number and both paths; 0 is before the first block.

        Where attention acts beside, the second path gathers what the modified attention
        makes of the plain stream, without feed-forward (AnomalyCLIP, section 3.3); until
        its first block, and without such attention, it is the plain stream.
        """
        acts = attention.blocks(len(self.blocks))
        writes_beside = attention.path == "beside" and len(acts) > 0
        plain = beside = tokens
        yield 0, plain, beside
        for index, block in enumerate(self.blocks):
            if writes_beside and index in acts:
                q, k, v = split_heads(block, plain)
                beside = beside + merge_heads(block, attention.mix(q, k, v))
                usual = F.scaled_dot_product_attention(q, k, v)
                plain = feed_forward(block, plain + merge_heads(block, usual))
            else:
                plain = run_block(block, plain, attention.mix if index in acts else None)
                if not writes_beside or index < acts.start:
                    beside = plain
            yield index + 1, plain, beside

    def _windows(
        self, tokens: Float[Tensor, "b t w"], request: Windows, attention: Attention
    ) -> Float[Tensor, "b r d"]:
        """Run each window of patches, with the class token and at its own place, by itself."""
        patches = window_patches(self.grid, request.size).to(tokens.device)  # r k
        members = F.pad(patches + 1, (1, 0))  # r 1+k; token 0 is the class token
        images = tokens.shape[0]
        at_once = max(1, TOKENS_AT_ONCE // members[0].numel() // images)
        encoded = []
        for chunk in members.split(at_once):
            windows = tokens[:, chunk].flatten(0, 1)  # b*r 1+k w
            last = self._last(windows, attention)
            encoded.append(self._project(last[:, 0], request.normed).unflatten(0, (images, -1)))
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
            crops = self._to_device(batch.crops(some, preprocessing)).flatten(0, 1)
            last = self._last(self.embed(crops), attention)
            classes = self._project(last[:, 0], request.normed)
            encoded.append(classes.unflatten(0, (len(batch), -1)))
        return torch.cat(encoded, dim=1)

    def _last(self, tokens: Float[Tensor, "b t w"], attention: Attention) -> Float[Tensor, "b t w"]:
        """Return the plain stream after all blocks."""
        acts = attention.blocks(len(self.blocks)) if attention.path == "stream" else range(0)
        for index, block in enumerate(self.blocks):
            tokens = run_block(block, tokens, attention.mix if index in acts else None)
        return tokens

    def _stage(self, tokens: Float[Tensor, "b p w"], stage: str) -> Tensor:
        if stage == "projected":
            return self._project(tokens, normed=True)
        return tokens if stage == "raw" else self.visual.ln_post(tokens)

    def _project(self, tokens: Float[Tensor, "*b w"], normed: bool) -> Float[Tensor, "*b d"]:
        tokens = self.visual.ln_post(tokens) if normed else tokens
        return tokens if self.visual.proj is None else tokens @ self.visual.proj

    def _to_device(self, pixels: Tensor) -> Tensor:
        return pixels.to(self.positions.device)


def run_block(
    block: Any, tokens: Float[Tensor, "b t w"], mix: Mix | None
) -> Float[Tensor, "b t w"]:
    """Run one residual block, with its own attention or with `mix` in its place."""
    mixed = (mix or F.scaled_dot_product_attention)(*split_heads(block, tokens))
    return feed_forward(block, tokens + merge_heads(block, mixed))


def split_heads(block: Any, tokens: Float[Tensor, "b t w"]) -> tuple[Tensor, Tensor, Tensor]:
    """Return a block's queries, keys and values (b a t e), read after its first norm."""
    attn = block.attn
    qkv = F.linear(block.ln_1(tokens), attn.in_proj_weight, attn.in_proj_bias)
    q, k, v = qkv.unflatten(-1, (3, attn.num_heads, -1)).permute(2, 0, 3, 1, 4)
    return q, k, v


def merge_heads(block: Any, mixed: Float[Tensor, "b a t e"]) -> Float[Tensor, "b t w"]:
    """Return what attention adds to the stream."""
    return block.ls_1(block.attn.out_proj(mixed.transpose(1, 2).flatten(2)))  # type: ignore[no-any-return]


def feed_forward(block: Any, tokens: Float[Tensor, "b t w"]) -> Float[Tensor, "b t w"]:
    """Return the stream with what a block's second half adds to it."""
    return tokens + block.ls_2(block.mlp(block.ln_2(tokens)))  # type: ignore[no-any-return]


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
    image = rest.T.unflatten(1, old)[None]
    resized = F.interpolate(image, size=new, mode=mode, antialias=mode == "bicubic")[0]
    return torch.cat([first, resized.flatten(1).T])


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; ``auto`` takes a GPU where there is one.

    Raises:
        OptionError: there is no such device here.
    """
    if name == "auto":
        mps = torch.backends.mps.is_available()
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if mps else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise OptionError(
            f"no device '{name}' here: {first_line(error)}; try backbone.device=cpu"
        ) from error


class TextLoop:
    """A causal CLIP text encoder, run block by block so that learned vectors can enter.

    Args:
        tower: open_clip's CLIP or TextTransformer, never modified.
        tokenizer: from sentences to token ids (n, context length).
    """

    def __init__(self, tower: Any, tokenizer: Callable[[list[str]], Tensor]) -> None:
        self.tower, self.tokenizer = tower, tokenizer
        self.blocks = list(tower.transformer.resblocks)

    def encode_sentences(self, sentences: Sequence[str]) -> Float[Tensor, "n d"]:
        """Return raw embeddings; sentences are cut to the longest of their batch.

        Cutting is exact: with a causal mask no token sees what follows it, and the
        embedding is read at the end token.
        """
        device = self.tower.positional_embedding.device
        ids = tokenise(self.tokenizer, sentences).to(device)  # n c
        encoded = []
        for some in ids.split(SENTENCES_AT_ONCE):
            some = some[:, : int(some.argmax(dim=1).max()) + 1]
            tokens = (
                self.tower.token_embedding(some) + self.tower.positional_embedding[: some.shape[1]]
            )
            encoded.append(self._run(tokens, some.argmax(dim=1), {}))
        return torch.cat(encoded)

    def encode_context(self, prompts: ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw embeddings of sentences that begin with learned vectors."""
        length = prompts.context.shape[1]
        device = self.tower.positional_embedding.device
        ids = tokenise(self.tokenizer, prompts).to(device)
        words = self.tower.token_embedding(ids)  # n c w
        context = prompts.context.to(device)
        tokens = torch.cat([words[:, :1], context, words[:, 1 + length :]], dim=1)
        tokens = tokens + self.tower.positional_embedding[: tokens.shape[1]]
        return self._run(tokens, ids.argmax(dim=1), prompts.deep)

    def _run(self, tokens: Float[Tensor, "n c w"], ends: Tensor, deep: Any) -> Float[Tensor, "n d"]:
        """Run the blocks, overwriting positions 1 to t with deep tokens on the way."""
        mask = self.tower.attn_mask[: tokens.shape[1], : tokens.shape[1]]
        for index, block in enumerate(self.blocks):
            if index in deep:
                own = deep[index].to(tokens.device).expand(len(tokens), -1, -1)
                tokens = torch.cat([tokens[:, :1], own, tokens[:, 1 + own.shape[1] :]], dim=1)
            tokens = run_block(block, tokens, lambda q, k, v: _masked(q, k, v, mask))
        tokens = self.tower.ln_final(tokens)[torch.arange(len(tokens)), ends]
        projection = self.tower.text_projection
        if projection is None:
            return tokens
        projected: Tensor
        projected = projection(tokens) if isinstance(projection, nn.Linear) else tokens @ projection
        return projected


def _masked(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
