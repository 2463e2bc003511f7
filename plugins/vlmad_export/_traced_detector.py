"""A detector as a function of pixels alone, which torch can record."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from vlmad.errors import IncompatiblePartsError, first_line
from vlmad.fitting import only_named
from vlmad.types import ImageBatch, Tiles
from vlmad_export._plain_operations import PlainOperations

if TYPE_CHECKING:
    from jaxtyping import Float, UInt8
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.types import Preprocessing, Resize


@dataclass(slots=True)
class GivenPixels:
    """An image that has been brought to the sizes that are wanted of it."""

    name: str
    levels: dict[Preprocessing, Tensor]

    def pixels(self, preprocessing: Preprocessing, resize: Resize) -> Float[Tensor, "3 h w"]:
        """Return its levels, from 0 to 255, as normalised pixels."""
        shares = self.levels[preprocessing].permute(2, 0, 1).float() / 255
        mean, deviation = map(torch.tensor, (preprocessing.mean, preprocessing.std))
        return (shares - mean[:, None, None]) / deviation[:, None, None]

    def crops(
        self, boxes: Float[Tensor, "t 4"], preprocessing: Preprocessing, resize: Resize
    ) -> Float[Tensor, "t 3 h w"]:
        """Refuse: there is no original any more."""
        raise NotImplementedError("crops of the original cannot be part of a graph")


class TracedDetector(torch.nn.Module):
    """A detector of one image as torch records it: text and memory are constants in it.

    Args:
        detector: fitted if it has to be; `refuse_untraceable` has nothing against it.
        class_name: what images show.
        plain: whether it is recorded by operations that ONNX has.
    """

    def __init__(self, detector: Detector, class_name: str, plain: bool = True) -> None:
        super().__init__()
        self.detector, self.plain = detector, plain
        self.wanted, self.requests = detector.preprocessings(), detector.requests()
        self.attention = detector.assembly.parts["attention"].part
        self.text = detector.text(class_name)
        with torch.inference_mode(False):  # tensors that were made in it cannot be recorded
            memory = detector.memory
            self.memory = memory and {name: tensor.clone() for name, tensor in memory.items()}

    def forward(
        self, *levels: UInt8[Tensor, "h w 3"]
    ) -> tuple[Float[Tensor, " 1"], Float[Tensor, "1 h w"]]:
        """Score one image, given at each size of `wanted`."""
        detector = self.detector
        image = GivenPixels("image", dict(zip(self.wanted, levels, strict=True)))
        recording = torch.compiler.is_compiling()
        with PlainOperations(self.plain) if recording else torch.no_grad():
            visual = detector.backbone.encode(ImageBatch((image,)), self.requests, self.attention)
            features = only_named(detector.extractor(visual), detector.scorer.needs)
            prediction = detector.scorer(features, self.text, self.memory)
        return prediction.score.float(), prediction.map.float()

    def example(self) -> tuple[UInt8[Tensor, "h w 3"], ...]:
        """Return an image at each size."""
        noise = torch.Generator().manual_seed(0)
        sizes = [(*each.size, 3) for each in self.wanted]
        draw = [torch.randint(0, 256, s, dtype=torch.uint8, generator=noise) for s in sizes]
        return tuple(draw)


def refuse_untraceable(detector: Detector) -> None:
    """Refuse, before work starts, what cannot be one graph of one image.

    Raises:
        IncompatiblePartsError: a part or a way to look at images cannot; it is named.
    """
    parts, mode = detector.assembly.parts, detector.resizing.mode
    reasons = {
        f"{parts['scorer']} compares all images of a set": detector.scorer.scope == "set",
        f"{parts.get('prompts')} looks at each image": detector.prompts is not None
        and detector.prompts.looks_at_image,
        f"{parts['extractor']} cuts crops from the original": any(
            isinstance(request, Tiles) for request in detector.requests()
        ),
        "--resize pad adds margins that depend on the image: take squash": mode == "pad",
        "--align finds where each image lies": detector.fixture is not None,
        "a region of interest is laid over each image": detector.inside is not None,
        f"{parts['backbone']} computes in bfloat16: take --precision float32, for vlmad fit too": (
            getattr(detector.backbone, "precision", "float32") == "bfloat16"
        ),
    }
    for reason, holds in reasons.items():
        if holds:
            raise IncompatiblePartsError(f"no graph can be made of this detector: {reason}")


def record(traced: TracedDetector) -> Any:
    """Return the graph of a detector, as torch.export has it.

    Raises:
        IncompatiblePartsError: a part does what cannot be recorded; it is named.
    """
    example = traced.example()
    try:
        with torch.inference_mode(False), torch.no_grad():
            traced(*example)  # what is worked out once is a constant afterwards
            return torch.export.export(traced.eval(), example, strict=False)
    except Exception as error:  # torch raises errors of a dozen kinds, of its own and of ours
        raise IncompatiblePartsError(
            f"no graph can be made of this detector: {_culprit(traced.detector, error)} does what "
            f"cannot be recorded: {first_line(error)}"
        ) from error


def _culprit(detector: Detector, error: Exception) -> str:
    """Return the part in whose code an error arose, the innermost if there are several."""
    files = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    packages = {
        type(chosen.part).__module__.split(".")[0]: str(chosen)
        for chosen in detector.assembly.parts.values()
    }
    for file in reversed(files):
        for package, name in packages.items():
            if f"/{package}/" in file.replace("\\", "/"):
                return name
    return "a part"
