"""The backbone `openclip`."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from annotated_types import Interval

from vlmad import BackboneSpec, ContextPrompts, Preprocessing
from vlmad.errors import OptionError, WeightsError
from vlmad.parts import (
    ATTENTION,
    CONTEXT_VECTORS,
    IMAGE_TILES,
    LEVELS,
    PATCH_TOKENS,
    SHARED_WINDOWS,
    TEXT_ENCODER,
    TOKEN_WINDOWS,
)
from vlmad_openclip._model_building import build_model, random_weights
from vlmad_openclip._model_source import ModelSource, find_model
from vlmad_openclip._products import arrange
from vlmad_openclip._weights import find_weights
from vlmad_openclip.checkpoint import (
    check_architecture,
    fill,
    in_turn,
    read_weights,
    seed_of,
    weights_digest,
)
from vlmad_openclip.devices import Computed, Precision, pick_device, pick_precision, set_precision
from vlmad_openclip.language import TextLoop, causal_mask, clip_tokenizer, tokenise
from vlmad_openclip.store import FileStamp, key_of, remembered_digest, stamp
from vlmad_openclip.text_cache import encode_once
from vlmad_openclip.vision import (
    VisionLoop,
    blocks_as_levels,
    check_vision,
    resize_positions,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import Attention, ImageBatch, Request, VisualFeatures

VISUAL = "visual."
"""How the names of the vision tower's weights begin."""


