"""The command ``vlmad explain``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vlmad.choosing import Choice, choosing
from vlmad.console import console, messages, output
from vlmad.errors import InputError, OutputError, printable
from vlmad.files import write_atomically
from vlmad.images import decode
from vlmad_explain import words
from vlmad_explain._explaining import explain_with_maps
from vlmad_explain._explanation_picture import draw
from vlmad_explain.explanations import Explanation, ExplanationFile
from vlmad_run.finding import find_images
from vlmad_run.places import RUNS, new_folder
from vlmad_run.progress import print_notes
from vlmad_run.references import References, assemble
from vlmad_run.rows import file_stem

if TYPE_CHECKING:
    from collections.abc import Iterable

SENTENCES = 3


@choosing
def explain(
    choice: Choice,
    references: References,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, folders or glob patterns.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="The folder to write; a new one in vlmad-runs/, or none with --json."),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Regions of each kind that are shown.")] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Show what drove the score: regions, sentences, the nearest references.

    Writes a picture and a JSON file for each image.

    Exit status: 0 all done, 1 some images could not be read, 2 nothing could be done.

    Examples:
    vlmad explain photos/cut.png --class-name circuit

    vlmad explain photos/cut.png --references good/ --shots 4 --top 5
    """
    if out is not None and out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out} exists and is not an empty folder; choose another --out")
    images = find_images(paths)
    assembled = assemble(choice, references)
    print_notes(assembled.notes, messages())
    detector, class_name = assembled.detector, assembled.class_name
    detector.check_ready(class_name)
    readable, unreadable = _readable(images)
    manifest, done = assembled.describe(), []
    own = new_folder(RUNS, "explain") if out is None and not as_json else nullcontext(out)
    with own as folder:
        for explanation, heat in explain_with_maps(detector, readable, class_name, top):
            done.append(explanation)
            if not as_json:
                _print(explanation)
            if folder:
                file = ExplanationFile(manifest=manifest, explanations=[explanation])
                image = decode(Path(explanation.image))
                picture = draw(explanation, heat, image, detector.references)
                _write(file, picture, folder / file_stem(explanation.image), as_json)
    if as_json:
        file = ExplanationFile(manifest=manifest, explanations=done)
        output().write(file.to_json().decode())
    for error in unreadable:
        line = f"vlmad: not explained: {printable(error)}"
        messages().print(line, markup=False, soft_wrap=True)
    if unreadable:
        raise typer.Exit(1)


def _readable(images: Iterable[Path]) -> tuple[list[Path], list[InputError]]:
    """Return the images that can be read, and why the others cannot."""
    readable, errors = [], []
    for path in images:
        try:
            decode(path)
            readable.append(path)
        except InputError as error:
            errors.append(error)
    return readable, errors


def _write(file: ExplanationFile, picture: bytes, stem: Path, quiet: bool) -> None:
    """Write the picture and the JSON file of one image, and print their names."""
    picture_path, file_path = Path(f"{stem}.png"), Path(f"{stem}.json")
    write_atomically(picture_path, picture)
    file.write(file_path)
    if not quiet:
        names = f"{printable(picture_path)}\n{printable(file_path)}\n"
        console().print(names, markup=False, soft_wrap=True)


def _print(explanation: Explanation) -> None:
    """Print one explanation for a person."""
    screen = console()
    lines = [f"{explanation.score:.3f}  {printable(explanation.image)}"]
    lines += [f"  {line}" for line in words.equation(explanation)]
    screen.print("\n".join(lines), markup=False, soft_wrap=True)
    table = Table("", "region", "pixels", "values", "nearest reference", box=None)
    for finding in explanation.findings:
        mark = f"{finding.number} decided" if finding.decided else f"{finding.number}"
        place, values = str(finding.place), words.values(finding)
        table.add_row(mark, finding.level, place, values, printable(words.nearest(finding)))
    screen.print(table)
    lines = words.strongest_lines(explanation, SENTENCES)
    lines += [f"not known: {explanation.gap}"] if explanation.gap else []
    screen.print("\n".join(map(printable, lines)), markup=False, soft_wrap=True)
