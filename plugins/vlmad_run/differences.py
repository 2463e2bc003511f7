"""In what two tables of plain values differ, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue


def differences(
    was: Mapping[str, JsonValue], now: Mapping[str, JsonValue], place: str = ""
) -> list[str]:
    """Return where two tables differ, as ``place (this, now that)``.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b (1, now 2)']
    """
    found = []
    for key in dict.fromkeys([*was, *now]):
        one, other = was.get(key), now.get(key)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            found += differences(one, other, f"{place}{key}.")
        elif one != other:
            found.append(f"{place}{key} ({_short(one)}, now {_short(other)})")
    return found


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"
