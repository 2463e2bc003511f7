"""The command ``vlmad cache``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from vlmad.caches import KINDS, LIMIT_VARIABLE, PLACE_VARIABLE, Kind, find_place, open_store

MEANING: dict[Kind, str] = {
    "text": "text embeddings",
    "visual": "features of images",
    "digests": "what weight files hash to",
    "index": "what plugins register",
}
app = typer.Typer(help="Show what is kept on disk between runs, or clear it.")


@app.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what is kept on disk between runs, or clear it.

    Examples: vlmad cache, vlmad cache clear --visual
    """
    if context.invoked_subcommand is not None:
        return
    found = describe_caches()
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    console = Console(highlight=False)
    if found["folder"] is None:
        console.print(f"nothing is kept: {found['reason']}", markup=False)
        return
    console.print(f"kept in {found['folder']}", markup=False, soft_wrap=True)
    table = Table("kind", "what it is", box=None, header_style="bold")
    for title in ("entries", "size", "limit"):
        table.add_column(title, justify="right")
    for kind, values in found["kinds"].items():
        size, limit = _megabytes(values["bytes"]), _megabytes(values["limit"])
        table.add_row(kind, values["meaning"], str(values["entries"]), size, limit)
    console.print(table)
    console.print(
        f"\n{PLACE_VARIABLE} sets the folder (off for none), {LIMIT_VARIABLE} the limit of visual"
    )


@app.command()
def clear(
    text: Annotated[bool, typer.Option("--text", help="Only text embeddings.")] = False,
    visual: Annotated[bool, typer.Option("--visual", help="Only features of images.")] = False,
) -> None:
    """Delete what is kept: all of it, or the kinds that are named."""
    wanted: dict[Kind, bool] = {"text": text, "visual": visual}
    deleted = 0
    for kind in [kind for kind, chosen in wanted.items() if chosen] or KINDS:
        store = open_store(kind)
        deleted += store.clear() if store else 0
    typer.echo(f"deleted {deleted} {'entry' if deleted == 1 else 'entries'}")


def describe_caches() -> dict[str, Any]:
    """Return the place of the caches, and of each kind the entries, bytes and limit."""
    place = find_place()
    kinds = {}
    for kind in KINDS:
        store = open_store(kind)
        if store is not None:
            entries = store.entries()
            kinds[kind] = {
                "meaning": MEANING[kind],
                "entries": len(entries),
                "bytes": sum(entry.size for entry in entries),
                "limit": store.limit,
            }
    folder = None if place.folder is None else str(place.folder)
    return {"folder": folder, "reason": place.reason, "kinds": kinds}


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"
