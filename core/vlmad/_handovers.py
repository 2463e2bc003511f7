"""One look at what each part hands on, so that the one at fault is named.

What is promised is declared once: a backbone's answers by `vlmad.regions.shape_of`, everything else
by how `vlmad.types` annotates its tensors. Sums tell whether numbers are finite; nothing is copied.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch import Tensor

from vlmad import parts as words
from vlmad import types
from vlmad.errors import InputError, PluginError, VlmadError, one_line, reason_of
from vlmad.fitting import not_named, word_of
from vlmad.regions import only_inside, shape_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vlmad.fitting import Chosen

FLOATING = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_TENSOR = re.compile(r"(Float|Int|Bool)\[Tensor, '([^']+)'\]")


class NotFiniteError(InputError, PluginError):
    """What a part makes of an image is not a finite number, which costs that image only."""


def is_finite(tensors: Iterable[Tensor]) -> bool:
    """Return whether all numbers are finite; where their sum is, one look is enough."""
    return all(bool(t.sum().isfinite()) or bool(t.isfinite().all()) for t in tensors)


@dataclass(frozen=True, slots=True)
class Giver:
    """A part that hands on, and of what types its floating-point numbers may be."""

    chosen: Chosen
    floating: Sequence[torch.dtype] = FLOATING

    @contextmanager
    def blamed(self) -> Iterator[Giver]:
        """Turn whatever the part raises into an error that names it."""
        try:
            yield self
        except VlmadError:  # it may say what is wrong with an image, an option or weights
            raise
        except (Exception, SystemExit) as error:
            reason = f"{reason_of(error)}{self.hint}"
            raise PluginError(f"{self.chosen.registration} failed: {reason}") from error

    @property
    def hint(self) -> str:
        """What a scorer was not given, because it does not name it."""
        kind = self.chosen.registration.kind
        lacking = not_named(self.chosen.part.needs) if kind == "scorer" else ()
        return f" (not in its needs, so not given: {', '.join(lacking)})" if lacking else ""

    def refuse(self, what: str) -> NoReturn:
        """Raise that the part does something."""
        raise PluginError(f"{self.chosen.registration} {what}")

    def require_named(self, word: str | None, what: str) -> None:
        """Refuse the use of something that the part does not name."""
        if word not in (None, *self.chosen.part.needs):
            self.refuse(f"{what}, yet does not name '{word}' in needs")

    def require_finite(self, tensors: Iterable[Tensor], what: str, of: str = "") -> None:
        """Refuse what holds a number that is not finite, `of` an image whose name comes first."""
        if not is_finite(tensors):
            said = f"{self.chosen.registration} returned {what} that are not finite numbers"
            raise NotFiniteError(f"{of}{said}{self.hint}")

    def require_tensor(
        self, value: Any, what: str, kinds: Sequence[torch.dtype], shape: Sequence[int | str]
    ) -> None:
        """Refuse what is no tensor of such a type and shape; a letter is any size."""
        came = type(value).__name__
        if isinstance(value, Tensor):
            came = _told(value.dtype, value.shape)
            sizes = [n if isinstance(n, int) else m for m, n in zip(value.shape, shape)]  # noqa: B905
            if value.dtype in kinds and sizes == [*value.shape] and len(sizes) == len(shape):
                return
        self.refuse(f"returned {what} as {came}, not as {_told(kinds[0], shape)}")

    def require_type(self, value: Any, kind: type, sizes: Mapping[str, int], of: str = "") -> None:
        """Refuse what is no such type with tensors as annotated, their letters being sizes."""
        if not isinstance(value, kind):
            self.refuse(f"returned a {type(value).__name__}, not a vlmad.{kind.__name__}")
        known: dict[str, int] = {"4": 4, **sizes}
        for name, numbers, letters in _tensors_of(kind):
            tensor, own = getattr(value, name), letters
            shape = [*getattr(tensor, "shape", ())]
            if letters[0][0] == "*":  # one set for all images, or one for each
                own = [letters[0][1:], *letters[1:]][len(shape) < len(letters) :]
            kinds = {"Float": self.floating, "Int": (torch.int64, torch.int32)}
            wanted = [known.get(letter, letter) for letter in own]
            self.require_tensor(tensor, name + of, kinds.get(numbers, (torch.bool,)), wanted)
            known |= dict(zip(own, shape, strict=True))

    def asks(self, requests: Iterable[Any], spec: types.BackboneSpec) -> list[types.Request]:
        """Return what an extractor asks for, if it named it and the backbone has it."""
        asked = list(requests)
        for request in asked:
            layer, level = getattr(request, "layer", 0), getattr(request, "name", None)
            there = 0 <= layer <= spec.depth and level in (None, *spec.levels)
            if not (there and isinstance(request, types.Request)):
                what = one_line(repr(request))
                self.refuse(f"asks for {what}, which {spec.name} does not have")
            self.require_named(word_of(request), f"asks for {request}")
        return asked

    def answers(
        self, visual: Any, requests: Iterable[types.Request], spec: types.BackboneSpec, images: int
    ) -> None:
        """Look at a backbone's answers."""
        self.require_type(visual, types.VisualFeatures, {})
        for request in requests:
            shape = shape_of(request, spec, images)
            self.require_tensor(visual.tensors.get(request), str(request), self.floating, shape)
        if [*visual.grid, *visual.image_size] != [*spec.grid, *spec.preprocessing.size]:
            self.refuse("returned another grid or image size than its spec has")

    def features(
        self, features: Any, visual: types.VisualFeatures, width: int, images: int
    ) -> None:
        """Look at what an extractor arranged, and whether it gives what it lists in `gives`."""
        gives, space = self.chosen.gives, {"d": width}
        own = space if words.CLASS_TOKEN in gives else {}
        self.require_type(features, types.Features, {"b": images, **own})
        if [*features.grid, *features.image_size] != [*visual.grid, *visual.image_size]:
            self.refuse("returned another grid or image size than it was given")
        for each in features.regions:
            of, own = f" of '{each.name}'", space if each.aligned else {}
            self.require_type(each, types.Regions, {"b": images, **own}, of)
            first, last = each.cells.split(2, dim=1)
            ends = each.cells.new_tensor(each.grid or visual.grid)
            if not bool(((first >= 0) & (first < last) & (last <= ends)).all()):
                self.refuse(f"returned cells{of} that are not on the grid")
        if {words.REGIONS, words.PATCHES} & gives and not features.aligned:
            self.refuse("gives no regions in the space of the text, which it lists in gives")
        if words.CELLS in gives and not all(each.grid for each in features.regions):
            self.refuse(f"gives regions without a grid, yet lists '{words.CELLS}' in gives")

    def text(self, text: Any, width: int, images: int) -> None:
        """Look at the embeddings that prompts made; None if they list no text in `gives`."""
        if text is None and words.TEXT not in self.chosen.gives:
            return
        count = len(getattr(text, "sentences", ()))
        self.require_type(text, types.TextEmbeddings, {"b": images, "n": count, "d": width})
        if not 0 < int(text.anomalous.sum()) < count:
            self.refuse("returned sentences of one side only")
        self.require_finite([text.embeddings, text.norms], "embeddings")

    def prediction(self, prediction: Any, features: types.Features) -> types.Prediction:
        """Return what a scorer made, as float32, without what lies outside of what counts."""
        height, width = features.image_size
        sizes = {"b": len(features), "h": height, "w": width}
        self.require_type(prediction, types.Prediction, sizes)
        heat = only_inside(prediction.map.float(), features.inside)
        return types.Prediction(prediction.score.float(), heat)

    def memory(self, memory: Any) -> Mapping[str, Tensor]:
        """Return what a scorer remembers: finite tensors by name."""
        if not isinstance(memory, Mapping) or not all(
            isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in memory.items()
        ):
            self.refuse("remembers what is no mapping of names to tensors")
        self.require_finite(memory.values(), "numbers to remember")
        return memory


