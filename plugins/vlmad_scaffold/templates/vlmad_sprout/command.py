"""The command `vlmad sprout`."""

from pathlib import Path
from typing import Annotated

import typer
from vlmad.console import console
from vlmad_run.choosing import Choice, choosing


@choosing
def print_scores(
    choice: Choice, images: Annotated[list[Path], typer.Argument(help="Photographs.")]
) -> None:
    """Print the score of each photograph.

    Exit status: 1 if one cannot be read.

    Example: vlmad sprout photos/*.png
    """
    results = choice.load().predict(images, choice.name() or "object")
    for result in results:
        console().print(f"{result.score:.3f}  {result.name}")
    if any(result.error for result in results):
        raise typer.Exit(1)
