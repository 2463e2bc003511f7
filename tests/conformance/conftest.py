"""What the tests of wrong parts have in common."""

from __future__ import annotations

import re
from typing import Any

from vlmad_conformance.checking import tiers_of
from vlmad_conformance.conformance_document import BrokenPromise
from vlmad_conformance.promises import Subject, broken_by


def broken(kind: str, factory: Any) -> list[BrokenPromise]:
    return list(broken_by(Subject(factory, kind, "wrong", factory), tiers_of(kind)))


def assert_caught(kind: str, factory: Any, promises: str, words: str) -> None:
    """Ask for no more promises than it takes."""
    found = []
    for each in broken_by(Subject(factory, kind, "wrong", factory), tiers_of(kind)):
        if re.fullmatch(promises, each.promise) and re.search(words, str(each)):
            return
        found.append(str(each))
    raise AssertionError(found)