@cache
def _tensors_of(kind: type) -> list[tuple[str, str, list[str]]]:
    """Return the name of each tensor that must be there, its kind of numbers, and its letters."""
    found = ((field.name, _TENSOR.fullmatch(str(field.type))) for field in fields(kind))
    return [(name, match[1], match[2].split()) for name, match in found if match]


def _told(kind: torch.dtype, shape: Iterable[object]) -> str:
    return f"{str(kind).removeprefix('torch.')} ({', '.join(map(str, shape))})"


class Given:
    """A part as another one is given it: some of its methods are looked at."""

    def __init__(self, part: Any, **methods: Callable[..., Any]) -> None:
        self._part = part
        vars(self).update(methods)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._part, name)


def given_attention(giver: Giver, of: str = "") -> Any:
    """Return an attention as a backbone is given it; `of` an image, numbers are looked at too."""
    part = giver.chosen.part

    def blocks(depth: int) -> range:
        with giver.blamed():
            acts = part.blocks(depth)
        if not isinstance(acts, range) or not {*acts} <= {*range(depth)}:
            giver.refuse(f"acts on blocks {acts!r} of {depth}")
        return acts

    def mix(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        with giver.blamed():
            mixed: Tensor = part.mix(q, k, v)
        giver.require_tensor(mixed, "mixed values", (v.dtype,), v.shape)
        if of and is_finite((q, k, v)):
            giver.require_finite([mixed], "mixed values", of)
        return mixed

    return Given(part, blocks=blocks, mix=mix)


def given_backbone(backbone: Any, giver: Giver, prompts: Giver) -> Any:
    """Return a backbone as prompts are given it: it encodes the texts that their `needs` name."""
    width = backbone.spec.embedding_dim

    def encode_text(texts: Any) -> Tensor:
        learned = isinstance(texts, types.ContextPrompts)
        if learned or words.CONTEXT_VECTORS not in prompts.chosen.part.needs:
            word = words.CONTEXT_VECTORS if learned else words.TEXT_ENCODER
            prompts.require_named(word, "encodes texts")
        with giver.blamed():
            embeddings: Tensor = backbone.encode_text(texts)
        shape = len(texts.sentences if learned else texts), width
        giver.require_tensor(embeddings, "text embeddings", giver.floating, shape)
        giver.require_finite([embeddings], "text embeddings")
        return embeddings

    return Given(backbone, encode_text=encode_text)
