"""What a part promises, one function for each promise, and how they are held to it.

A promise is a function of a `Subject` that raises a `Breach` where it is broken; its name, with
dashes, names the promise. Those of the first tier are what others take for granted: where one of
them is broken no more is asked.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import torch

from vlmad_conformance._manners import Rudeness, good_manners
from vlmad_conformance.conformance_document import BrokenPromise
from vlmad_conformance.facts import Breach, given
from vlmad_documents.learned_file import Learns
from vlmad_run.learning_in_fit import learning_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vlmad.parts import Backbone

MANNERS = "good-manners"
STEPS = 2
"""After which learning in `fit` ends here: only its manners are looked at."""
Case = TypeVar("Case")


@dataclass(frozen=True)
class Subject:
    """A part to be held to its promises."""

    make: Callable[[], Any]
    """Makes it anew: with the same options, and with nothing that another has come to know."""
    kind: str = ""
    name: str = ""
    """With its distribution, where it was registered."""
    factory: Any = None
    """What it is made by, if that is known."""
    package: str = ""
    """Of its plugin, where it was registered."""
    options: Mapping[str, Any] = field(default_factory=dict)
    backbone: Backbone | None = None
    """One that it fits, where that is not any."""

    @property
    def own_name(self) -> str:
        """Without the distribution."""
        return self.name.split(":")[-1]

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


def each(
    cases: Callable[[Subject], Iterable[Case]], shown: Callable[[Case], str] = str
) -> Callable[[Callable[[Case], None]], Promise]:
    """Make a promise of a fact that holds in each case.

    Args:
        cases: that a subject is tried in.
        shown: a case in words.
    """

    def of(fact: Callable[[Case], None]) -> Promise:
        @wraps(fact)
        def promise(subject: Subject) -> None:
            for case in cases(subject):
                with torch.inference_mode(), given(shown(case)):
                    fact(case)

        return promise

    return of


def broken_by(subject: Subject, tiers: Tiers) -> Iterator[BrokenPromise]:
    """Yield the promises that a part breaks; bad manners once, whatever was asked meanwhile."""
    rude = False
    for tier in tiers:
        broken = False
        for promise in tier:
            try:
                _ask(promise, subject)
            except Rudeness as breach:
                if not rude:
                    yield _broken(MANNERS, breach)
                rude = True
            except Breach as breach:
                yield _broken(promise.__name__.replace("_", "-"), breach)
                broken = True
        if broken:
            return


def _broken(name: str, breach: Breach) -> BrokenPromise:
    return BrokenPromise(promise=name, what=breach.what, smallest=breach.smallest)


def _ask(promise: Promise, subject: Subject) -> None:
    """Hold a part to a promise; what a library sets when it is first imported is not its doing."""
    known = len(sys.modules)
    filtered = warnings.catch_warnings()  # noqa: TID251 (a command with one thread)
    with filtered, learning_in(None, most_steps=STEPS):
        warnings.simplefilter("ignore")
        try:
            with given(""), good_manners("it"):
                promise(subject)
        except Rudeness:
            if len(sys.modules) == known:
                raise
            with given(""), good_manners("it"):
                promise(subject)
