"""A small backbone that keeps every promise, and one that offers nothing but certain words."""

from __future__ import annotations

import math
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F

from vlmad import parts
from vlmad.fitting import GIVERS, word_of
from vlmad.regions import tile_boxes, window_patches
from vlmad.types import (
    BackboneSpec,
    ClassToken,
    ContextPrompts,
    Level,
    LevelSpec,
    Patches,
    Preprocessing,
    VisualFeatures,
    Windows,
)
from vlmad_conformance.facts import Breach

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from torch import Tensor

    from vlmad.parts import Attention, Backbone
    from vlmad.types import ImageBatch, Request

EVERYTHING = frozenset(word for word, giver in GIVERS.items() if giver == "backbone")
PATCH, HEADS, WIDTH, DIMENSIONS, TEXT_WIDTH, DEPTH = 8, 2, 12, 10, 6, 3
"""All widths differ, so that none is taken for another."""


class SmallBackbone:
    """Three blocks of attention over patches of 8 pixels, and text as a bag of words.

    Args:
        grid: rows and columns of patches.
        seed: of the weights.
    """

    def __init__(self, grid: tuple[int, int] = (3, 5), seed: int = 0) -> None:
        size = (PATCH * grid[0], PATCH * grid[1])
        self.spec = BackboneSpec(
            name="small",
            preprocessing=Preprocessing(size, (0.5,) * 3, (0.25,) * 3),
            grid=grid,
            depth=DEPTH,
            vision_width=WIDTH,
            embedding_dim=DIMENSIONS,
            provides=EVERYTHING,
            text_width=TEXT_WIDTH,
            text_depth=2,
            levels={str(n): LevelSpec(grid, WIDTH) for n in range(1, DEPTH + 1)},
            middle=("1", "2"),
        )
        self.weights_hash = f"{seed:064x}"
        self._grid, self._seed = grid, seed
        self._embed = self._draw("embed", 3 * PATCH * PATCH, WIDTH)
        self._places = self._draw("places", 1 + math.prod(grid), WIDTH)
        self._inner = [self._draw(f"in {n}", WIDTH, 3 * WIDTH) for n in range(DEPTH)]
        self._outer = [self._draw(f"out {n}", WIDTH, WIDTH) for n in range(DEPTH)]
        self._project = self._draw("project", WIDTH, DIMENSIONS)
        self._text = self._draw("text", TEXT_WIDTH, DIMENSIONS)

    def _draw(self, what: str, *shape: int) -> Tensor:
        generator = torch.Generator().manual_seed(zlib.crc32(what.encode()) + self._seed)
        return torch.randn(*shape, generator=generator) / math.sqrt(shape[0])

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer all requests; see `vlmad.Backbone`."""
        pixels = batch.pixels(self.spec.preprocessing)
        tokens = self._tokens(pixels)
        layers = self._layers(tokens, attention)
        answers = {r: self._answer(r, batch, tokens, layers, attention) for r in requests}
        return VisualFeatures(answers, self._grid, self.spec.preprocessing.size)

    def _tokens(self, pixels: Tensor) -> Tensor:
        patches = F.unfold(pixels, PATCH, stride=PATCH).transpose(1, 2) @ self._embed
        return F.pad(patches, (0, 0, 1, 0)) + self._places

    def _layers(self, tokens: Tensor, attention: Attention) -> list[tuple[Tensor, Tensor]]:
        """Return after each block the stream and the second path."""
        acts, beside_acts = attention.blocks(DEPTH), attention.path == "beside"
        stream, beside, layers = tokens, tokens, [(tokens, tokens)]
        for index, (inner, outer) in enumerate(zip(self._inner, self._outer, strict=True)):
            q, k, v = (
                t.unflatten(-1, (HEADS, -1)).transpose(1, 2) for t in (stream @ inner).chunk(3, -1)
            )
            usual = F.scaled_dot_product_attention(q, k, v)
            mixed = attention.mix(q, k, v) if index in acts else usual
            own = usual if beside_acts else mixed
            if beside_acts and index in acts:
                beside = beside + mixed.transpose(1, 2).flatten(2) @ outer
            stream = torch.tanh(stream + own.transpose(1, 2).flatten(2) @ outer)
            if not beside_acts or index < acts.start or not acts:
                beside = stream
            layers.append((stream, beside))
        return layers

    def _answer(
        self,
        request: Request,
        batch: ImageBatch,
        tokens: Tensor,
        layers: list[tuple[Tensor, Tensor]],
        attention: Attention,
    ) -> Tensor:
        if isinstance(request, ClassToken):
            return self._token(layers[-1][0][:, 0], request.normed)
        if isinstance(request, Patches):
            path = layers[request.layer][request.path == "beside"]
            return self._stage(path[:, 1:], request.stage)
        if isinstance(request, Level):
            return self._stage(layers[int(request.name)][0][:, 1:], "raw").unflatten(1, self._grid)  # type: ignore[no-any-return]
        if isinstance(request, Windows):
            return self._windows(request, tokens, attention)
        boxes = tile_boxes(request.grid, request.overlap)
        crops = batch.crops(boxes, self.spec.preprocessing)
        last = self._layers(self._tokens(crops.flatten(0, 1)), attention)[-1][0][:, 0]
        seen: Tensor = self._token(last, request.normed).unflatten(0, crops.shape[:2])
        return seen

    def _windows(self, request: Windows, tokens: Tensor, attention: Attention) -> Tensor:
        members = F.pad(window_patches(self._grid, request.size) + 1, (1, 0))
        inside = tokens[:, members].flatten(0, 1)
        last = self._layers(inside, attention)[-1][0][:, 0]
        windows: Tensor = self._token(last, request.normed).unflatten(0, (len(tokens), -1))
        return windows

    def _token(self, tokens: Tensor, normed: bool) -> Tensor:
        return self._stage(tokens, "projected") if normed else tokens @ self._project

    def _stage(self, tokens: Tensor, stage: str) -> Tensor:
        if stage in ("normed", "projected"):
            tokens = F.layer_norm(tokens, tokens.shape[-1:])
        return tokens @ self._project if stage == "projected" else tokens.clone()

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Tensor:
        """Return raw text embeddings; see `vlmad.Backbone`."""
        if not isinstance(prompts, ContextPrompts):
            return torch.stack([self._words(text).mean(0) for text in prompts]) @ self._text
        deep = sum((tensor.mean(0) for tensor in prompts.deep.values()), torch.zeros(TEXT_WIDTH))
        own = [
            torch.cat([vectors, self._words(text)]).mean(0) + deep
            for vectors, text in zip(prompts.context, prompts.sentences, strict=True)
        ]
        return torch.tanh(torch.stack(own)) @ self._text

    def _words(self, text: str) -> Tensor:
        words = ["<start>", *text.lower().replace(".", " ").split()]
        return torch.stack([self._draw(f"word {word}", TEXT_WIDTH, 1)[:, 0] for word in words])


class OnlyOffers:
    """A backbone that offers some of what another provides, and refuses everything else.

    Args:
        backbone: the other.
        words: of `vlmad.parts`, what it offers.
    """

    def __init__(self, backbone: Backbone, words: Collection[str]) -> None:
        implied = {parts.TEXT_ENCODER} if parts.CONTEXT_VECTORS in words else set()
        self.backbone, self.words = backbone, frozenset(words) | implied
        self.spec = replace(backbone.spec, provides=backbone.spec.provides & self.words)
        self.weights_hash = backbone.weights_hash

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer requests that were offered."""
        for request in requests:
            self._need(word_of(request), f"it asks for {request}")
        return self.backbone.encode(batch, requests, attention)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Tensor:
        """Encode texts if that was offered."""
        if isinstance(prompts, ContextPrompts):
            self._need(parts.CONTEXT_VECTORS, "it encodes learned vectors")
        else:
            self._need(parts.TEXT_ENCODER, "it encodes sentences")
        return self.backbone.encode_text(prompts)

    def _need(self, word: str | None, what: str) -> None:
        if word not in (None, *self.words):
            raise Breach(f"{what}, yet does not list '{word}' in needs")

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backbone, name)
