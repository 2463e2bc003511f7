"""The ways of encoding that are timed against each other, and what came of it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from vlmad import ClassToken, ImageBatch, Level, Patches, Tiles, Windows, load_detector
from vlmad.options import convert, options_of
from vlmad.parts import IMAGE_TILES, LEVELS, PATCH_TOKENS, SHARED_WINDOWS, TOKEN_WINDOWS
from vlmad.regions import window_patches
from vlmad_documents.documents import Document
from vlmad_openclip.devices import computes_bfloat16
from vlmad_speed._operations import count_operations

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from jaxtyping import Float
    from torch import Tensor

    from vlmad import BackboneSpec, Detector, Preprocessing, Request
    from vlmad.types import Resize

SIZES, TILES = (2, 3), 2
ROWS, WIDTH = 2048, 1024
"""Of the products that are timed: many tokens by the matrices of a middling transformer."""
TRIALS = 7


class MachineLimits(Document):
    """The fastest matrix products of some trials, in 10^9 operations a second."""

    float32_gflops: float
    bfloat16_gflops: float | None
    """None where bfloat16 is not computed natively."""


class EncodingSpeed(Document):
    """How fast one way of encoding is."""

    way: str
    precision: str
    seconds: float
    """Median of a batch."""
    images_per_second: float
    ratio: float
    """Median over the rounds of its time as a share of the first way's."""
    share_of_limit: float
    """Of matrix products in this precision."""


class SpeedReport(Document):
    """What `vlmad bench-speed` measured."""

    version: Literal[2] = 2
    backbone: str
    device: str
    threads: int
    batch: int
    rounds: int
    limits: MachineLimits
    ways: list[EncodingSpeed]


class EncodingWay(NamedTuple):
    """One way of encoding a batch."""

    name: str
    precision: str
    work: Callable[[], object]


def measure_speed(
    backbone: str, batch: int, rounds: int, options: Mapping[str, str] | None = None
) -> SpeedReport:
    """Time each way of encoding, in turns, and what the machine can do at best.

    Args:
        backbone: NAME or NAME:ARGUMENT.
        batch: images that are encoded together.
        rounds: how often each way is timed.
        options: of the backbone, such as its `device`, or one `precision` alone.

    Raises:
        VlmadError: the backbone cannot be loaded, has no such option, or fits nothing.
    """
    given = {"weights": "random:0"} if backbone.split(":")[0] == "openclip" else {}
    given |= options or {}
    usual = load_detector("winclip", backbone=backbone, options={"backbone": given})
    device = getattr(usual.backbone, "device", torch.device("cpu"))
    native = computes_bfloat16(device)
    limits = MachineLimits(
        float32_gflops=_products(torch.float32, device),
        bfloat16_gflops=_products(torch.bfloat16, device) if native else None,
    )
    each = [] if "precision" in given else _precisions(usual, native)
    detectors = [
        load_detector("winclip", backbone=backbone, options={"backbone": given | {"precision": p}})
        for p in each
    ]
    ways = [way for detector in detectors or [usual] for way in _find_ways(detector, batch)]
    seconds = _run_rounds(ways, rounds)
    return SpeedReport(
        backbone=backbone,
        device=str(device),
        threads=torch.get_num_threads(),
        batch=batch,
        rounds=rounds,
        limits=limits,
        ways=[_speed(way, seconds[way], seconds[ways[0]], batch, limits) for way in ways],
    )


def _precisions(detector: Detector, native: bool) -> list[str]:
    """Return which are timed, of those that a backbone can be told by its option."""
    factory = detector.assembly.parts["backbone"].registration.resolve()
    option, found = options_of(factory).get("precision"), list[str]()
    for precision in ("float32", "bfloat16") if native else ("float32",):
        with suppress(ValueError):
            found += [] if option is None else [convert(option.type, precision)]
    return found


def _find_ways(detector: Detector, batch: int) -> list[EncodingWay]:
    model, attention = detector.backbone, detector.attention
    images = ImageBatch(tuple(map(SeededNoise, range(batch))))
    precision = getattr(model, "precision", "float32")
    ways = [
        EncodingWay(name, precision, lambda r=each: model.encode(images, r, attention))  # type: ignore[misc]
        for name, each in _asked(model.spec).items()
    ]
    return (_naive(model, images) if precision == "float32" else []) + ways


