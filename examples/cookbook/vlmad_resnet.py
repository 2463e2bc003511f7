"""The backbone `resnet`: the stages of a convolutional network, without text."""

import pickle
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.models.feature_extraction import create_feature_extractor

from vlmad import (
    Attention,
    Backbone,
    BackboneSpec,
    ClassToken,
    ImageBatch,
    Level,
    LevelSpec,
    Preprocessing,
    Request,
    VisualFeatures,
    hookimpl,
)
from vlmad.errors import WeightsError, first_line
from vlmad.files import digest
from vlmad.hookspecs import Register
from vlmad.parts import LEVELS
from vlmad_openclip.devices import Precision, pick_device, pick_precision

SIZE = (224, 224)
STAGES = {"layer1": (56, 64), "layer2": (28, 128), "layer3": (14, 256), "layer4": (7, 512)}
"""Cells to a side of each, and its channels."""
SPEC = BackboneSpec(
    name="resnet18",
    preprocessing=Preprocessing(SIZE, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "bilinear"),
    grid=(7, 7),
    depth=len(STAGES),
    vision_width=512,
    embedding_dim=512,
    provides=frozenset({LEVELS}),
    levels={name: LevelSpec((side, side), width) for name, (side, width) in STAGES.items()},
    middle=("layer2", "layer3"),
)


class ResNetBackbone(Backbone):
    """The ResNet-18 of torchvision; its class token is what is pooled before the classifier.

    Args:
        weights: a file of its tensors, as torchvision publishes them.
        device: auto, cpu, cuda or mps.
        precision: float32, bfloat16, or auto: bfloat16 where it is computed natively.
    """

    spec = SPEC

    def __init__(
        self, weights: Path, device: str = "auto", precision: Precision = "float32"
    ) -> None:
        self.weights = weights
        self.device = pick_device(device)
        self.precision = pick_precision(precision, self.device)

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the file."""
        return digest(self.weights)

    @cached_property
    @torch.inference_mode(False)
    def _model(self) -> nn.Module:
        """The network, loaded when the first image is encoded."""
        with torch.device("meta"):  # so that nothing is drawn at random
            model = resnet18()
        try:
            tensors = torch.load(self.weights, map_location="cpu", weights_only=True)
            model.load_state_dict(tensors, assign=True)
        except (OSError, RuntimeError, TypeError, pickle.UnpicklingError) as error:
            raise WeightsError(f"{self.weights} is no ResNet-18: {first_line(error)}") from error
        model.eval().requires_grad_(False)
        stages: nn.Module = create_feature_extractor(model, [*STAGES, "flatten"])
        return stages.to(self.device)

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer levels by their cells, (b, h, w, channels)."""
        pixels = batch.pixels(SPEC.preprocessing).to(self.device)
        half = self.precision == "bfloat16"
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            found = self._model(pixels)
        answers: dict[Request, Tensor] = {}
        for request in requests:
            if isinstance(request, Level):
                answers[request] = found[request.name].permute(0, 2, 3, 1).float().contiguous()
            elif isinstance(request, ClassToken):
                answers[request] = found["flatten"].float()
        return VisualFeatures(answers, SPEC.grid, SIZE)


@hookimpl
def register_backbones(register: Register) -> None:
    """Register the backbone."""
    register("resnet", ResNetBackbone, "a convolutional network, no text")
