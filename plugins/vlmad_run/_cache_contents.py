"""What is kept on disk between runs: how much of what, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table

from vlmad_openclip.store import KINDS, LIMIT_VARIABLE, PLACE_VARIABLE, find_place, open_store

if TYPE_CHECKING:
    from rich.console import Console

MEANING = {
    "text": "text embeddings",
    "visual": "features of images",
    "digests": "what weight files hash to",
    "index": "what plugins register",
}


def print_caches(console: Console) -> None:
    """Print the place of the caches, and of each kind the entries, sizes and limit."""
    place = find_place()
    if place.folder is None:
        console.print(f"nothing is kept: {place.reason}")
        return
    table = Table("kind", "what it is", box=None, header_style="bold")
    for title in ("entries", "size", "limit"):
        table.add_column(title, justify="right")
    for kind in KINDS:
        store = open_store(kind)
        if store is not None:
            entries, limit = store.entries(), decimal(store.limit)
            size = decimal(sum(entry.size for entry in entries))
            table.add_row(kind, MEANING[kind], str(len(entries)), size, limit)
    console.print(f"kept in {place.folder}")
    console.print(table)
    console.print()
    console.print(
        f"{PLACE_VARIABLE} sets the folder (off for none), {LIMIT_VARIABLE} the limit of visual"
    )
