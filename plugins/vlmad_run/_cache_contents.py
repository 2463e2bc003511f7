"""What is kept on disk between runs: how much of what, and where."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from rich.filesize import decimal
from rich.table import Table

from vlmad.errors import InputError
from vlmad_openclip.store import KINDS, LIMIT_VARIABLE, PLACE_VARIABLE, find_place, open_store
from vlmad_run.kept_folders import FILMS, FILMS_VARIABLE, KeptFolders, film_folders

if TYPE_CHECKING:
    from collections.abc import Collection

    from rich.console import Console

MEANING = {
    "text": "text embeddings",
    "visual": "features of images",
    "digests": "what weight files hash to",
    "index": "what plugins register",
    FILMS: "frames of films",
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
    films = _films()
    if films is not None:
        sizes = [size for _, size in films.entries()]
        row = (str(len(sizes)), decimal(sum(sizes)), decimal(films.limit))
        table.add_row(FILMS, MEANING[FILMS], *row)
    console.print(f"kept in {place.folder}")
    console.print(table)
    console.print()
    console.print(
        f"{PLACE_VARIABLE} sets the folder (off for none), {LIMIT_VARIABLE} the limit of visual, "
        f"{FILMS_VARIABLE} that of films"
    )


def clear_caches(named: Collection[str] = ()) -> int:
    """Delete what is kept of the kinds that are named, or of all; return how many entries."""
    deleted = 0
    for kind in KINDS:
        store = open_store(kind) if not named or kind in named else None
        deleted += store.clear() if store else 0
    films = _films() if not named or FILMS in named else None
    return deleted + (films.clear() if films else 0)


def _films() -> KeptFolders | None:
    with suppress(InputError):
        return film_folders()
    return None
