"""What a run says of one image, as a line of JSON and as a row of a table."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAPS, OVERLAYS = "maps", "overlays"
"""Folders in that of the run."""
TABLE_COLUMNS = (
    "image",
    "score",
    "verdict",
    "status",
    "reason",
    "map",
    "map_low",
    "map_high",
    "overlay",
    "milliseconds",
    "sha256",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One image of a run."""

    image: str
    """Its path, as it was given."""
    score: float | None = None
    verdict: Literal["ok", "anomalous", ""] = ""
    """Empty where there is no threshold."""
    status: Literal["done", "failed"] = "done"
    reason: str = ""
    """Why it failed."""
    sha256: str | None = None
    map: str = ""
    """The stored map, from the run folder; 0 stands for `map_low`, 65535 for `map_high`."""
    map_low: float | None = None
    map_high: float | None = None
    overlay: str = ""
    milliseconds: float | None = None
    """Its share of the model's time for its batch."""
    bytes: int | None = None
    modified: int | None = None
    """The file's time of change in nanoseconds; with `bytes` it tells whether it is the same."""


def to_line(row: Row) -> bytes:
    """Return a row as a line of JSON; names that are no text keep their bytes as escapes."""
    return json.dumps(asdict(row), ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def from_line(line: bytes) -> Row | None:
    """Return the row of a line, or None if it is damaged or no row."""
    try:
        table = json.loads(line)
        known = {field.name for field in fields(Row)}
        row = Row(**{name: value for name, value in table.items() if name in known})
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return row if _is_sound(row) else None


def _is_sound(row: Row) -> bool:
    """Tell whether a row that was read says what a run says, and points into its folder."""
    numbers = (row.score, row.map_low, row.map_high)
    files = ((row.map, MAPS), (row.overlay, OVERLAYS))
    if not isinstance(row.image, str) or not isinstance(row.reason, str):
        return False
    if not isinstance(row.sha256, str | None) or row.verdict not in ("ok", "anomalous", ""):
        return False
    if row.status == "failed":
        return True
    return (
        row.status == "done"
        and all(isinstance(n, float | int) and math.isfinite(n) for n in numbers)
        and all(isinstance(f, str) and PurePosixPath(f).parent.name == at for f, at in files)
        and all(f.count("/") == 1 for f, _ in files)
    )


def to_csv(rows: Iterable[Row]) -> Iterator[bytes]:
    """Yield a table of rows, line by line."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, TABLE_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    yield _take(buffer)
    for row in rows:
        writer.writerow(asdict(row))
        yield _take(buffer)


def _take(buffer: io.StringIO) -> bytes:
    r"""Empty a buffer of one line; it ends in \r\n, else the csv module would leave \r unquoted."""
    text = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return (text.removesuffix("\r\n") + "\n").encode("utf-8", "backslashreplace")


def file_stem(image: str) -> str:
    """Return a name for the files of an image: readable, safe, and its own among all paths.

    >>> file_stem("line 3/scratch/000.png")
    'scratch_000-b076d85d'
    """
    path = Path(image)
    words = re.sub(r"[^\w.-]+", "-", f"{path.parent.name}_{path.stem}").strip("-_.")
    own = hashlib.sha256(image.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    readable = words.encode("utf-8", "ignore")[:80].decode("utf-8", "ignore")
    return f"{readable}-{own}" if readable else own
