"""Several detectors on the same images: each visual request is answered once for all of them.

Requests that attention does not touch are the same whatever the attention is, and attention
beside the stream leaves the stream alone. So plain and second-path features come from one pass,
and only attention within the stream needs a pass of its own.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from vlmad.caches.keys import key_of, tensor_digest
from vlmad.caches.visual import feels, keep_features
from vlmad.errors import PluginError, blaming
from vlmad.types import ContextPrompts, Patches, VisualFeatures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.assembly import Assembly, Chosen
    from vlmad.detector import Detector
    from vlmad.images import Source
    from vlmad.parts import Attention
    from vlmad.types import ImageBatch, Request

Answers: TypeAlias = "dict[Request, Tensor]"
"""What is known of one image, without a batch dimension."""


@dataclass(slots=True, eq=False)
class Pass:
    """What is asked of a backbone under one attention, for all detectors together."""

    assembly: Assembly
    """Whose backbone and attention are used."""
    requests: dict[Request, None] = field(default_factory=dict)
    """In the order in which they were asked for."""

    @property
    def attention(self) -> Chosen:
        """The attention."""
        return self.assembly.parts["attention"]


def plan_passes(detectors: Sequence[Detector]) -> tuple[list[Pass], list[dict[Request, Pass]]]:
    """Lay out the passes that answer all detectors, and where each finds its answers.

    Detectors share what they ask of the same backbone object under equal attention.

    Raises:
        PluginError: an extractor fails.
        OptionError: one asks for what its backbone does not have.
    """
    passes: list[Pass] = []
    felt: list[dict[Request, Pass]] = []
    for detector in detectors:
        requests = detector.requests()
        own = next((p for p in passes if _is_answered_by(detector, p)), None)
        if own is None:
            own = Pass(detector.assembly)
            passes.append(own)
        felt.append({request: own for request in requests if _feels(request, own)})
        own.requests |= dict.fromkeys(felt[-1])
    routes = []
    for detector, known in zip(detectors, felt, strict=True):
        plain = _plain_pass(detector, passes)
        route = {request: known.get(request, plain) for request in detector.requests()}
        for request, answering in route.items():
            answering.requests.setdefault(request)
        routes.append(route)
    return [p for p in passes if p.requests], routes


def _is_answered_by(detector: Detector, other: Pass) -> bool:
    own, theirs = detector.assembly.parts["attention"], other.attention
    same = (own.registration, own.options) == (theirs.registration, theirs.options)
    return same and other.assembly.parts["backbone"].part is detector.backbone


def _feels(request: Request, within: Pass) -> bool:
    if isinstance(request, Patches) and request.path == "beside":
        return True  # its own second path, even where it writes nothing to it
    depth = within.assembly.parts["backbone"].part.spec.depth
    return feels(request, within.attention.part, depth)


def _plain_pass(detector: Detector, passes: Sequence[Pass]) -> Pass:
    """Return a pass whose stream no attention touches; one that is needed anyway, if there is.

    If all attention acts within the stream, no request is untouched and none is asked for.
    """
    own = [p for p in passes if p.assembly.parts["backbone"].part is detector.backbone]
    depth = detector.backbone.spec.depth

    def touches_nothing(each: Pass) -> bool:
        attention: Attention = each.attention.part
        return attention.path == "beside" or not len(attention.blocks(depth))

    untouched = [each for each in own if touches_nothing(each)]
    return next((each for each in untouched if each.requests), (untouched or own)[0])


class Shared:
    """Detectors that look at the same images.

    Args:
        detectors: they stay as they are; `detectors` holds those to use in their place.
        keep: whether features are kept on disk as well.
    """

    def __init__(self, detectors: Sequence[Detector], keep: bool) -> None:
        self.passes, self.routes = plan_passes(detectors)
        self._encoders = {each: _Encoder(each, keep) for each in self.passes}
        texts: dict[int, SharedText] = {}
        self.detectors = []
        for detector, route in zip(detectors, self.routes, strict=True):
            sharing = copy.copy(detector)
            encoders = {request: self._encoders[each] for request, each in route.items()}
            sharing.vision = _Routed(encoders, detector.vision)
            if not detector.prompts.looks_at_image:  # else no text comes twice
                own = SharedText(detector.text_backbone)
                sharing.text_backbone = texts.setdefault(id(detector.backbone), own)
            self.detectors.append(sharing)

    def forget(self) -> None:
        """Forget what is known of images; call it when all detectors have seen them."""
        for encoder in self._encoders.values():
            encoder.known.clear()


class _Encoder:
    """A pass that remembers its answers."""

    def __init__(self, of: Pass, keep: bool) -> None:
        self._requests, self._attention = list(of.requests), of.attention.part
        backbone = of.assembly.parts["backbone"].part
        self.spec = backbone.spec
        self._vision = keep_features(of.assembly) if keep else backbone
        self.known: dict[int, tuple[Source, Answers]] = {}
        """By the identity of sources, which are kept so that it stays theirs."""

    def answers(self, batch: ImageBatch) -> list[Answers]:
        lacking = tuple(s for s in batch.sources if id(s) not in self.known)
        if lacking:
            part = replace(batch, sources=lacking)
            found = self._vision.encode(part, self._requests, self._attention)
            for row, source in enumerate(lacking):
                own = {request: found[request][row] for request in self._requests}
                self.known[id(source)] = source, own
        return [self.known[id(source)][1] for source in batch.sources]


class _Routed:
    """What one detector uses as a backbone for images: it asks the passes that know."""

    def __init__(self, route: Mapping[Request, _Encoder], alone: Any) -> None:
        self._route, self._alone = route, alone

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer the requests that were planned, under the attention that they were planned with.

        Where a pass fails, the detector asks alone: what another asked for may be at fault.
        """
        try:
            with blaming("what is shared failed"):
                each_once = dict.fromkeys(self._route.values())
                answers = {each: each.answers(batch) for each in each_once}
        except PluginError:
            return self._alone.encode(batch, requests, attention)  # type: ignore[no-any-return]
        tensors = {
            request: _joined([own[request] for own in answers[self._route[request]]])
            for request in requests
        }
        spec = next(iter(answers)).spec
        return VisualFeatures(tensors, spec.grid, spec.preprocessing.size)


def _joined(rows: Sequence[Tensor]) -> Tensor:
    """Return a tensor of the asker's own: what it writes to it, no other detector sees."""
    return torch.stack(list(rows))


class SharedText:
    """A backbone that encodes no text twice while it lives; all else is the backbone's own."""

    def __init__(self, backbone: Any) -> None:
        self._backbone = backbone
        self._known: dict[str, Tensor] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw text embeddings."""
        key = text_key(prompts)
        if key not in self._known:
            self._known[key] = self._backbone.encode_text(prompts)
        return self._known[key].clone()  # or who normalises it in place would do so for all


def text_key(prompts: Sequence[str] | ContextPrompts) -> str:
    """Return a digest of sentences or learned vectors, the same for the same texts only."""
    if not isinstance(prompts, ContextPrompts):
        return key_of({"sentences": list(prompts)})
    deep = {index: tensor_digest(tokens) for index, tokens in prompts.deep.items()}
    context = tensor_digest(prompts.context)
    return key_of({"context": context, "deep": deep, "endings": list(prompts.endings)})
