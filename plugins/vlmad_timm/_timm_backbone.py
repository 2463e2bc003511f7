"""The backbone `timm`."""

from __future__ import annotations

from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from annotated_types import Interval, Len

from vlmad import Backbone, BackboneSpec, Level, Preprocessing, VisualFeatures
from vlmad.errors import WeightsError
from vlmad.parts import LEVELS
from vlmad_openclip.checkpoint import fill, seed_of, weights_digest
from vlmad_openclip.devices import Precision, pick_device, pick_precision
from vlmad_openclip.store import FileStamp, remembered_digest, stamp
from vlmad_timm._timm_model import POOLED, TimmFacts, create_model, find_facts, run, set_size
from vlmad_timm._timm_weights import find_weights, load_weights, random_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad import Attention, ImageBatch, Request


class TimmBackbone(Backbone):
    """Any model of timm that gives features of its layers; it has no text.

    The levels of a vision transformer are its blocks by their numbers, class and register tokens
    left out, and `normed`, the last block's tokens after the final norm; those of a convolutional
    network are its stages as timm names them. The class token is what the model pools before its
    classifier.

    Args:
        model: as timm lists it, such as wide_resnet50_2 or vit_small_patch14_dinov2.lvd142m.
        weights: a checkpoint (safetensors, or a torch file, read weights-only) in place of the
            published one; random:SEED takes random weights, for tests and timings only.
        image_size: pixels to a side, or HEIGHT,WIDTH, rounded down to whole patches; the
            model's own by default.
        device: auto, cpu, cuda or mps.
        precision: float32, bfloat16, or auto, which takes bfloat16 where processor or GPU
            compute it natively.
        fetch: whether weights that are not on this machine may be fetched from the hub; for a
            model that a manifest or a fitted detector names, only if this is set.
    """

    def __init__(
        self,
        model: str = "wide_resnet50_2",
        weights: str | None = None,
        image_size: Annotated[tuple[Annotated[int, Interval(ge=16, le=2048)], ...], Len(1, 2)]
        | None = None,
        device: str = "auto",
        precision: Precision = "auto",
        fetch: bool = True,
    ) -> None:
        self.name, self.weights, self.fetch = model, weights, fetch
        self._seed = seed_of(weights)
        self._facts = find_facts(model, image_size)
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)

    @cached_property
    def spec(self) -> BackboneSpec:
        """What timm tells of the model."""
        return spec_of(self.name, self._facts, published=self.weights is None)

    @cached_property
    @torch.inference_mode(False)
    def model(self) -> Any:
        """The model with its weights at the size in use, never modified after loading.

        Raises:
            WeightsError: the weights are missing, refused, or of another architecture.
        """
        model = self._load()
        set_size(model, self._facts.size)
        return model.to(self.device)

    def _load(self) -> Any:
        """Return the model with its weights at its own size."""
        model = create_model(self.name)
        if self._seed is not None:
            fill(model, random_weights(model.state_dict(), self._seed).items())
            return model
        path, before = self._file
        load_weights(model, path)
        if stamp(path) != before:
            raise WeightsError(f"weights {path} were changed while they were read; try again")
        return model

    @cached_property
    def _file(self) -> tuple[Path, FileStamp | None]:
        """The checkpoint, and what it looked like before anything was read from it."""
        given = Path(self.weights) if self.weights else None
        path = given or find_weights(self.name, self._facts.config, self.fetch)
        return path, stamp(path)

    @cached_property
    def weights_hash(self) -> str:
        """SHA-256 over the names and values of all tensors, remembered for each file."""
        if self._seed is not None:
            return self._digest()
        return remembered_digest(
            *self._file, f"tensors of {self.name}, {self.identity}", self._digest
        )

    def _digest(self) -> str:
        return weights_digest(self._load().state_dict())

    @cached_property
    def identity(self) -> str:
        """Whose code builds and runs the model."""
        return f"timm {version('timm')}"

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer all requests; see `vlmad.Backbone`. Both class tokens are the pooled features."""
        wanted = {r: r.name if isinstance(r, Level) else POOLED for r in requests}
        pixels = batch.pixels(self.spec.preprocessing).to(self.device)
        half = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            found = run(self.model, pixels, set(wanted.values()), self.spec.levels)
        answers = {request: found[name] for request, name in wanted.items()}
        return VisualFeatures(answers, self.spec.grid, self._facts.size)


def spec_of(name: str, facts: TimmFacts, published: bool) -> BackboneSpec:
    """Describe a model; of weights that timm has not published it knows no licence."""
    config, last = facts.config, list(facts.levels.values())[-1]
    licence = config.get("license") if published else None
    bilinear = config.get("interpolation") == "bilinear"
    return BackboneSpec(
        name=f"timm:{name}",
        preprocessing=Preprocessing(
            facts.size,
            tuple(config["mean"]),
            tuple(config["std"]),
            "bilinear" if bilinear else "bicubic",
        ),
        grid=last.grid,
        depth=len(facts.levels),
        vision_width=last.width,
        embedding_dim=facts.width,
        provides=frozenset({LEVELS}),
        licence=str(licence or "see the publisher of the weights"),
        levels=facts.levels,
        middle=facts.middle,
    )
