"""The plan of a grid: what will be asked of the images and texts, and what that will cost.

Times are measured, on the first image and the first class name; nothing is guessed from tables
of hardware. Features are encoded anew for it, so that a filled cache does not make them look
free.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from vlmad.errors import PluginError, VlmadError
from vlmad.images import Source
from vlmad.overlays import png, to_16_bits
from vlmad.sharing import text_key
from vlmad.streaming import Stream, stream_together
from vlmad.types import ContextPrompts, ImageBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from jaxtyping import Float

    from vlmad.sharing import Pass
    from vlmad_evaluation.bench.plan import Plan
    from vlmad_evaluation.bench.scoring import SideBySide


@dataclass(frozen=True, slots=True)
class PassPlan:
    """A pass over every image."""

    backbone: str
    attention: str
    requests: tuple[str, ...]
    combinations: int
    """How many are answered by it."""
    seconds: float
    """For an image."""
    numbers: int
    """How many it gives for an image, 4 bytes each."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is asked of the text encoders: distinct calls, and the sentences in them."""

    calls: int
    sentences: int
    seconds: float
    """As far as they are not kept on disk from before."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a grid will cost, all images of all cells, without what is done already."""

    passes: tuple[PassPlan, ...]
    texts: Texts
    images: int
    """Distinct ones, references included."""
    cells: int
    scorings: int
    """An image counts for each cell."""
    seconds_per_scoring: float
    bytes_per_map: int

    @property
    def seconds(self) -> float:
        """Of encoding and scoring; metrics come on top."""
        encoding = self.images * sum(each.seconds for each in self.passes)
        return encoding + self.scorings * self.seconds_per_scoring + self.texts.seconds

    @property
    def bytes_of_maps(self) -> int:
        """In the grid's folder."""
        return self.scorings * self.bytes_per_map

    @property
    def bytes_of_features(self) -> int:
        """In the cache, as far as its limit allows."""
        return self.images * sum(4 * each.numbers for each in self.passes)


def estimate(
    plan: Plan, groups: Sequence[SideBySide], progress: Callable[[str, int, int], None]
) -> Estimate:
    """Measure on one image what the whole will take.

    A part that fails here is left out: its cells say so when they are scored.

    Raises:
        InputError: the first image cannot be read.
        WeightsError: weights cannot be loaded.
    """
    cell = plan.cells[0]
    path = cell.samples[0].image
    names = {c.category: c.class_name for c in plan.cells}
    passes: list[PassPlan] = []
    total = len(groups) + 1
    for index, group in enumerate(groups):
        progress("estimating", index, total)
        passes += _passes(group, Source(str(path), path))
    texts = _texts(groups, list(names.values()))
    scoring, size = _scoring(groups, Source(str(path), path), cell.class_name)
    progress("estimating", total, total)
    images = {s.image for c in plan.cells for s in c.samples}
    images |= {reference for c in plan.cells for reference in c.references}
    return Estimate(
        tuple(passes), texts, len(images), len(plan.cells), plan.images, scoring, size
    )


@torch.inference_mode()
def _passes(group: SideBySide, source: Source) -> Iterator[PassPlan]:
    """Time each pass on an image, the second time it sees it."""
    for each in group.shared.passes:
        backbone, attention = each.assembly.parts["backbone"].part, each.attention
        requests = list(each.requests)
        batch = ImageBatch((source,), group.shared.detectors[0].resizing.of_each)
        try:
            for _ in range(2):
                started = time.perf_counter()
                answers = backbone.encode(batch, requests, attention.part)
                seconds = time.perf_counter() - started
        except VlmadError:
            raise
        except Exception:  # then each detector asks alone (`vlmad.sharing`)
            continue
        yield PassPlan(
            backbone.spec.name,
            attention.registration.name,
            tuple(map(describe_request, requests)),
            _answered(group, each),
            seconds,
            sum(tensor.numel() for tensor in answers.tensors.values()),
        )


def _answered(group: SideBySide, asked: Pass) -> int:
    return sum(asked in route.values() for route in group.shared.routes)


def describe_request(request: Any) -> str:
    """Return a request in a few words.

    >>> from vlmad import Patches, Windows
    >>> describe_request(Windows(3)), describe_request(Patches(12, "beside"))
    ('windows 3', 'patches 12 beside projected')
    """
    kind = type(request).__name__
    if kind == "ClassToken":
        return "class token" if request.normed else "class token raw"
    if kind == "Windows":
        shared = " shared" if request.encoding == "shared" else ""
        return f"windows {request.size}{shared}{'' if request.normed else ' raw'}"
    if kind == "Patches":
        path = " beside" if request.path == "beside" else ""
        return f"patches {request.layer}{path} {request.stage}"
    return str(request) if kind != "Tiles" else f"tiles {request.grid}"


class _Counting:
    """A backbone that notes what texts it would encode."""

    def __init__(self, backbone: Any, asked: dict[tuple[int, str], int]) -> None:
        self._backbone, self._asked = backbone, asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> torch.Tensor:
        """Return ones in the place of embeddings."""
        count = len(prompts.endings if isinstance(prompts, ContextPrompts) else prompts)
        self._asked[id(self._backbone), text_key(prompts)] = count
        return torch.ones(count, self._backbone.spec.embedding_dim)


def _texts(groups: Sequence[SideBySide], class_names: Sequence[str]) -> Texts:
    """Count what will be asked; encode what the first class name needs and time that."""
    detectors = [
        detector
        for group in groups
        for detector in group.shared.detectors
        if not detector.prompts.looks_at_image
    ]
    first: dict[tuple[int, str], int] = {}
    whole: dict[tuple[int, str], int] = {}
    started = time.perf_counter()
    for detector in detectors:
        with suppress(PluginError):
            detector.text(class_names[0], None)
    taken = time.perf_counter() - started
    for detector in detectors:
        for index, name in enumerate(class_names):
            asked: dict[tuple[int, str], int] = {}
            with suppress(Exception):  # of any plugin
                detector.prompts(_Counting(detector.backbone, asked), name.replace("_", " "), None)
            whole |= asked
            if index == 0:
                first |= asked
    later = sum(whole.values()) - sum(first.values())
    return Texts(len(whole), sum(whole.values()), taken * later / max(1, sum(first.values())))


def _scoring(groups: Sequence[SideBySide], source: Source, class_name: str) -> tuple[float, int]:
    """Return the mean time of a scoring with its map written, and the map's mean size."""
    seconds, sizes = 0.0, []
    for group in groups:
        streams = _streams(group, class_name)
        deque(_maps(streams, source), maxlen=0)  # encodes, which is known for the second time
        started = time.perf_counter()
        sizes += [len(png(Image.fromarray(to_16_bits(heat)[0]))) for heat in _maps(streams, source)]
        seconds += time.perf_counter() - started
        group.shared.forget()
    return seconds / max(1, len(sizes)), sum(sizes) // max(1, len(sizes))


def _streams(group: SideBySide, class_name: str) -> list[Stream]:
    """Return the detectors of a group that can score without references."""
    found = []
    for detector in group.shared.detectors:
        if detector.scorer.references != "required":
            with suppress(PluginError):  # its prompts
                found.append(Stream(detector, class_name, 1))
    return found


def _maps(streams: list[Stream], source: Source) -> Iterator[Float[np.ndarray, "H W"]]:
    """Yield the maps of an image; a stream that fails is taken out."""
    if streams:
        for _, result in stream_together(
            list(streams), [source], lambda stream, _: streams.remove(stream)
        ):
            if result.map is not None:
                yield result.map
