"""The command ``vlmad explain``."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from vlmad.errors import InputError, OutputError
from vlmad.files import write_atomically
from vlmad_explain import words
from vlmad_run.choosing import Choice, choosing
from vlmad_run.progress import speaking, tell_choice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from PIL import Image

    from vlmad.detector import Detector
    from vlmad_explain.explanations import Explanation

RUNS = Path("vlmad-runs")
SHOWN = 3


@choosing
def explain(
    choice: Choice,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Images, folders or glob patterns.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(help=f"The folder to write; a new one in {RUNS}/, or none with --json."),
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
    from vlmad_run.finding import find_images  # here, so that completing words stays quick

    images = find_images(paths)
    assembled = choice.assemble()
    tell_choice(speaking(), assembled)
    detector, class_name = assembled.detector, assembled.class_name
    failures = _tell(detector, _explanations(detector, images, class_name, top), out, as_json)
    for error in failures:
        print(f"vlmad: not explained: {error}", file=sys.stderr)
    if failures:
        raise typer.Exit(1)


def _tell(
    detector: Detector,
    explanations: Iterator[Explanation | InputError],
    out: Path | None,
    as_json: bool,
) -> list[InputError]:
    """Write and print explanations as they come, and return why there are none of some images."""
    from vlmad_run.places import remove_if_empty

    folder = _folder(out, as_json)
    told: list[dict[str, Any]] = []
    failures: list[InputError] = []
    try:
        for done in explanations:
            if isinstance(done, InputError):
                failures.append(done)
                continue
            written = _write(detector, done, folder) if folder else ()
            told.append(done.to_dict())  # without the map, which may be large
            if not as_json:
                _print(done, written)
    finally:
        if folder and out is None:
            remove_if_empty(folder)
    if as_json:
        print(_json(_document(detector, told)))
    return failures


def _folder(out: Path | None, as_json: bool) -> Path | None:
    """Return where to write, if anywhere: the folder asked for must be new or empty."""
    from vlmad_run.places import new_folder

    if out is None:
        return None if as_json else new_folder(RUNS, "explain")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is not an empty folder; choose another --out")
    return out


def _explanations(
    detector: Detector, images: Sequence[Path], class_name: str, top: int
) -> Iterator[Explanation | InputError]:
    """Yield an explanation of each image, or why it cannot be read.

    Images are explained one by one, unless the scorer looks at all of them together.
    """
    from vlmad.images import Source
    from vlmad_explain import explain as explained

    together = detector.scorer.scope == "set"
    readable = []
    for path in images:
        try:
            Source(str(path), path).open()
        except InputError as error:
            yield error
            continue
        readable.append(path)
        if not together:
            yield from explained(detector, [path], class_name, top)
    if together:
        yield from explained(detector, readable, class_name, top)


def _document(detector: Detector, explanations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    parts = {
        kind: {"name": chosen.registration.name, "options": dict(chosen.options)}
        for kind, chosen in detector.assembly.parts.items()
    }
    return {
        "detector": {"recipe": detector.assembly.recipe.name, "parts": parts},
        "references": [source.name for source in detector.references],
        "explanations": explanations,
    }


def _write(
    detector: Detector, explanation: Explanation, folder: Path
) -> tuple[Path, Path]:
    """Write the picture and the JSON file of one image, and return their paths."""
    from vlmad.images import Source
    from vlmad_explain._explanation_picture import draw
    from vlmad_run.overlays import Range, png
    from vlmad_run.rows import file_stem

    image = Source(explanation.image, Path(explanation.image)).open()
    references = _references(detector, explanation)
    scale = Range(float(explanation.map.min()), float(explanation.map.max()))
    stem = folder / file_stem(explanation.image)
    picture, document = stem.with_name(stem.name + ".png"), stem.with_name(stem.name + ".json")
    write_atomically(picture, png(draw(explanation, image, references, scale)))
    write_atomically(document, _json(_document(detector, [explanation.to_dict()])) + "\n")
    return picture, document


def _references(detector: Detector, explanation: Explanation) -> dict[int, Image.Image]:
    """Return the reference images to be shown; one that is gone by now is left out."""
    images: dict[int, Image.Image] = {}
    for number in [finding.nearest.number for finding in explanation.findings if finding.nearest]:
        if number is not None and number not in images:
            with suppress(InputError):
                images[number] = detector.references[number].open()
    return images


def _json(document: dict[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)


def _print(explanation: Explanation, written: tuple[Path, ...]) -> None:
    """Print one explanation for a person."""
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, markup=False, soft_wrap=True)

    say(f"{explanation.score:.3f}  {explanation.image}")
    for line in words.equation(explanation):
        say(f"  {line}")
    table = Table("", "region", "pixels", "values", "nearest reference", box=None)
    for finding in explanation.findings:
        mark = "decided" if finding.decided else ""
        cells = (f"{finding.number} {mark}", finding.level, str(finding.place))
        table.add_row(*cells, words.values(finding), words.nearest(finding))
    console.print(table)
    if explanation.sentences:
        say(words.totals(explanation))
        sides = words.spoken_by_state(explanation, SHOWN)
        for title, side in zip(("for", "against"), sides, strict=True):
            for sentence in side:
                label = title if explanation.unit else "near"
                say(f"  {label:8}{words.measure(sentence):>6}  {sentence.text}")
    if explanation.gap:
        say(f"not known: {explanation.gap}")
    for path in written:
        say(f"{path}")
    say("")
