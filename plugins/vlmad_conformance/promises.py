"""What a part promises, one function for each promise, and how they are held to it.

A promise is a function of a `Subject` that raises a `Breach` where it is broken; its name, with
dashes, names the promise. Those of the first tier are what others take for granted: where one of
them is broken no more is asked.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch

from vlmad_conformance._manners import Rudeness, good_manners
from vlmad_conformance.facts import Breach, given
from vlmad_documents.learned_file import Learns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.parts import Backbone

MANNERS = "good-manners"


@dataclass(frozen=True)
class Subject:
    """A part to be held to its promises."""

    make: Callable[[], Any]
    """Makes it anew: with the same options, and with nothing that another has come to know."""
    kind: str = ""
    name: str = ""
    factory: Any = None
    """What it is made by, if that is known."""
    package: str = ""
    """Of its plugin, where it was registered."""
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: Backbone | None = None
    """One that it fits, where that is not any."""

    @cached_property
    def part(self) -> Any:
        """One that all promises use which need no fresh one: weights are loaded once."""
        with torch.inference_mode(False):  # as it is made for a user
            return self.make()

    def made_for(self, backbone: Backbone) -> Any:
        """Return it made anew; if it learns, with what was drawn for a backbone."""
        part = self.make()
        if isinstance(part, Learns):
            part.learnable(backbone.spec, 0)
        return part


Promise: TypeAlias = Callable[[Subject], None]
Tiers: TypeAlias = Sequence[Sequence[Promise]]


class Broken(NamedTuple):
    """A promise that a part broke."""

    promise: str
    what: str
    smallest: str

    def __str__(self) -> str:
        shown = f"; smallest input: {self.smallest}" if self.smallest else ""
        return f"{self.promise}: {self.what}{shown}"


def name_of(promise: Promise) -> str:
    """Return the name by which a promise is known."""
    return promise.__name__.strip("_").replace("_", "-")


def broken_by(subject: Subject, tiers: Tiers) -> Iterator[Broken]:
    """Yield the promises that a part breaks; bad manners once, whatever was asked meanwhile."""
    rude = False
    for tier in tiers:
        broken = False
        for promise in tier:
            try:
                _ask(promise, subject)
            except Rudeness as breach:
                if not rude:
                    yield Broken(MANNERS, breach.what, breach.smallest)
                rude = True
            except Breach as breach:
                yield Broken(name_of(promise), breach.what, breach.smallest)
                broken = True
        if broken:
            return


def _ask(promise: Promise, subject: Subject) -> None:
    """Hold a part to a promise; what a library sets when it is first imported is not its doing."""
    known = len(sys.modules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with given(""), good_manners("it"):
                promise(subject)
        except Rudeness:
            if len(sys.modules) == known:
                raise
            with given(""), good_manners("it"):
                promise(subject)
