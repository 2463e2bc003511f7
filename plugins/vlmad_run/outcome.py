"""What came of a run, for people: the table, and what went wrong."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image
from rich.table import Table

from vlmad.console import say
from vlmad_run.passed_over import in_words

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.console import Console

    from vlmad_run.rows import ScoreRow
    from vlmad_run.run_folder import RunFolder

ROWS_SHOWN = 40
WARNINGS = 20
"""As many of a kind are written out."""
UPRIGHT = 3
"""How many upright images there are for each that lies on its side, at least."""
UNBOUNDED = 10_000
"""Columns; no table is wider."""


def print_table(folder: RunFolder, images: Sequence[Path], console: Console) -> None:
    """Print the table, the most anomalous first, and where the rest is."""
    done = (row for row in folder.rows(images) if row.score is not None)
    rows = sorted(done, key=lambda row: row.score or 0.0, reverse=True)[:ROWS_SHOWN]
    manifest, result, place = folder.manifest, folder.result, folder.path
    drawn = any((folder.path / row.overlay).is_file() for row in rows)
    if rows:
        table = _table(rows, folder.path, drawn)
        anywhere = console.options.update(max_width=UNBOUNDED)
        if drawn and console.measure(table, options=anywhere).maximum > console.width:
            table = _table(rows, folder.path, False)  # pictures are called as their images
        console.print(table)
    if result.done > len(rows):
        console.print(f"… and {result.done - len(rows)} more with lower scores")
    how = f"{manifest.backbone} on {manifest.device} in {manifest.identity.precision}"
    scored = f"{result.done} {'image' if result.done == 1 else 'images'} scored by {how}"
    console.print("", f"{scored}; higher is more anomalous", sep="\n")
    unknown = result.unknown
    if unknown:
        console.print(f"{unknown} of no known product: neither ok nor anomalous")
    if folder.threshold is not None:
        console.print(
            f"{result.anomalous} anomalous, {result.done - result.anomalous - unknown} ok; "
            f"anomalous from {folder.threshold.value:.6g} on ({folder.threshold.rule})"
        )
    if manifest.passed_over:
        console.print(in_words(manifest.passed_over))
    console.print(f"all scores: {place}/scores.csv")
    if drawn:
        console.print(f"heat maps: {place}/overlays/")


def print_warnings(folder: RunFolder, images: Sequence[Path]) -> None:
    """Name images that could not be scored, are references too, or were read in a special way."""
    known = {each.sha256: each.path for each in folder.manifest.references}
    failed, tested, noted = [], [], []
    for row in folder.rows(images):
        if row.score is None:
            failed.append(f"not scored: {row.reason}")
        elif row.sha256 in known:
            name = known[row.sha256]
            same = "" if name == row.image else f", as {row.image}"
            tested.append(f"warning: reference {name} is also under test{same}")
        noted += [f"note: {row.image}: {note}" for note in row.notes]
    turned = [f"note: {each}" for each in on_their_side(folder, images)]
    for texts in (failed, tested, noted, turned):
        if len(texts) > WARNINGS:
            texts[WARNINGS:] = [f"and {len(texts) - WARNINGS} more, see {folder.path}/scores.jsonl"]
        for text in texts:
            say(text)


def on_their_side(folder: RunFolder, images: Sequence[Path]) -> Iterator[str]:
    """Yield, in words, images that seem to lie on their side among upright ones.

    A photograph of a phone is turned by what it says of itself; one that lost that in a chat or an
    editor lies still, and is scored as it lies.
    """
    sizes = {}
    for row in folder.rows(images):
        if row.map:
            with suppress(OSError), Image.open(folder.path / row.map) as heat:
                sizes[row.image] = heat.size
    counts = Counter(sizes.values())
    for name, (width, height) in sizes.items():
        others = counts[height, width]
        if width != height and others >= UPRIGHT * counts[width, height]:
            yield (
                f"{name} is {width} x {height} pixels where {others} others are {height} x {width}"
                ": if it lies on its side, turn it, for it was scored as it lies"
            )


def print_not_judged(folder: RunFolder) -> bool:
    """Name what may be photographs but is not read; return whether there is any."""
    unread = [each for each in folder.manifest.passed_over if each.reason == "format"]
    if unread:
        say(f"not judged: {in_words(unread).removeprefix('passed over: ')}")
    return bool(unread)


def _table(rows: Sequence[ScoreRow], folder: Path, drawn: bool) -> Table:
    """Return scores beside images, named from the folder that they share."""
    shared = _shared_folder([row.image for row in rows])
    title = f"image in {shared}" if shared else "image"
    verdicts = [each for each in ("verdict", "product") if any(getattr(row, each) for row in rows)]
    values = ["p"] if any(row.p_value for row in rows) else []
    table = Table(box=None, header_style="bold")
    for name in ["score", *values, *verdicts, title, *(["heat map in overlays/"] if drawn else [])]:
        table.add_column(name, overflow="fold")
    for row in rows:
        name = os.path.relpath(row.image, shared) if shared else row.image
        picture = Path(row.overlay).name if (folder / row.overlay).is_file() else ""
        cells = [f"{row.score:.3f}", *[f"{row.p_value or 1:.2g}" for _ in values]]
        cells += [getattr(row, each) for each in verdicts]
        table.add_row(*cells, name, *([picture] if drawn else []))
    return table


def _shared_folder(images: Sequence[str]) -> str:
    try:
        return os.path.commonpath([os.path.dirname(image) for image in images])
    except ValueError:  # some are named from the root and some from here
        return ""
