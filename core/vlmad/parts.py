"""The five kinds of part, as protocols.

A part may inherit from its protocol, for the defaults; it need not, only the shape counts.

What fits what is said in words. A part lists in `needs` what others must give, a backbone's
spec lists what it `provides`, and extractors and prompts list what they `gives`; the
constants below are the words that the built-in parts use, and plugins may add their own.
A set of parts is legal when every need is met and no part refuses the backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from vlmad.errors import IncompatiblePartsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from jaxtyping import Float
    from torch import Tensor, device

    from vlmad.types import (
        BackboneSpec,
        ContextPrompts,
        Features,
        ImageBatch,
        Prediction,
        Request,
        TextEmbeddings,
        View,
        VisualFeatures,
    )

TEXT_ENCODER = "text encoder"
"""A backbone that encodes sentences."""
CONTEXT_VECTORS = "learned context"
"""A backbone whose text encoder also takes learned vectors and deep tokens."""
ATTENTION = "exchangeable attention"
"""A backbone that runs attention modifiers."""
PATCH_TOKENS = "patch tokens"
"""A backbone that answers `Patches`, of every layer, plain and beside."""
TOKEN_WINDOWS = "token windows"
"""A backbone that answers `Windows`, each encoded by itself."""
SHARED_WINDOWS = "shared windows"
"""A backbone that also answers `Windows` whose encoding is shared."""
IMAGE_TILES = "image tiles"
"""A backbone that answers `Tiles`."""
TEXT = "text"
"""Prompts that give text embeddings."""
CLASS_TOKEN = "class token"
"""An extractor that gives the embedding of the whole image."""
REGIONS = "regions"
"""An extractor that gives regions in the space of the text."""
PATCHES = "patch features"
"""An extractor whose aligned regions are single patches, read from the second path if any."""
LEVELS = "levels"
"""A backbone that answers `Level` for all levels of its spec."""
CELLS = "cells of levels"
"""An extractor whose regions are all cells of whole levels, which text cannot judge, beside what
stands for the whole image."""


class Backbone(Protocol):
    """An image-text model, or an image model: who lists no `TEXT_ENCODER` knows no text.

    State: weights, loaded when first needed and outside of inference mode, since `encode_text`
    is also called with gradients; nothing that changes an answer. Several threads may call it.
    """

    @property
    def spec(self) -> BackboneSpec:
        """What is known before any weight is loaded; asked often."""

    @property
    def weights_hash(self) -> str:
        """SHA-256 of the weights in use (loads them)."""

    def encode(
        self, batch: ImageBatch, requests: Sequence[Request], attention: Attention
    ) -> VisualFeatures:
        """Answer all requests in one pass over a batch; leave nothing behind on the model.

        Called for each batch, in inference mode; answers are on its device and the asker's own.
        """

    def encode_text(self, prompts: Sequence[str] | ContextPrompts) -> Float[Tensor, "n d"]:
        """Return raw text embeddings; gradients flow to learned vectors.

        Asked only of a backbone that provides `TEXT_ENCODER`; others need not write it.
        """
        raise IncompatiblePartsError(f"{self.spec.name} encodes no text")


class Attention(Protocol):
    """What takes the place of, or stands beside, the attention of chosen vision blocks.

    State: none. A backbone calls it, for each batch and from several threads at once.
    """

    needs: frozenset[str] = frozenset({ATTENTION})
    path: Literal["stream", "beside"] = "stream"
    """`stream` replaces a block's attention; `beside` feeds the second path of patches."""

    def blocks(self, depth: int) -> range:
        """Return the indices, from 0, of the blocks it acts on."""

    def mix(
        self, q: Float[Tensor, "b a t e"], k: Float[Tensor, "b a t e"], v: Float[Tensor, "b a t e"]
    ) -> Float[Tensor, "b a t e"]:
        """Mix the values of t tokens in each of a heads of width e; device and type stay."""


