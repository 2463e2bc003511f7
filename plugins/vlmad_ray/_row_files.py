"""The rows of a run as Parquet files, which machines write and who goes on reads."""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from typing import TYPE_CHECKING

import pyarrow as pa
from pyarrow import parquet

from vlmad.errors import InputError
from vlmad.files import read_bounded, write_atomically
from vlmad_run.rows import ScoreRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

ROWS = "rows"
"""The folder of such files in that of the run."""
SCHEMA = pa.schema(
    [
        ("image", pa.string()),
        ("score", pa.float64()),
        ("verdict", pa.string()),
        ("product", pa.string()),
        ("margin", pa.float64()),
        ("p_value", pa.float64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("map", pa.string()),
        ("map_low", pa.float64()),
        ("map_high", pa.float64()),
        ("overlay", pa.string()),
        ("notes", pa.list_(pa.string())),
        ("milliseconds", pa.float64()),
        ("sha256", pa.string()),
        ("bytes", pa.int64()),
        ("modified", pa.int64()),
    ]
)


def write_row_file(folder: Path, names: Sequence[str], rows: Iterable[ScoreRow]) -> None:
    """Write the rows of some images into a run folder: whole or not at all, once or again.

    Raises:
        OutputError: it cannot be written.
    """
    table = pa.Table.from_pylist([_as_text(row.model_dump()) for row in rows], SCHEMA)
    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    own = hashlib.sha256("\0".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]
    write_atomically(folder / ROWS / f"{own}.parquet", buffer.getvalue())


def read_row_files(folder: Path) -> Iterator[ScoreRow]:
    """Yield the newest row of each image in a run folder.

    What is damaged, or of other columns, is left out.
    """
    seen = set[str]()
    for path in sorted((folder / ROWS).glob("*.parquet"), key=_written, reverse=True):
        with suppress(OSError, pa.ArrowException):
            file = parquet.ParquetFile(io.BytesIO(read_bounded(path)))
            if file.schema_arrow.equals(SCHEMA):
                for some in file.iter_batches(batch_size=1000):
                    rows = [
                        row for row in _rows_of(some.to_pylist(), path) if row.image not in seen
                    ]
                    seen.update(row.image for row in rows)
                    yield from rows


def _written(path: Path) -> tuple[int, str]:
    """Return when a file was written, and its name, to put files in order."""
    try:
        return path.stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name


def _rows_of(table: Iterable[dict[str, object]], path: Path) -> Iterator[ScoreRow]:
    for row in table:
        with suppress(InputError):
            yield ScoreRow.of(row, path)


def _as_text(row: dict[str, object]) -> dict[str, object]:
    """Return a row whose texts are text; a name whose bytes are none is left out.

    An escape in its place would be read back as the name of another file.
    """
    return {name: value for name, value in row.items() if _is_text(value)}


def _is_text(value: object) -> bool:
    try:
        if isinstance(value, str):
            value.encode()
        return True
    except UnicodeEncodeError:
        return False
