"""Names as a drawing can hold them."""

from __future__ import annotations

from vlmad_evaluation.bench.tables import printable

ROOM = 26
"""Letters of a name in a drawing."""


def drawn(name: str, room: int = ROOM) -> str:
    """Return a name as one line of at most `room` letters: the middle of a long one is left out.

    Write it with ``parse_math=False``, or matplotlib takes what is between dollars for a formula.

    >>> drawn("a-very-long-name", 9)
    'a-ve…name'
    """
    end = len(name) - (room - 1 - room // 2)
    return printable(name if len(name) <= room else f"{name[: room // 2]}…{name[end:]}")