class OpenClip:
    """Any open_clip model whose vision tower is a ViT with a class token.

    Args:
        model: ARCHITECTURE/TAG as open_clip lists them, hf-hub:OWNER/NAME, a folder with
            open_clip_config.json, or a model configuration (.json) with `weights`.
        weights: a checkpoint (safetensors, or a torch file, read weights-only) in place of the
            published one; random:SEED takes random weights, for tests and timings only.
        image_size: pixels to a side, rounded down to a multiple of the patch; the model's own
            by default.
        positions: how position embeddings meet another size; AnomalyCLIP takes bilinear,
            open_clip's own resizing is bicubic with antialias.
        device: auto, cpu, cuda or mps.
        precision: of the vision blocks: float32, bfloat16, or auto, which takes bfloat16 where
            processor or GPU compute it natively. Texts are always encoded in float32.
        fetch: whether what is not on this machine may be fetched from the network; for a model
            that a manifest or a fitted detector names, only if this is set.
    """

    def __init__(
        self,
        model: str = "ViT-B-16-plus-240/laion400m_e31",
        weights: str | None = None,
        image_size: Annotated[int, Interval(ge=16, le=2048)] | None = None,
        positions: Literal["bilinear", "bicubic"] = "bilinear",
        device: str = "auto",
        precision: Precision = "auto",
        fetch: bool = True,
    ) -> None:
        self.source, self.fetch = find_model(model, fetch), fetch
        self.weights, self.positions = weights, positions
        self._seed = seed_of(weights)
        self.spec = spec_of(self.source, image_size)
        self.has_plain_text = CONTEXT_VECTORS in self.spec.provides
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)

    @cached_property
    @torch.inference_mode(False)  # or gradients could never pass a model that a run has loaded
    def visual(self) -> Any:
        """The vision tower with its weights, never modified after loading.

        It is filled without the text tower, which a run with cached texts never needs. The
        weights are nonetheless checked as a whole.

        Raises:
            WeightsError: the weights are missing, refused, or of another architecture.
        """
        visual = self._load(lambda name: name.startswith(VISUAL), self.precision).visual
        visual = visual.eval().requires_grad_(False).to(self.device)
        arrange(visual.transformer.resblocks)
        return visual

    @cached_property
    @torch.inference_mode(False)
    def model(self) -> Any:
        """open_clip's model with its weights, `visual` among it, never modified after loading.

        Raises:
            WeightsError: the weights are missing, refused, or of another architecture.
        """
        model = self._load(lambda name: not name.startswith(VISUAL))
        model.visual = self.visual
        if self.has_plain_text:
            tower = _text_tower(model)
            tower.attn_mask = causal_mask(len(tower.positional_embedding))  # it is no weight
        return model.eval().requires_grad_(False).to(self.device)

    def _load(self, belongs: Callable[[str], bool], precision: Computed = "float32") -> Any:
        """Build the model, and give it those of its weights whose names belong.

        Blocks of the vision tower have another precision before they are filled, so that their
        weights are never there twice.
        """
        # on no device, unless a text tower from elsewhere has more than weights
        model = build_model(self.source, "meta" if self.has_plain_text else "cpu")
        check_vision(model.visual)
        state = model.state_dict()
        set_precision(model.visual.transformer.resblocks, precision)
        fill(model, (pair for pair in self._tensors(state) if belongs(pair[0])))
        return model

    def _tensors(self, state: Mapping[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Yield all weights by name, checked to be those of a model with this state."""
        if self._seed is not None:
            yield from random_weights(state, self._seed)
            return
        path, before = self._file
        tensors = read_weights(path)
        check_architecture(tensors, state, path)
        yield from in_turn(path, tensors)
        if stamp(path) != before:
            raise WeightsError(f"weights {path} were changed while they were read; try again")

    @cached_property
    def _file(self) -> tuple[Path, FileStamp | None]:
        """The checkpoint, and what it looked like before anything was read from it."""
        path = Path(self.weights) if self.weights else find_weights(self.source, self.fetch)
        return path, stamp(path)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over the names and values of all tensors, remembered for each file."""
        if self._seed is not None:
            return self._digest()
        return remembered_digest(*self._file, f"tensors of {self.identity}", self._digest)

    def _digest(self) -> str:
        """Hash all tensors as float32, whatever precision they are used in."""
        return weights_digest(self._load(lambda name: True).state_dict())

    @cached_property
    def identity(self) -> str:
        """The configuration, of which neither weights nor spec hold all."""
        return f"open_clip {version('open_clip_torch')} {key_of(self.source.config)}"

    @cached_property
    def _vision(self) -> VisionLoop:
        visual = self.visual
        embedding = resize_positions(
            visual.positional_embedding, visual.grid_size, self.spec.grid, self.positions
        )
        return VisionLoop(visual, self.spec.grid, embedding)

    @cached_property
    def _tokenizer(self) -> Any:
        return clip_tokenizer(self.source.config["text_cfg"].get("context_length", 77))

    @cached_property
    def _text(self) -> TextLoop:
        return TextLoop(_text_tower(self.model), self._tokenizer)

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer all requests; see `vlmad.Backbone`."""
        return self._vision.encode(batch, self.spec.preprocessing, requests, attention)

    def token_ids(self, prompts: Sequence[str] | ContextPrompts) -> Int[Tensor, "n c"] | None:
        """Return what `encode_text` would encode, for its cache; no weights are loaded for it."""
        return tokenise(self._tokenizer, prompts) if self.has_plain_text else None

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw text embeddings, kept on disk; see `vlmad.Backbone`."""
        return encode_once(self, "vlmad", prompts, lambda: self._encode_anew(prompts))

    def vocabulary(self) -> tuple[list[str], Float[Tensor, "v w"]]:
        """Return the words that it reads; see `vlmad_openclip.language.HasVocabulary`.

        Raises:
            OptionError: its text tower is of another kind.
        """
        if not self.has_plain_text:
            raise OptionError(f"{self.spec.name} reads no words of CLIP's")
        return self._text.vocabulary()

    def _encode_anew(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        if self.has_plain_text:
            return self._text.encode(prompts)
        import open_clip  # a text tower of another kind, run whole and by the model itself

        tokenizer = open_clip.get_tokenizer(self.source.name.partition("/")[0])
        return self.model.encode_text(tokenizer(list(prompts)).to(self.device))  # type: ignore[no-any-return, arg-type]


def _text_tower(model: Any) -> Any:
    return model if hasattr(model, "token_embedding") else model.text


def spec_of(source: ModelSource, image_size: int | None) -> BackboneSpec:
    """Read what a model is from its configuration.

    Raises:
        WeightsError: its vision tower is no ViT.
        OptionError: the image size is smaller than a patch.
    """
    vision, text = source.config["vision_cfg"], source.config["text_cfg"]
    if not isinstance(vision.get("layers"), int) or "timm_model_name" in vision:
        raise WeightsError(f"the vision tower of {source.name} is no open_clip ViT")
    patch = vision["patch_size"]
    size = vision["image_size"] if image_size is None else image_size
    if not isinstance(patch, int) or not isinstance(size, int):
        raise WeightsError(f"{source.name} has no square patches or images")
    if size < patch:
        raise OptionError(f"image_size must be at least one patch, {patch} pixels, not {size}")
    size -= size % patch
    vision_can = {ATTENTION, LEVELS, PATCH_TOKENS, TOKEN_WINDOWS, SHARED_WINDOWS, IMAGE_TILES}
    grid, depth = (size // patch, size // patch), vision["layers"]
    text_can = {TEXT_ENCODER, CONTEXT_VECTORS} if has_plain_text(text) else {TEXT_ENCODER}
    return BackboneSpec(
        name=f"openclip:{source.name}",
        preprocessing=_preprocessing(source.preprocessing, size),
        grid=grid,
        depth=depth,
        vision_width=vision["width"],
        embedding_dim=source.config["embed_dim"],
        provides=frozenset(vision_can | text_can),
        text_width=text.get("width"),
        text_depth=text.get("layers"),
        licence="see the publisher of the weights",
        levels=blocks_as_levels(depth, grid, vision["width"]),
        middle=(str(max(1, depth // 2)), str(max(1, 3 * depth // 4))),
    )


def has_plain_text(config: Mapping[str, Any]) -> bool:
    """Return whether `TextLoop` runs a text tower: causal, CLIP's words, read at the end."""
    others = (
        "hf_model_name",
        "hf_tokenizer_name",
        "tokenizer_kwargs",
        "no_causal_mask",
        "embed_cls",
    )
    return config.get("pool_type", "argmax") == "argmax" and not any(map(config.get, others))


def _preprocessing(table: Mapping[str, Any], size: int) -> Preprocessing:
    import open_clip

    mean = tuple(table.get("mean") or open_clip.OPENAI_DATASET_MEAN)
    std = tuple(table.get("std") or open_clip.OPENAI_DATASET_STD)
    bilinear = table.get("interpolation") == "bilinear"
    return Preprocessing((size, size), mean, std, "bilinear" if bilinear else "bicubic")
