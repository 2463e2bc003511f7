"""What is said of many combinations, said once: what they have in common, then who they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vlmad_evaluation._grid_combinations import Misfit

NAMED = 3
"""Combinations that are named for each thing that is said; the document names all."""


def count(number: int, singular: str, plural: str | None = None) -> str:
    """Return a number with its noun.

    >>> count(1, "pass", "passes"), count(2400, "cell")
    ('1 pass', '2,400 cells')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def some_of(names: Sequence[str], most: int = NAMED) -> str:
    """Name the first ones and say how many there are besides.

    >>> some_of(["a", "b", "c"]), some_of(["a", "b", "c", "d", "e"])
    ('a; b; c', 'a; b; c; and 2 more')
    """
    named = "; ".join(names[:most])
    return named if len(names) <= most else f"{named}; and {len(names) - most:,} more"


def grouped(said: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return who each thing is said of, from pairs of a name and what is said.

    >>> grouped([("a", "too large"), ("b", "too small"), ("c", "too large")])
    {'too large': ['a', 'c'], 'too small': ['b']}
    """
    found: dict[str, list[str]] = {}
    for name, what in said:
        found.setdefault(what, []).append(name)
    return found


def misfits(illegal: Mapping[str, Misfit]) -> Iterator[tuple[str, list[str]]]:
    """Yield each problem, with the remedies that all its combinations share, and their names."""
    for problem, names in grouped((n, each.problem) for n, each in illegal.items()).items():
        shared = [
            remedy
            for remedy in illegal[names[0]].remedies
            if all(remedy in illegal[name].remedies for name in names)
        ]
        yield problem + (f"; try {' or '.join(shared)}" if shared else ""), names
