"""The command `vlmad worst`."""

from typing import Annotated

import numpy as np
import typer
from vlmad.console import console, messages
from vlmad_run.choosing import Choice, choosing
from vlmad_run.finding import find_images
from vlmad_run.progress import print_notes
from vlmad_run.references import References, assemble_runnable


@choosing
def print_worst(
    choice: Choice,
    references: References,
    paths: Annotated[list[str], typer.Argument(help="Photographs, folders or patterns.")],
    count: Annotated[int, typer.Option(min=1, help="How many.")] = 3,
) -> None:
    """Print the photographs that score highest, and the pixel of each to look at first.

    Exit status: 1 if one cannot be read.

    Examples:
    vlmad worst photos/ --references good/

    vlmad worst photos/ --model screw.safetensors --count 10
    """
    images = find_images(paths)
    detector = assemble_runnable(choice, references, images)
    print_notes(detector.notes, messages())
    results = list(detector.stream(images, batch_size=8))
    scored = [result for result in results if result.map is not None]
    for result in sorted(scored, key=lambda result: -result.score)[:count]:
        assert result.map is not None
        row, column = np.unravel_index(result.map.argmax(), result.map.shape)
        console().print(f"{result.score:.3f}  {result.name}  column {column}, row {row}")
    for result in results:
        if result.error is not None:
            messages().print(f"{result.name}: {result.error}")
    if len(scored) < len(results):
        raise typer.Exit(1)
