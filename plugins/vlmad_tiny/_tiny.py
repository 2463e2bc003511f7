"""The backbone `tiny`: the embedded model behind the same loops that a large CLIP takes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from vlmad import BackboneSpec, Level, Preprocessing, VisualFeatures
from vlmad.files import digest
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
from vlmad_openclip.devices import Precision, pick_device, pick_precision, set_precision
from vlmad_openclip.language import TextLoop, clip_tokenizer, tokenise
from vlmad_openclip.store import remembered_digest, stamp
from vlmad_openclip.text_cache import encode_once
from vlmad_openclip.vision import VisionLoop, blocks_as_levels
from vlmad_tiny import _tiny_model as architecture
from vlmad_tiny._encode_threads import encode_in_streams
from vlmad_tiny._trunk_levels import TrunkLevels, trunk_levels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Float, Int
    from torch import Tensor

    from vlmad import Attention, ContextPrompts, ImageBatch, Request

FOLDER = Path(__file__).parent / "weights"
WEIGHTS = FOLDER / "tiny.safetensors"
LEVEL_WEIGHTS = FOLDER / "levels.safetensors"
"""The last level's layer and the statistics of all: examples/weights/trunk_levels.py."""
TRUNK_LEVELS = trunk_levels(digest(LEVEL_WEIGHTS))
SPEC = BackboneSpec(
    name="tiny",
    preprocessing=Preprocessing((architecture.IMAGE_SIZE,) * 2, (0.5,) * 3, (0.5,) * 3),
    grid=(architecture.GRID, architecture.GRID),
    depth=architecture.VISION["layers"],
    vision_width=architecture.VISION["width"],
    embedding_dim=architecture.EMBEDDING,
    provides=frozenset(
        {
            ATTENTION,
            CONTEXT_VECTORS,
            IMAGE_TILES,
            LEVELS,
            PATCH_TOKENS,
            SHARED_WINDOWS,
            TEXT_ENCODER,
            TOKEN_WINDOWS,
        }
    ),
    text_width=architecture.TEXT["width"],
    text_depth=architecture.TEXT["layers"],
    licence="Apache-2.0",
    learned_prompts={
        "drawn-window": FOLDER / "drawn-window.safetensors",
        "drawn-dense": FOLDER / "drawn-dense.safetensors",
    },
    levels=TRUNK_LEVELS
    | blocks_as_levels(
        architecture.VISION["layers"],
        (architecture.GRID, architecture.GRID),
        architecture.VISION["width"],
    ),
    middle=("b4", "e5"),
)


class Tiny:
    """The embedded image-text model: 240 pixels, 15 x 15 patches, four blocks.

    Levels of its convolutional trunk are a second pass, over 320 pixels; a detector that asks
    for nothing else runs that one alone.

    It is small and drawn from little data, so that everything runs anywhere; for real
    inspection take a large CLIP.

    Learned prompts come with it: `drawn-window`, inside windows, and `drawn-dense`, through
    patches, as `vlmad train` learned them from images drawn by code (docs/training.md).

    Args:
        device: auto, cpu, cuda or mps.
        precision: of the vision blocks: float32, so that a score is the same whatever the
            batch and the machine; bfloat16; or auto, which takes bfloat16 where processor or
            GPU compute it natively. Texts and the trunk are always computed in float32.
    """

    def __init__(self, device: str = "auto", precision: Precision = "float32") -> None:
        self.spec = SPEC
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)

    @cached_property
    @torch.inference_mode(False)  # or gradients could never pass a model that a run has loaded
    def model(self) -> Any:
        """The model with its weights in the precision in force, never modified after loading."""
        with torch.random.fork_rng(devices=[]):  # initial values draw random numbers
            model = architecture.build_model()
        tensors = load_file(WEIGHTS)
        model.load_state_dict(
            {k: t.float() if t.is_floating_point() else t for k, t in tensors.items()}
        )
        set_precision(model.visual.transformer.resblocks, self.precision)
        architecture.make_ready(model.eval().requires_grad_(False))
        return model.to(self.device)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 of the weights file; levels of its trunk go by an identity of their own."""
        return remembered_digest(WEIGHTS, stamp(WEIGHTS), "bytes", lambda: digest(WEIGHTS))

    @cached_property
    def _vision(self) -> VisionLoop:
        visual = self.model.visual
        return VisionLoop(visual, self.spec.grid, visual.positional_embedding)

    @cached_property
    @torch.inference_mode(False)
    def _trunk(self) -> TrunkLevels:
        return TrunkLevels(load_file(WEIGHTS), load_file(LEVEL_WEIGHTS)).to(self.device)

    @cached_property
    def _tokenizer(self) -> Any:
        return clip_tokenizer(architecture.TEXT["context_length"])

    @cached_property
    def _text(self) -> TextLoop:
        return TextLoop(self.model, self._tokenizer)

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer all requests; see `vlmad.Backbone`."""
        levels = [r for r in requests if isinstance(r, Level) and r.name in TRUNK_LEVELS]
        others = [request for request in requests if request not in levels]
        trunk, vision = self._trunk if levels else None, self._vision if others else None
        spec = self.spec

        def encode(some: ImageBatch) -> VisualFeatures:
            answers: dict[Request, Tensor] = {}
            if trunk:
                for wanted in dict.fromkeys(map(spec.preprocessing_of, levels)):
                    own = [each for each in levels if spec.preprocessing_of(each) == wanted]
                    answers |= trunk.answer(some.pixels(wanted).to(self.device), own)
            if vision:
                answers |= vision.encode(some, spec.preprocessing, others, attention).tensors
            ordered = {request: answers[request] for request in requests}
            return VisualFeatures(ordered, spec.grid, spec.preprocessing.size)

        return encode_in_streams(encode, batch) if self.device.type == "cpu" else encode(batch)

    def token_ids(self, prompts: Sequence[str] | ContextPrompts) -> Int[Tensor, "n c"]:
        """Return what `encode_text` would encode, for its cache; no weights are loaded for it."""
        return tokenise(self._tokenizer, prompts)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw text embeddings, kept on disk; see `vlmad.Backbone`."""
        return encode_once(self, "vlmad", prompts, lambda: self._text.encode(prompts))

    def vocabulary(self) -> tuple[list[str], Float[Tensor, "v w"]]:
        """Return the words that it reads; see `vlmad_openclip.language.HasVocabulary`."""
        return self._text.vocabulary()
