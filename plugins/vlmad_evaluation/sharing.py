"""Several detectors over the same images: each request is answered once for all of them.

    shared = SharedBackbone([detector, other])
    for each in (detector, other):
        each.on(shared).results(images, class_name)
    shared.forget()

Requests that attention does not touch are the same whatever the attention is, and attention
beside the stream leaves the stream alone. So plain and second-path features come from one pass,
and only attention within the stream needs a pass of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from vlmad.errors import PluginError, VlmadError
from vlmad.types import ClassToken, ContextPrompts, VisualFeatures
from vlmad_evaluation.feature_cache import FeatureCache, is_touched
from vlmad_openclip.store import key_of, open_store, tensor_digest

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor

    from vlmad.detector import Detector
    from vlmad.fitting import Chosen
    from vlmad.parts import Attention
    from vlmad.types import ImageBatch, ImageSource, Request
    from vlmad_evaluation.feature_cache import Answers

MOST_TEXTS = 1024
"""Calls whose embeddings are remembered: prompts that look at the image make ever new ones."""


@dataclass(slots=True, eq=False)
class SharedPass:
    """What is asked of a backbone under one attention, for all detectors together."""

    attention: Chosen
    requests: dict[Request, None] = field(default_factory=dict)
    """In the order in which they were asked for."""
    known: dict[int, tuple[ImageSource, Answers]] = field(default_factory=dict)
    """By the identity of sources, which are kept so that it stays theirs."""


class PassPlan:
    """The passes that answer some detectors, and which of them answers what.

    Args:
        detectors: they have equal backbones.

    Raises:
        PluginError: an extractor fails.
        OptionError: one asks for what its backbone does not have.
    """

    def __init__(self, detectors: Iterable[Detector]) -> None:
        own: dict[Hashable, SharedPass] = {}
        self._by_attention: dict[int, SharedPass] = {}
        untouched: dict[Request, None] = {}
        for detector in detectors:
            attention = replace(detector.assembly.parts["attention"], part=detector.attention)
            answering = own.setdefault(_key(attention), SharedPass(attention))
            self._by_attention[id(attention.part)] = answering
            self._depth = detector.backbone.spec.depth
            for request in detector.requests():
                touched = is_touched(request, attention.part, self._depth)
                (answering.requests if touched else untouched).setdefault(request)
        self._plain = self._find_plain([*own.values()])
        for request in untouched:
            self._plain.requests.setdefault(request)
        self.passes = [each for each in own.values() if each.requests]

    def find(self, request: Request, attention: Attention) -> SharedPass:
        """Return the pass that answers a request.

        Raises:
            KeyError: none was planned.
        """
        answering = self._by_attention[id(attention)]
        if not is_touched(request, attention, self._depth):
            answering = self._plain
        if request not in answering.requests:
            raise KeyError(request)
        return answering

    def _find_plain(self, passes: Sequence[SharedPass]) -> SharedPass:
        """Return a pass whose stream no attention touches; one that is needed anyway, if any.

        If all attention acts within the stream, no request is untouched and none is asked for.
        """
        depth = self._depth
        plain = [p for p in passes if not is_touched(ClassToken(), p.attention.part, depth)]
        return next((each for each in plain if each.requests), (plain or passes)[0])


class SharedBackbone:
    """A backbone that answers each request of each image once for several detectors.

    It knows an image by its `Source` object, until `forget`. All else is the backbone's own.

    Args:
        detectors: those that are to use it; of their equal backbones that of the first is used.
        keep: whether answers are kept on disk too, where the next command finds them.
    """

    def __init__(self, detectors: Sequence[Detector], keep: bool = False) -> None:
        chosen = detectors[0].assembly.parts["backbone"]
        store = open_store("visual") if keep else None
        self.plain: Any = chosen.part
        """The backbone itself, which remembers nothing."""
        self._plan = PassPlan(detectors)
        self._cache = None if store is None else FeatureCache(chosen, store)
        self._texts: dict[Hashable, Tensor] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    @property
    def passes(self) -> Sequence[SharedPass]:
        """The passes over each image."""
        return self._plan.passes

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer the requests with tensors that are the asker's to write to.

        Where a shared pass fails, or none was planned, the backbone is asked for these requests
        alone: what another detector asked for may be at fault.
        """
        try:
            route = {request: self._plan.find(request, attention) for request in requests}
            rows = {each: self._answers(each, batch) for each in dict.fromkeys(route.values())}
        except Exception as error:
            if isinstance(error, VlmadError) and not isinstance(error, PluginError):
                raise
            return self.plain.encode(batch, requests, attention)  # type: ignore[no-any-return]
        tensors = {
            request: torch.stack([answers[request] for answers in rows[each]])
            for request, each in route.items()
        }
        spec = self.plain.spec
        return VisualFeatures(tensors, spec.grid, spec.preprocessing.size)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw text embeddings; no text is encoded twice."""
        key = _text_key(prompts)
        if key not in self._texts:
            if len(self._texts) == MOST_TEXTS:
                self._texts.clear()
            self._texts[key] = self.plain.encode_text(prompts)
        return self._texts[key].clone()

    def forget(self) -> None:
        """Forget the images; call it when all detectors have scored them."""
        for each in self.passes:
            each.known.clear()

    def _answers(self, each: SharedPass, batch: ImageBatch) -> list[Answers]:
        """Return what a pass gives of each image, from one call for those that are new."""
        lacking = tuple(source for source in batch.sources if id(source) not in each.known)
        if lacking:
            found = self._ask(each, replace(batch, sources=lacking))
            for source, answers in zip(lacking, found, strict=True):
                each.known[id(source)] = source, answers
        return [each.known[id(source)][1] for source in batch.sources]

    def _ask(self, each: SharedPass, batch: ImageBatch) -> list[Answers]:
        requests = list(each.requests)
        if self._cache is not None:
            return self._cache.answers(batch, requests, each.attention)
        found = self.plain.encode(batch, requests, each.attention.part)
        return [{r: found[r][row] for r in requests} for row in range(len(batch))]


def share(detectors: Mapping[str, Detector], keep: bool = False) -> dict[str, Detector]:
    """Return the detectors, those with equal backbones on one that they share.

    Args:
        detectors: by any names.
        keep: see `SharedBackbone`.
    """
    alike: dict[Hashable, dict[str, Detector]] = {}
    for name, detector in detectors.items():
        alike.setdefault(_key(detector.assembly.parts["backbone"]), {})[name] = detector
    shared: dict[str, Detector] = {}
    for group in alike.values():
        backbone = SharedBackbone([*group.values()], keep)
        shared |= {name: detector.on(backbone) for name, detector in group.items()}
    return {name: shared[name] for name in detectors}


def _key(chosen: Chosen) -> Hashable:
    """Return what equal parts have in common."""
    return chosen.registration, repr(chosen.options)


def _text_key(prompts: Sequence[str] | ContextPrompts) -> Hashable:
    if not isinstance(prompts, ContextPrompts):
        return tuple(prompts)
    deep = {index: tensor_digest(tokens) for index, tokens in prompts.deep.items()}
    context = tensor_digest(prompts.context)
    return key_of({"context": context, "deep": deep, "sentences": prompts.sentences})
