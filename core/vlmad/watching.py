"""How far long work has come, told to whoever watches.

    with watched(watcher):
        detector.predict(images)

Where nobody watches, notes are printed on standard error and nothing else is said.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Protocol, TypeVar

from vlmad.console import say

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Item = TypeVar("Item")


class Watcher(Protocol):
    """Who is told."""

    def note(self, text: str) -> None:
        """Take what should be known before the work begins."""

    def advance(self, doing: str, done: int, of: int) -> None:
        """Take how many of all steps are done of some work."""


class _Nobody:
    def note(self, text: str) -> None:
        say(text)

    def advance(self, doing: str, done: int, of: int) -> None:
        pass


_watcher: ContextVar[Watcher] = ContextVar("watcher", default=_Nobody())  # noqa: B039 (it has no state)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Tell a watcher of all work in this thread meanwhile."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def note(text: str) -> None:
    """Say what should be known before the work begins, such as how long it takes."""
    _watcher.get().note(text)


def track(items: Iterable[Item], doing: str, of: int) -> Iterator[Item]:
    """Yield items, and tell how many of all were worked on."""
    _watcher.get().advance(doing, 0, of)
    for done, item in enumerate(items, 1):
        yield item
        _watcher.get().advance(doing, done, of)
