"""What a grid asks of text encoders, counted before it is asked.

No prompts are ever given an embedding that is not the encoder's own: they may keep what they are
given. The first class name is encoded, which has to be done anyway. For the others a fresh copy of
the prompts says what it asks first, and gets no answer.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import torch

from vlmad.types import ContextPrompts
from vlmad_evaluation.sharing import text_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor

    from vlmad.detector import Detector

Asked = dict[str, int]
"""From a digest of texts to how many sentences they are, in the order of the calls."""


@dataclass(frozen=True, slots=True)
class Texts:
    """What is asked of the text encoders: distinct calls, and the sentences in them."""

    calls: int
    sentences: int
    seconds: float
    """As far as they are not kept on disk from before."""


@torch.inference_mode()
def count_texts(detectors: Iterable[Detector], class_names: Sequence[str]) -> Texts:
    """Count what will be asked; encode what the first class name needs and time that.

    Prompts that ask several times are taken to do so alike for every class name.
    """
    first, *others = dict.fromkeys(name.replace("_", " ") for name in class_names)
    own: dict[Any, Asked] = {}
    started = time.perf_counter()
    distinct = _distinct(detectors)
    for key, detector in distinct.items():
        own[key] = _encoded(detector, first)
    taken = time.perf_counter() - started
    now = _merged(own)
    later: dict[Any, int] = {}
    for key, detector in distinct.items():
        for name in others:
            later |= _expected(key[0], own[key], _asked_first(detector, name))
    seconds = taken * sum(later.values()) / max(1, sum(now.values()))
    return Texts(len(now) + len(later), sum(now.values()) + sum(later.values()), seconds)


def _distinct(detectors: Iterable[Detector]) -> dict[Any, Detector]:
    """Return a detector for each backbone and prompts that do not look at the image."""
    found: dict[Any, Detector] = {}
    for detector in detectors:
        if not detector.prompts.looks_at_image:
            prompts = detector.assembly.parts["prompts"]
            key = id(detector.backbone), prompts.registration, repr(prompts.options)
            found.setdefault(key, detector)
    return found


def _merged(own: dict[Any, Asked]) -> dict[Any, int]:
    return {(key[0], text): count for key, asked in own.items() for text, count in asked.items()}


def _encoded(detector: Detector, class_name: str) -> Asked:
    noting = _Noting(detector.text_backbone)
    with suppress(Exception):  # of any plugin; its cells say so when they are scored
        detector.prompts(noting, class_name, None)
    return noting.asked


def _asked_first(detector: Detector, class_name: str) -> Asked:
    refusing = _Refusing(detector.backbone)
    chosen = detector.assembly.parts["prompts"]
    with suppress(Exception):
        chosen.registration.resolve()(**chosen.options)(refusing, class_name, None)
    return refusing.asked


def _expected(backbone: int, known: Asked, first: Asked) -> dict[Any, int]:
    """Return the calls for another class name; none if the texts do not depend on it."""
    if not first or set(first) <= set(known):
        return {}
    ((text, count),) = first.items()
    further = list(known.values())[1:]
    return {(backbone, text, number): each for number, each in enumerate([count, *further])}


class _Noting:
    """A backbone that notes what texts it is asked for."""

    def __init__(self, backbone: Any) -> None:
        self._backbone = backbone
        self.asked: Asked = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backbone, name)

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Tensor:
        """Return raw text embeddings, the backbone's own."""
        self._note(prompts)
        return self._backbone.encode_text(prompts)  # type: ignore[no-any-return]

    def _note(self, prompts: Sequence[str] | ContextPrompts) -> None:
        count = len(prompts.endings if isinstance(prompts, ContextPrompts) else prompts)
        self.asked[text_key(prompts)] = count


class _NoAnswerError(Exception):
    """Enough is known."""


class _Refusing(_Noting):
    """A backbone that notes the first texts it is asked for, and gives no answer."""

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> NoReturn:
        """Note the texts.

        Raises:
            _NoAnswerError: always.
        """
        if not self.asked:
            self._note(prompts)
        raise _NoAnswerError
