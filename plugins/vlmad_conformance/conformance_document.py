"""What ``vlmad check`` found, as others read it."""

from __future__ import annotations

from typing import Literal

from vlmad_documents.documents import Document


class BrokenPromise(Document):
    """A promise that is not kept, and the smallest input of those tried that shows it."""

    promise: str
    what: str
    smallest: str = ""
    expected: str | None = None
    """Why it was said to be broken, if it was."""

    def __str__(self) -> str:
        smallest = f"; smallest input: {self.smallest}" if self.smallest else ""
        return f"{self.promise}: {self.what}{smallest}"


class CheckedPart(Document):
    """What was found of one part; `kept` if it broke nothing but what was expected."""

    kind: str
    name: str
    distribution: str
    version: str
    kept: bool
    seconds: float
    broken: list[BrokenPromise]
    recipes: list[str] | None = None
    """Of a backbone: those that work with it, nothing else of them exchanged."""


class Conformance(Document):
    """All parts that were checked, and whether all of them keep what they promise."""

    version: Literal[1] = 1
    kept: bool
    parts: list[CheckedPart]
