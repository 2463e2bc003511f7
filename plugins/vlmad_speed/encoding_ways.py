"""The ways of encoding that are timed against each other, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from vlmad import ClassToken, ImageBatch, Patches, Windows, load_detector
from vlmad.errors import OptionError
from vlmad.images import as_source
from vlmad.parts import SHARED_WINDOWS, TOKEN_WINDOWS
from vlmad_speed.limits import seconds_of
from vlmad_speed.naive import naive_features

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vlmad import Backbone, Detector, Request

SIZES = (2, 3)


@dataclass(frozen=True, slots=True)
class Way:
    """One way of encoding a batch, and how long it took."""

    name: str
    precision: str
    work: Callable[[], object]
    seconds: list[float]

    @property
    def typical(self) -> float:
        """Median seconds of a batch."""
        return median(self.seconds)

    def ratio_to(self, other: Way) -> float:
        """Return the median over the rounds of its time as a share of another's."""
        pairs = zip(self.seconds, other.seconds, strict=True)
        return median(own / others for own, others in pairs)

    def operations(self) -> float:
        """Count the floating-point operations of a batch, in 10^9."""
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # what it runs in one piece is not counted
        try:
            with torch.no_grad(), FlopCounterMode(display=False) as counter:
                self.work()
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
        return float(counter.get_total_flops()) / 1e9


def find_ways(backbone: str, weights: str | None, batch: int, native_bfloat16: bool) -> list[Way]:
    """Load a backbone and return the ways that it has of encoding the same images.

    Args:
        backbone: NAME or NAME:ARGUMENT.
        weights: a checkpoint, random:SEED, or None for the backbone's own.
        batch: images that are encoded together.
        native_bfloat16: whether to add the same ways in bfloat16.

    Raises:
        VlmadError: the backbone cannot be loaded or has no windows.
    """
    plain = _load(backbone, weights, "float32")
    ways = _naive(plain.backbone, batch) + _encodings(plain, batch, "float32")
    if native_bfloat16:
        ways += _encodings(_load(backbone, weights, "bfloat16"), batch, "bfloat16")
    return ways


def _load(backbone: str, weights: str | None, precision: str) -> Detector:
    options = {"precision": precision} | ({"weights": weights} if weights else {})
    return load_detector("winclip", backbone=backbone, options={"backbone": options})


def pictures(model: Backbone, count: int) -> ImageBatch:
    """Return seeded noise of the size that a backbone takes."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(count, 3, *model.spec.preprocessing.size, generator=generator)
    return ImageBatch(tuple(as_source(image) for image in pixels))


def _naive(model: Any, batch: int) -> list[Way]:
    """Return the way without savings, if the model is one of open_clip's at its own size."""
    visual = getattr(getattr(model, "model", None), "visual", None)
    if visual is None or tuple(visual.grid_size) != model.spec.grid:
        return []
    images = pictures(model, batch)

    def encode() -> object:
        pixels = images.pixels(model.spec.preprocessing).to(model.device)
        return naive_features(visual, pixels, SIZES)

    return [Way("windows, naive", "float32", encode, [])]


def _encodings(detector: Detector, batch: int, precision: str) -> list[Way]:
    model, attention = detector.backbone, detector.attention
    spec, images = model.spec, pictures(model, batch)
    if TOKEN_WINDOWS not in spec.provides:
        raise OptionError(f"{spec.name} has no windows to measure")
    patches = Patches(spec.depth, stage="normed")
    asked: dict[str, list[Request]] = {
        "windows, exact": [ClassToken(), *(Windows(size) for size in SIZES), patches]
    }
    if SHARED_WINDOWS in spec.provides:
        shared = [Windows(size, encoding="shared") for size in SIZES]
        asked["windows, shared"] = [ClassToken(), *shared, patches]
    asked["dense"] = [ClassToken(), patches]
    return [
        Way(name, precision, lambda r=requests: model.encode(images, r, attention), [])  # type: ignore[misc]
        for name, requests in asked.items()
    ]


@torch.inference_mode()
def run_rounds(ways: list[Way], rounds: int, device: torch.device) -> None:
    """Time each way once a round, in turns, so that what else the machine does meets them all."""
    for number in range(1 + rounds):
        for way in ways:
            seconds = seconds_of(way.work, device)
            if number > 0:  # the first loads weights and fills caches
                way.seconds.append(seconds)


def summary(way: Way, base: Way, batch: int, limit: float) -> Mapping[str, Any]:
    """Return the figures of one way."""
    speed = way.operations() / way.typical
    return {
        "way": way.name,
        "precision": way.precision,
        "seconds": way.typical,
        "images_per_second": batch / way.typical,
        "ratio": way.ratio_to(base),
        "share_of_limit": speed / limit,
    }
