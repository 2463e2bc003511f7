"""What a run writes of one image: a line of ``scores.jsonl`` and a row of ``scores.csv``."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from vlmad.errors import InputError
from vlmad_documents.documents import Document, FileName
from vlmad_run.csv_cells import csv_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LINES, TABLE = "scores.jsonl", "scores.csv"
OF_PRODUCTS = ("product", "margin")
"""What rows have only where there are several products."""
MAPS, OVERLAYS = "maps", "overlays"
"""Files and folders in that of the run."""


Verdict = Literal["ok", "anomalous", "unknown", ""]


class ScoreRow(Document):
    """One image of a run."""

    image: FileName
    """Its path, as it was given."""
    score: float | None = None
    verdict: Verdict = ""
    """Empty where there is no threshold."""
    product: str = ""
    """Which of several products it shows, `unknown` if none, where there are several."""
    margin: float | None = None
    """By which share it is nearer to that product than to the next."""
    p_value: Annotated[float, Field(gt=0, le=1)] | None = None
    """The share of good references at least as high, of a fitted detector that knows it."""
    status: Literal["done", "failed"] = "done"
    reason: str = ""
    """Why it failed."""
    map: FileName = ""
    """The stored map, from the run folder; 0 stands for `map_low`, 65535 for `map_high`."""
    map_low: float | None = None
    map_high: float | None = None
    overlay: FileName = ""
    notes: list[str] = Field(default_factory=list)
    """What a user should know of how its file was read."""
    milliseconds: float | None = None
    """Its share of the model's time for its batch."""
    sha256: str | None = None
    bytes: int | None = None
    modified: int | None = None
    """The file's time of change in nanoseconds; with `bytes` it tells whether it is the same."""

    @model_validator(mode="after")
    def _check_done(self) -> Self:
        if self.status == "done":
            if None in (self.score, self.map_low, self.map_high):
                raise ValueError("an image that is done has a score and a map")
            for name, folder in ((self.map, MAPS), (self.overlay, OVERLAYS)):
                if not re.fullmatch(rf"{folder}/[^/\\]+", name) or name.endswith("/.."):
                    raise ValueError(f"'{name}' is no file of {folder}/")
        return self


def read_row(line: str | bytes) -> ScoreRow | None:
    """Return the row of a line, or None if it is damaged or no row."""
    try:
        return ScoreRow.parse(line, LINES)
    except InputError:
        return None


def to_line(row: ScoreRow) -> bytes:
    """Return a row as a line of JSON."""
    return row.to_json(indent=None, without=() if row.product else OF_PRODUCTS)


def read_rows(folder: Path) -> list[ScoreRow]:
    """Return the rows in a run folder; of several of one image the last, damaged ones left out.

    Raises:
        InputError: they cannot be read.
    """
    try:
        lines = (folder / LINES).read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise InputError(f"{folder / LINES}: {error.strerror or error}") from error
    rows = filter(None, map(read_row, lines))
    return list({row.image: row for row in rows}.values())


COLUMNS = tuple(n for n in ScoreRow.model_fields if n not in ("notes", "bytes", "modified"))


def to_csv(rows: Iterable[ScoreRow]) -> Iterator[bytes]:
    """Yield a table of rows, line by line."""
    given = list(rows)
    left = () if any(row.product for row in given) else OF_PRODUCTS
    columns = [name for name in COLUMNS if name not in left]
    yield csv_line(columns)
    for row in given:
        yield csv_line(getattr(row, name) for name in columns)


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
