"""The command ``vlmad prompts``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from vlmad.console import console, write_json
from vlmad.errors import OutputError

app = typer.Typer(
    help="Import learned prompts and look at them.\n\n"
    "Example: vlmad prompts show prompts.safetensors",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("import")
def import_(
    checkpoint: Annotated[Path, typer.Argument(help="An official file such as epoch_15.pth.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The file to write; by default beside it.")
    ] = None,
    licence: Annotated[
        str, typer.Option(metavar="WORDS", help="Of what was learned, as the file is to say.")
    ] = "unknown",
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
    file: Annotated[Path, typer.Argument(help="A file of learned tensors (safetensors).")],
    backbone: Annotated[
        str | None,
        typer.Option(
            metavar="PART",
            help="Whose words are compared: NAME or NAME:ARGUMENT.",
        ),
    ] = None,
    weights: Annotated[
        str | None, typer.Option(metavar="FILE", help="Of that backbone, instead of its own.")
    ] = None,
    distance: Annotated[
        Literal["euclidean", "cosine"], typer.Option(help="By which words are near.")
    ] = "euclidean",
    words: Annotated[int, typer.Option(min=1, max=100, help="How many of each vector.")] = 5,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Describe learned prompts, or tensors of another part, with the words nearest to them.

    Nearest words often mean nothing: a learned vector need not lie near any word. How far words
    are from each other is printed for comparison.

    Example: vlmad prompts show mvtec.safetensors --backbone openclip:ViT-L-14-336/openai
    """
    from vlmad_anomalyclip._showing import describe_learned, print_description

    described = describe_learned(file, backbone, weights, distance, words)
    if as_json:
        write_json(described.to_json())
    else:
        print_description(described)
