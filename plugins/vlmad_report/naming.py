"""What detectors are called in a report: once in tables, and so that a drawing can hold it."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from vlmad_evaluation.bench.tables import printable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad_evaluation.bench.reading import Results

ROOM = 26
"""Letters of a name in a drawing."""


def detector_names(results: Sequence[Results]) -> tuple[Mapping[str, str], ...]:
    """Return for each of the results what its detectors are called in the report.

    A name that occurs in several folders is followed by the folder's name; where those are equal
    too, by its whole path; a folder that is given twice is numbered.
    """
    places = [os.path.abspath(each.folder) for each in results]
    whole = [
        path if places.count(path) == 1 else f"{path}, {places[: index + 1].count(path)}"
        for index, path in enumerate(places)
    ]
    short = [os.path.basename(path) for path in places]
    beside = short if len(set(short)) == len(short) else whole
    counts = Counter(name for each in results for name in each.document["detectors"])
    return tuple(
        {
            name: name if counts[name] == 1 else f"{name} ({folder})"
            for name in each.document["detectors"]
        }
        for each, folder in zip(results, beside, strict=True)
    )


def drawn(name: str, room: int = ROOM) -> str:
    """Return a name as one line of at most `room` letters: the middle of a long one is left out.

    Write it with ``parse_math=False``, or matplotlib takes what is between dollars for a formula.

    >>> drawn("a-very-long-name", 9)
    'a-ve…name'
    """
    end = len(name) - (room - 1 - room // 2)
    return printable(name if len(name) <= room else f"{name[: room // 2]}…{name[end:]}")
