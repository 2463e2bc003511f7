"""What is kept on disk between runs: how much of what, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from vlmad_openclip.store import KINDS, LIMIT_VARIABLE, PLACE_VARIABLE, find_place, open_store
from vlmad_run.documents import Document, FileName

if TYPE_CHECKING:
    from rich.console import Console

MEANING = {
    "text": "text embeddings",
    "visual": "features of images",
    "digests": "what weight files hash to",
    "index": "what plugins register",
}


class KeptKind(Document):
    """What is kept of one kind."""

    meaning: str
    entries: int
    bytes: int
    limit: int


class CacheContents(Document):
    """What is kept, as ``vlmad cache --json`` prints it."""

    folder: FileName | None
    reason: str
    """Why nothing is kept, if so."""
    kinds: dict[str, KeptKind]


def describe_caches() -> CacheContents:
    """Return the place of the caches, and of each kind the entries, bytes and limit."""
    place, kinds = find_place(), dict[str, KeptKind]()
    for kind in KINDS:
        store = open_store(kind)
        if store is not None:
            entries = store.entries()
            kinds[kind] = KeptKind(
                meaning=MEANING[kind],
                entries=len(entries),
                bytes=sum(entry.size for entry in entries),
                limit=store.limit,
            )
    folder = None if place.folder is None else str(place.folder)
    return CacheContents(folder=folder, reason=place.reason, kinds=kinds)


def print_caches(found: CacheContents, console: Console) -> None:
    """Print it as a table."""
    if found.folder is None:
        console.print(f"nothing is kept: {found.reason}", markup=False)
        return
    console.print(f"kept in {found.folder}", markup=False, soft_wrap=True)
    table = Table("kind", "what it is", box=None, header_style="bold")
    for title in ("entries", "size", "limit"):
        table.add_column(title, justify="right")
    for kind, kept in found.kinds.items():
        size, limit = _megabytes(kept.bytes), _megabytes(kept.limit)
        table.add_row(kind, kept.meaning, str(kept.entries), size, limit)
    console.print(table)
    console.print(
        f"\n{PLACE_VARIABLE} sets the folder (off for none), {LIMIT_VARIABLE} the limit of visual"
    )


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
