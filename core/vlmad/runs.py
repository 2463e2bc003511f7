"""A run: a detector over image files, and the folder that tells what came of it.

- ``scores.jsonl``: a line for each image, written as it is done
- ``maps/``: each map as a 16-bit PNG of the original's size
- ``overlays/``: each image beside its heat map, all on one colour scale
- ``scores.csv``: the same scores as a table
- ``manifest.json``: what is needed to repeat the run
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from vlmad.errors import InputError, OutputError
from vlmad.files import write_atomically
from vlmad.images import Source, decode
from vlmad.manifest import describe_run
from vlmad.overlays import Range, draw_overlay, from_16_bits, png, to_16_bits

if TYPE_CHECKING:
    from vlmad.detector import Detector, Result

LINES, TABLE, MANIFEST = "scores.jsonl", "scores.csv", "manifest.json"
MAPS, OVERLAYS = "maps", "overlays"
FINITE_DIGITS = 6

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True)
class Row:
    """What a run says of one image."""

    image: str
    score: float | None
    status: str
    reason: str
    map: str
    map_low: float | None
    map_high: float | None
    overlay: str


def execute(
    detector: Detector,
    images: Sequence[Path],
    out: Path,
    *,
    class_name: str = "object",
    batch_size: int = 8,
    references: Iterable[Path] = (),
    settings: dict[str, Any] | None = None,
    progress: Progress = lambda what, done, total: None,
) -> list[Row]:
    """Score images and write a run folder.

    Args:
        detector: fitted, if there are references.
        images: the files.
        out: the folder to write; it must be empty or not exist.
        class_name: what the images show.
        batch_size: images that are encoded together.
        references: the files that the detector was fitted on, for the manifest.
        settings: more for the manifest, such as the command and the seed.
        progress: told after each image.

    Raises:
        OutputError: the folder is not empty or cannot be written.
    """
    manifest = describe_run(detector, class_name, list(references), settings or {})
    _prepare(out)
    rows: list[Row] = []
    started = time.monotonic()
    try:
        write_atomically(out / MANIFEST, _json(manifest))
        _score(detector, images, out, class_name, batch_size, rows, progress)
        _draw(out, rows, progress)
    finally:  # an interrupted run keeps what is done
        seconds = round(time.monotonic() - started, 3)
        done = {"images": len(images), "done": len(rows), "seconds": seconds}
        write_atomically(out / TABLE, table(rows))
        write_atomically(out / MANIFEST, _json({**manifest, "result": done}))
    return rows


def _prepare(out: Path) -> None:
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise OutputError(f"{out} exists and is not an empty folder; choose another --out")
        for folder in (MAPS, OVERLAYS):
            (out / folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {out}: {error.strerror or error}") from error


def _score(
    detector: Detector,
    images: Sequence[Path],
    out: Path,
    class_name: str,
    batch_size: int,
    rows: list[Row],
    progress: Progress,
) -> None:
    sources = [Source(str(path), path) for path in images]
    with _open_lines(out) as lines:
        for index, result in enumerate(detector.stream(sources, class_name, batch_size)):
            row = _keep(result, out, file_stem(index, images[index]))
            try:
                lines.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
                lines.flush()
            except OSError as error:
                raise OutputError(f"cannot write {out / LINES}: {error.strerror}") from error
            rows.append(row)
            progress("scoring", len(rows), len(images))


def _open_lines(out: Path) -> Any:
    try:
        return (out / LINES).open("w", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {out / LINES}: {error.strerror}") from error


def _keep(result: Result, out: Path, stem: str) -> Row:
    """Store an image's map and return its row."""
    if result.map is None:
        return Row(result.name, None, "failed", result.error or "", "", None, None, "")
    stored, scale = to_16_bits(result.map)
    name = f"{MAPS}/{stem}.png"
    write_atomically(out / name, png(Image.fromarray(stored)))
    overlay = f"{OVERLAYS}/{stem}.png"
    score = round(result.score, FINITE_DIGITS)
    return Row(result.name, score, "done", "", name, scale.low, scale.high, overlay)


def _draw(out: Path, rows: Sequence[Row], progress: Progress) -> None:
    """Draw the overlays once all maps are known, on one colour scale."""
    done = [row for row in rows if row.status == "done"]
    if not done:
        return
    lows = [row.map_low for row in done if row.map_low is not None]
    highs = [row.map_high for row in done if row.map_high is not None]
    scale = Range(float(np.median(lows)), max(highs))
    for count, row in enumerate(done, start=1):
        assert row.map_low is not None
        assert row.map_high is not None
        with Image.open(out / row.map) as stored:
            heat = from_16_bits(np.asarray(stored), Range(row.map_low, row.map_high))
        try:
            image = decode(Path(row.image))
        except InputError:  # the file vanished since it was scored
            image = Image.new("RGB", heat.shape[::-1], "grey")
        picture = draw_overlay(image, heat, scale, f"{row.score:.3f}  {row.image}")
        write_atomically(out / row.overlay, png(picture))
        progress("drawing", count, len(done))


def file_stem(index: int, path: Path) -> str:
    """Return a name that tells which image a file belongs to and is unique in a run.

    >>> file_stem(7, Path("line 3/scratch/000.png"))
    '00007_scratch_000'
    """
    words = re.sub(r"[^\w.-]+", "-", f"{path.parent.name}_{path.stem}")
    return f"{index:05d}_{words.strip('-_.')[:80]}"


def table(rows: Iterable[Row]) -> str:
    """Return the rows as CSV."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(Row.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return buffer.getvalue()


def new_folder(parent: Path, name: str) -> Path:
    """Make an empty folder below `parent`, named for the time and `name`, that no one else has.

    Raises:
        OutputError: it cannot be made.
    """
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    numbered = (f"{stamp}-{name}-{number}" for number in itertools.count(2))
    for folder in itertools.chain([f"{stamp}-{name}"], numbered):
        try:
            (parent / folder).mkdir(parents=True)
            return parent / folder
        except FileExistsError:
            continue
        except OSError as error:
            raise OutputError(f"cannot write {parent}: {error.strerror or error}") from error
    raise AssertionError("there are always more numbers")


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that `new_folder` made and nothing was written to, and its parent."""
    with suppress(OSError):
        folder.rmdir()
        folder.parent.rmdir()


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n"