class Prompts(Protocol):
    """A strategy for the texts that images are compared with.

    State: what was encoded for a class name may be kept, as one object meets one backbone, but
    nothing that depends on tensors which learn. Called without gradients, but for learning.
    """

    needs: frozenset[str] = frozenset({TEXT_ENCODER})
    gives: frozenset[str] = frozenset({TEXT})
    looks_at_image: bool = False
    """If so, it is asked anew for every batch; if not, once for every class name."""

    def refuses(self, spec: BackboneSpec) -> str | None:
        """Return why it does not fit that backbone, or None; asked before weights are loaded."""
        return None

    def class_token(self, spec: BackboneSpec) -> Literal["normed", "raw"]:
        """Return the class token that the texts were made for, by default CLIP's own."""
        return "normed"

    def __call__(
        self, backbone: Backbone, class_name: str, features: Features | None
    ) -> TextEmbeddings | None:
        """Return the embedded sentences, or None if the strategy is to use no text.

        Features are given to prompts that look at the image, which may return (b, n, d), and None
        to others. In class names blanks stand for underscores.
        """


class Extractor(Protocol):
    """What to ask of a backbone and how to arrange the answer.

    State: none. Both methods are called for each batch.
    """

    needs: frozenset[str] = frozenset()
    gives: frozenset[str] = frozenset({CLASS_TOKEN, REGIONS})

    def requests(
        self, spec: BackboneSpec, attention: Attention, class_token: Literal["normed", "raw"]
    ) -> Sequence[Request]:
        """Return what it wants of each image; `class_token` is what the prompts are made for."""

    def __call__(self, visual: VisualFeatures) -> Features:
        """Arrange the answers to exactly those requests."""


class Scorer(Protocol):
    """What turns features and text into an anomaly score and a map.

    One that does not need `text` makes no use of text: a detector with it has no prompts.
    State: none but options; what `fit` learns is what it returns.
    """

    needs: frozenset[str] = frozenset({CLASS_TOKEN, REGIONS, TEXT})
    references: Literal["none", "optional", "required"] = "none"
    """Whether `fit` is called; a memory is there if it was."""
    scope: Literal["image", "set"] = "image"
    """A `set` scorer is called once, with the features of all images; see `ScoresSets`."""

    def fit(self, references: Features) -> Mapping[str, Tensor]:
        """Return what to remember of normal images, as named tensors that can be stored.

        Called once with all of them; a fresh object may score, with what was read from a file.
        """
        return {}

    def __call__(
        self,
        features: Features,
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Prediction:
        """Score each image and each of its pixels, by finite numbers in float32.

        Called for each batch, in inference mode; in learning, with gradients.
        """


PROTOCOLS: Mapping[str, type] = {
    "backbone": Backbone,
    "prompts": Prompts,
    "extractor": Extractor,
    "attention": Attention,
    "scorer": Scorer,
}
"""What a part of each kind must have. What follows, a part may have."""


@runtime_checkable
class HasNotes(Protocol):
    """A part of any kind with something to note about the backbone it is used with."""

    def notes_on(self, spec: BackboneSpec) -> Iterable[str]:
        """Return sentences for the user, shown wherever a detector is chosen."""


@runtime_checkable
class HasDevice(Protocol):
    """A backbone with options `device` and `precision`, which says what of them is in force."""

    device: device
    """The processor is assumed of backbones without it."""
    precision: str
    """Such as float32, which is assumed of backbones without it."""


@runtime_checkable
class JudgesWeights(Protocol):
    """A part that fits certain weights, such as those that its tensors were learned on."""

    def refuses_weights(self, backbone: Backbone) -> str | None:
        """Return why it does not fit a backbone's weights, or None; asked before any scoring."""


@runtime_checkable
class HasViews(Protocol):
    """A scorer that remembers references turned or mirrored too."""

    def views(self, references: int) -> Sequence[View]:
        """Return what to look at beside each of so many references as it is."""


@runtime_checkable
class ScoresSets(Protocol):
    """A `set` scorer that looks at images one by one, so that a set may be larger than memory."""

    def score_set(
        self,
        images: Sequence[Features],
        text: TextEmbeddings | None,
        memory: Mapping[str, Tensor] | None,
    ) -> Iterator[Prediction]:
        """Yield the prediction of each image, as a call with all of them would give.

        Args:
            images: each has a row for every tile that it was cut into; they lie on disk, and
                whoever takes one reads it.
            text: the text embeddings, if it needs text.
            memory: of references, if there are any.
        """


@runtime_checkable
class HonoursInside(Protocol):
    """A scorer that can look at a part of each image (`vlmad.regions.inside_regions`)."""

    honours_inside: bool
    """Whether what lies outside of `Features.inside` is neither remembered nor scored."""
