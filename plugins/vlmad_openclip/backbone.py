"""The backbone `openclip`."""

from __future__ import annotations

import copy
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from vlmad import BackboneSpec, ContextPrompts, Preprocessing
from vlmad.caches.digests import Stamp, remembered_digest, stamp
from vlmad.caches.keys import key_of
from vlmad.errors import OptionError, WeightsError
from vlmad.parts import (
    ATTENTION,
    CONTEXT_VECTORS,
    IMAGE_TILES,
    PATCH_TOKENS,
    TEXT_ENCODER,
    TOKEN_WINDOWS,
)
from vlmad.tokens import tokenise
from vlmad.transformer import (
    TextLoop,
    VisionLoop,
    check_vision,
    pick_device,
    resize_positions,
)
from vlmad_openclip.at_hand import models_at_hand
from vlmad_openclip.checkpoint import find_weights, read_weights, weights_digest
from vlmad_openclip.config import ModelSource, find_model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import Attention, ImageBatch, Request, VisualFeatures

RANDOM = "random:"


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
    """

    def __init__(
        self,
        model: str = "ViT-B-16-plus-240/laion400m_e31",
        weights: str | None = None,
        image_size: int | None = None,
        positions: Literal["bilinear", "bicubic"] = "bilinear",
        device: str = "auto",
    ) -> None:
        self.source = find_model(model)
        self.weights, self.positions = weights, positions
        self.spec = spec_of(self.source, image_size)
        self.device = pick_device(device)

    @staticmethod
    def at_hand() -> list[str]:
        """Return the published models whose weights are on this machine."""
        return models_at_hand()

    @cached_property
    @torch.inference_mode(False)  # or gradients could never pass a model that a run has loaded
    def model(self) -> Any:
        """open_clip's model with its weights, never modified after loading.

        Raises:
            WeightsError: the weights are missing, refused, or of another architecture.
        """
        model = build_model(self.source)
        check_vision(model.visual)
        if self.weights and self.weights.startswith(RANDOM):
            _randomise(model, self.weights.removeprefix(RANDOM))
        else:
            path, before = self._file
            load_into(model, read_weights(path), path)
            if stamp(path) != before:
                raise WeightsError(f"weights {path} were changed while they were read; try again")
        return model.eval().requires_grad_(False).to(self.device)

    @cached_property
    def _file(self) -> tuple[Path, Stamp | None]:
        """The checkpoint, and what it looked like before anything was read from it."""
        path = Path(self.weights) if self.weights else find_weights(self.source)
        return path, stamp(path)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over the names and values of all tensors, remembered for each file."""
        if self.weights and self.weights.startswith(RANDOM):
            return weights_digest(self.model.state_dict())
        purpose = f"tensors of {self.identity}"
        return remembered_digest(
            *self._file, purpose, lambda: weights_digest(self.model.state_dict())
        )

    @cached_property
    def identity(self) -> str:
        """What the configuration says, which neither weights nor spec tell in full."""
        return f"open_clip {version('open_clip_torch')} {key_of(self.source.config)}"

    @cached_property
    def _vision(self) -> VisionLoop:
        visual = self.model.visual
        embedding = resize_positions(
            visual.positional_embedding, visual.grid_size, self.spec.grid, self.positions
        )
        return VisionLoop(visual, self.spec.grid, embedding)

    @cached_property
    def _tokenizer(self) -> Any:
        import open_clip

        length = self.source.config["text_cfg"].get("context_length", 77)
        return open_clip.SimpleTokenizer(context_length=length)

    @cached_property
    def _text(self) -> TextLoop:
        tower = self.model if hasattr(self.model, "token_embedding") else self.model.text
        return TextLoop(tower, self._tokenizer)

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer all requests; see `vlmad.Backbone`."""
        return self._vision.encode(batch, self.spec.preprocessing, requests, attention)

    def token_ids(self, prompts: Sequence[str] | ContextPrompts) -> Int[Tensor, "n c"] | None:
        """Return what `encode_text` would encode; see `vlmad.caches.text.TellsTokens`."""
        plain = CONTEXT_VECTORS in self.spec.provides
        return tokenise(self._tokenizer, prompts) if plain else None

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw text embeddings; see `vlmad.Backbone`."""
        if isinstance(prompts, ContextPrompts):
            return self._text.encode_context(prompts)
        if CONTEXT_VECTORS in self.spec.provides:
            return self._text.encode_sentences(prompts)
        return self._encode_other_text(prompts)

    def _encode_other_text(self, sentences: Sequence[str]) -> Float[Tensor, "n d"]:
        """Encode with a text tower of another kind, whole and by the model itself."""
        import open_clip

        tokenizer = open_clip.get_tokenizer(self.source.name.partition("/")[0])
        return self.model.encode_text(tokenizer(list(sentences)).to(self.device))  # type: ignore[no-any-return]


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
    vision_can = {ATTENTION, PATCH_TOKENS, TOKEN_WINDOWS, IMAGE_TILES}
    text_can = {TEXT_ENCODER, CONTEXT_VECTORS} if has_plain_text(text) else {TEXT_ENCODER}
    return BackboneSpec(
        name=f"openclip:{source.name}",
        preprocessing=_preprocessing(source.preprocessing, size),
        grid=(size // patch, size // patch),
        depth=vision["layers"],
        vision_width=vision["width"],
        embedding_dim=source.config["embed_dim"],
        provides=frozenset(vision_can | text_can),
        text_width=text.get("width"),
        text_depth=text.get("layers"),
        licence="see the publisher of the weights",
    )


def has_plain_text(config: Mapping[str, Any]) -> bool:
    """Tell whether `TextLoop` runs a text tower rightly: causal, CLIP's words, read at the end."""
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


def build_model(source: ModelSource) -> Any:
    """Build the architecture with open_clip's classes, without any weights."""
    from open_clip.model import CLIP, CustomTextCLIP

    config = copy.deepcopy(dict(source.config))
    custom = config.pop("custom_text", False) or "hf_model_name" in config["text_cfg"]
    if "multimodal_cfg" in config:
        raise WeightsError(f"{source.name} is a captioning model (CoCa), which is not supported")
    if "hf_model_name" in config["text_cfg"]:
        config["text_cfg"]["hf_model_pretrained"] = False
    try:
        return (CustomTextCLIP if custom else CLIP)(**config)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise WeightsError(f"open_clip cannot build {source.name}: {error}") from error


def load_into(model: Any, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put weights into a model, as float32.

    Raises:
        WeightsError: they are of another architecture.
    """
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    if "logit_scale" in tensors:
        tensors["logit_scale"] = tensors["logit_scale"].reshape(model.logit_scale.shape)
    try:
        missing, unexpected = model.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        reason = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"weights {path} are of another architecture: {reason}") from error
    if missing or unexpected:
        example = (missing or unexpected)[0]
        raise WeightsError(
            f"weights {path} are of another architecture: {len(missing)} tensors are missing and "
            f"{len(unexpected)} are unknown, among them '{example}'"
        )


def _randomise(model: Any, seed: str) -> None:
    """Give a model seeded random weights whose activations stay in a usable range."""
    if not seed.isdigit():
        raise OptionError(f"random weights need a seed, {RANDOM}0, not '{RANDOM}{seed}'")
    generator = torch.Generator().manual_seed(int(seed))
    for name, tensor in model.state_dict().items():
        if tensor.ndim >= 2 or name.endswith("class_embedding"):
            scale = 1.0 if "embedding" in name else tensor.shape[-1] ** -0.5
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * scale)
        elif name.endswith("bias"):
            tensor.zero_()
