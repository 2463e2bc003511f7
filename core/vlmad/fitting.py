"""What fits what, said in words: who needs which, who gives it, and what each part is handed.

A part is handed what it names in `needs`, and nothing else. The words are those of `vlmad.parts`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from vlmad import parts as words
from vlmad.errors import blaming, did_you_mean
from vlmad.hookspecs import KINDS
from vlmad.types import Level, Patches, Tiles, Windows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vlmad.plugin import Registration
    from vlmad.types import Features, Request

_OF_A_BACKBONE = (
    words.TEXT_ENCODER,
    words.CONTEXT_VECTORS,
    words.ATTENTION,
    words.PATCH_TOKENS,
    words.TOKEN_WINDOWS,
    words.SHARED_WINDOWS,
    words.IMAGE_TILES,
    words.LEVELS,
)
GIVERS = {
    **dict.fromkeys(_OF_A_BACKBONE, "backbone"),
    **dict.fromkeys((words.CLASS_TOKEN, words.REGIONS, words.PATCHES, words.CELLS), "extractor"),
    words.TEXT: "prompts",
}
"""Who can meet a need."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A part that was built, with all that is needed to build it again."""

    registration: Registration
    options: Mapping[str, Any]
    part: Any
    named: bool
    """Whether the user named it, so that it must not be replaced."""

    def __str__(self) -> str:
        return f"{self.registration.kind} '{self.registration.name}'"

    @property
    def gives(self) -> frozenset[str]:
        """The words of `vlmad.parts` that say what it gives to others."""
        if self.registration.kind == "backbone":
            return frozenset(self.part.spec.provides)
        return frozenset(getattr(self.part, "gives", ()))


def without_unused(parts: Mapping[str, Chosen]) -> Mapping[str, Chosen]:
    """Return the parts without prompts that nobody named and the scorer makes no use of."""
    if parts["prompts"].named or words.TEXT in parts["scorer"].part.needs:
        return parts
    return {kind: chosen for kind, chosen in parts.items() if kind != "prompts"}


def misfit(parts: Mapping[str, Chosen]) -> str | None:
    """Return what does not fit among these parts (not necessarily all of them), or None.

    A need that only a kind absent from `parts` could meet is not held against them.
    """
    available = frozenset().union(*(chosen.gives for chosen in parts.values()))
    for chosen in parts.values():
        for need in sorted(getattr(chosen.part, "needs", ())):
            giver = GIVERS.get(need)
            absent = giver not in parts if giver else not {*KINDS} - {"prompts"} <= parts.keys()
            if need not in available and not absent:
                return _unmet(chosen, need, parts[giver] if giver else None)
    if {"prompts", "scorer"} <= parts.keys() and words.TEXT not in parts["scorer"].part.needs:
        return f"{parts['scorer']} makes no use of text: leave out {parts['prompts']}"
    if {"backbone", "prompts"} <= parts.keys():
        backbone, prompts = parts["backbone"], parts["prompts"]
        with blaming(f"{prompts.registration} failed"):
            reason = prompts.part.refuses(backbone.part.spec)
        if reason:
            return f"{prompts} does not fit {backbone}: {reason}"
    return None


def _unmet(chosen: Chosen, need: str, giver: Chosen | None) -> str:
    owner = f"{chosen} ({chosen.registration.origin}) needs {need}"
    if giver is None:
        return f"{owner}, which no chosen part gives; {did_you_mean(need, GIVERS)}"
    gives = ", ".join(sorted(giver.gives)) or "nothing"
    return f"{owner}, but {giver} ({giver.registration.origin}) gives {gives}"


def word_of(request: Request) -> str | None:
    """Return the word for what a backbone must provide to answer a request; None if any can."""
    if isinstance(request, Windows):
        return words.SHARED_WINDOWS if request.encoding == "shared" else words.TOKEN_WINDOWS
    own = {Patches: words.PATCH_TOKENS, Tiles: words.IMAGE_TILES, Level: words.LEVELS}
    return own.get(type(request))


def not_named(needs: Collection[str]) -> list[str]:
    """Return what of features and text `needs` does not name; a word not vlmad's own names all."""
    if not {*needs} <= GIVERS.keys():
        return []
    any_of = {
        words.CLASS_TOKEN: {words.CLASS_TOKEN, words.CELLS},
        words.REGIONS: {words.REGIONS, words.PATCHES, words.CELLS},
        words.TEXT: {words.TEXT},
    }
    return [word for word, named in any_of.items() if not named & {*needs}]


def only_named(features: Features, needs: Collection[str]) -> Features:
    """Return features without what `needs` does not name: no regions, NaN for the whole image."""
    lacking = not_named(needs)
    if words.REGIONS in lacking:
        features = replace(features, regions=())
    if words.CLASS_TOKEN in lacking:
        nothing = features.image.new_full((), float("nan"))
        features = replace(features, image=nothing.expand_as(features.image))
    return features
