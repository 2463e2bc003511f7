"""The command ``vlmad prompts``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from vlmad.console import console
from vlmad.errors import OutputError

app = typer.Typer(help="Import learned prompts and look at them.", no_args_is_help=True)


@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="An official file such as epoch_15.pth.")],
    out: Annotated[
        Path | None, typer.Option(help="The safetensors file to write; default: beside it.")
    ] = None,
    licence: Annotated[str, typer.Option(help="Under which they were published.")] = "unknown",
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing file.")] = False,
) -> None:
    """Convert an official AnomalyCLIP checkpoint to safetensors.

    The file is read as tensors only, so that nothing in it can run.

    Example: vlmad prompts import epoch_15.pth --out mvtec.safetensors
    """
    from vlmad_anomalyclip._official_checkpoint import convert_checkpoint
    from vlmad_documents.learned_file import write_learned

    target = out or checkpoint.with_suffix(".safetensors")
    if target.exists() and not force:
        raise OutputError(f"{target} exists; choose another --out or add --force")
    write_learned(target, *convert_checkpoint(checkpoint, licence))
    console().print(f"wrote {target}; use it with: --prompt learned:{target}")


@app.command()
def show(
    file: Annotated[Path, typer.Argument(help="A safetensors file of learned prompts.")],
) -> None:
    """Show what a file of learned prompts holds."""
    from vlmad_anomalyclip.learned_prompts import read_learned_prompts

    learned = read_learned_prompts(file)
    table = Table("what", "value", box=None)
    table.add_row("learned on", learned.file.backbone.name)
    table.add_row("text width", str(learned.width))
    table.add_row("class token", learned.class_token)
    table.add_row("normal", learned.templates[0])
    table.add_row("anomalous", learned.templates[1])
    table.add_row("deep tokens", ", ".join(f"block {n}" for n in learned.deep) or "none")
    console().print(table)