def _asked(spec: BackboneSpec) -> dict[str, list[Request]]:
    """Return what is asked of a backbone for each way that it provides."""
    patches = [Patches(spec.depth, stage="normed")] if PATCH_TOKENS in spec.provides else []
    shared = [Windows(size, encoding="shared") for size in SIZES]
    ways: dict[str, tuple[str, list[Request]]] = {
        "windows, exact": (TOKEN_WINDOWS, [ClassToken(), *map(Windows, SIZES), *patches]),
        "windows, shared": (SHARED_WINDOWS, [ClassToken(), *shared, *patches]),
        "dense": (PATCH_TOKENS, [ClassToken(), *patches]),
        "tiles": (IMAGE_TILES, [ClassToken(), Tiles(TILES), *patches]),
        "levels": (LEVELS, [*map(Level, spec.middle or spec.levels)]),
    }
    return {name: asked for name, (word, asked) in ways.items() if word in spec.provides}


def _naive(model: Any, images: ImageBatch) -> list[EncodingWay]:
    """Return the way without savings, if the model is one of open_clip's at its own size."""
    visual = getattr(getattr(model, "model", None), "visual", None)
    if visual is None or tuple(visual.grid_size) != model.spec.grid:
        return []

    def encode() -> list[Tensor]:
        return _naive_features(visual, images.pixels(model.spec.preprocessing).to(model.device))

    return [EncodingWay("windows, naive", "float32", encode)]


def _naive_features(visual: Any, pixels: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
    """Return class token, window class tokens of each size, and normed patches.

    Every window goes through open_clip's own blocks as an image of its own, all those of a
    size at once, without any saving, which is the way that WinCLIP describes.
    """
    patches = visual.conv1(pixels).flatten(2).transpose(1, 2)
    first = visual.class_embedding.expand(len(patches), 1, -1)
    tokens = torch.cat([first, patches], dim=1) + visual.positional_embedding
    image = _through(visual, tokens)
    windows = []
    for size in SIZES:
        members = 1 + window_patches(visual.grid_size, size)
        members = torch.cat([torch.zeros(len(members), 1, dtype=torch.long), members], dim=1)
        encoded = _through(visual, tokens[:, members.to(tokens.device)].flatten(0, 1))
        windows.append((encoded[:, 0] @ visual.proj).unflatten(0, (len(tokens), -1)))
    return [image[:, 0] @ visual.proj, *windows, image[:, 1:]]


def _through(visual: Any, tokens: Float[Tensor, "b t w"]) -> Float[Tensor, "b t w"]:
    tokens = visual.ln_pre(tokens)
    for block in visual.transformer.resblocks:
        tokens = block(tokens)
    return visual.ln_post(tokens)  # type: ignore[no-any-return]


@dataclass
class SeededNoise:
    """An image of any size that takes no time to read."""

    seed: int
    name: str = "noise"

    def pixels(self, preprocessing: Preprocessing, resize: Resize) -> Float[Tensor, "3 h w"]:
        """Return the same noise whenever a size is asked for."""
        return _noise(self.seed, preprocessing.size)

    def crops(
        self, boxes: Float[Tensor, "t 4"], preprocessing: Preprocessing, resize: Resize
    ) -> Float[Tensor, "t 3 h w"]:
        """Return noise for each box."""
        return self.pixels(preprocessing, resize).expand(len(boxes), -1, -1, -1)


@cache
def _noise(seed: int, size: tuple[int, int]) -> Float[Tensor, "3 h w"]:
    return torch.randn(3, *size, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def _run_rounds(ways: list[EncodingWay], rounds: int) -> dict[EncodingWay, list[float]]:
    """Time each way once a round, so that what else the machine does meets them all."""
    taken = [[_seconds(way.work) for way in ways] for _ in range(1 + rounds)]
    return {way: [row[i] for row in taken[1:]] for i, way in enumerate(ways)}  # 0 fills caches


def _seconds(work: Callable[[], object]) -> float:
    """Time one call, to the end of what it started on a GPU."""
    started = time.perf_counter()
    work()
    if torch.accelerator.is_available():
        torch.accelerator.synchronize()
    return time.perf_counter() - started


def _products(dtype: torch.dtype, device: torch.device) -> float:
    tokens = torch.ones(ROWS, WIDTH, dtype=dtype, device=device)
    weights = torch.ones(4 * WIDTH, WIDTH, dtype=dtype, device=device)
    trials = [_seconds(lambda: torch.nn.functional.linear(tokens, weights)) for _ in range(TRIALS)]
    return 2 * ROWS * weights.numel() / min(trials) / 1e9


def _speed(
    way: EncodingWay, own: list[float], first: list[float], batch: int, limits: MachineLimits
) -> EncodingSpeed:
    typical, best = median(own), limits.float32_gflops
    if way.precision == "bfloat16" and limits.bfloat16_gflops:
        best = limits.bfloat16_gflops
    return EncodingSpeed(
        way=way.name,
        precision=way.precision,
        seconds=typical,
        images_per_second=batch / typical,
        ratio=median(mine / others for mine, others in zip(own, first, strict=True)),
        share_of_limit=count_operations(way.work) / 1e9 / typical / best,
    )
