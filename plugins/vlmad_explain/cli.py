"""The command ``vlmad explain``."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from vlmad.console import console, messages, say, write_json
from vlmad.errors import InputError, OutputError
from vlmad.files import write_atomically
from vlmad_explain import words
from vlmad_run.choosing import Choice, choosing
from vlmad_run.references import References

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from jaxtyping import Float

    from vlmad.detector import Detector
    from vlmad.images import Source
    from vlmad_explain.explanations import Explanation, ExplanationFile
    from vlmad_formats.reading import Reading

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
        typer.Option(
            metavar="FOLDER",
            help="The folder to write; by default a new one in vlmad-runs/, or none with --json.",
        ),
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Regions of each kind that are shown.")] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document on standard output.")
    ] = False,
) -> None:
    """Say what was found where, and what drove the score: regions, sentences, references.

    Writes a picture and a JSON file for each image.

    Exit status: 0 all done, 1 some images could not be read, 2 nothing could be done.

    Examples:
    vlmad explain photos/cut.png --class-name circuit

    vlmad explain photos/cut.png --references good/ --shots 4 --top 5
    """
    from vlmad_explain import explain_with_maps
    from vlmad_explain._reference_regions import compared_with
    from vlmad_run.finding import find
    from vlmad_run.progress import print_notes
    from vlmad_run.references import assemble

    found = find(paths)
    assembled = assemble(choice, references, found.images)
    print_notes([*assembled.notes, *found.said()], messages())
    detector, class_name = assembled.detector, assembled.class_name
    detector.check_ready(class_name)
    readable, unreadable = _readable(found.images, detector.reading)
    compared = compared_with(detector, [*detector.sources(readable)])
    done = []
    with _folder(out, as_json) as folder:
        for explanation, heat in explain_with_maps(detector, readable, class_name, top):
            written = _write(detector, explanation, heat, compared, folder) if folder else ()
            done.append(explanation)
            if not as_json:
                _print(explanation, written)
    if as_json:
        write_json(_file(detector, done).to_json())
    for error in unreadable:
        say(f"not explained: {error}")
    if unreadable:
        raise typer.Exit(1)


def _readable(images: Iterable[Path], reading: Reading) -> tuple[list[Path], list[InputError]]:
    """Return the images that can be read, and why the others cannot."""
    from vlmad.images import decode

    readable, errors = [], []
    for path in images:
        try:
            decode(path, reading=reading)
            readable.append(path)
        except InputError as error:
            errors.append(error)
    return readable, errors


def _folder(out: Path | None, as_json: bool) -> AbstractContextManager[Path | None]:
    """Return where to write, if anywhere: a folder that is named must be new or empty."""
    from vlmad_run.places import RUNS, new_folder

    if out is None:
        return nullcontext() if as_json else new_folder(RUNS, "explain")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is not an empty folder; choose another --out")
    return nullcontext(out)


def _file(detector: Detector, explanations: list[Explanation]) -> ExplanationFile:
    from vlmad_explain.explanations import ExplainedDetector, ExplainedPart, ExplanationFile
    from vlmad_run.part_options import options_in_full, recipe_name

    assembly = detector.assembly
    parts = {
        kind: ExplainedPart(name=assembly.parts[kind].registration.name, options=options)
        for kind, options in options_in_full(detector).items()
    }
    return ExplanationFile(
        detector=ExplainedDetector(recipe=recipe_name(assembly), parts=parts),
        references=[source.name for source in detector.references],
        explanations=explanations,
    )


def _write(
    detector: Detector,
    explanation: Explanation,
    heat: Float[np.ndarray, "H W"],
    compared: Sequence[Source],
    folder: Path,
) -> list[Path]:
    """Write the picture and the JSON file of one image, and return their paths."""
    from vlmad.images import decode
    from vlmad_explain._explanation_picture import draw
    from vlmad_run.rows import file_stem

    paths = [folder / (file_stem(explanation.image) + suffix) for suffix in (".png", ".json")]
    image = decode(Path(explanation.image), reading=detector.reading)
    write_atomically(paths[0], draw(explanation, heat, image, compared))
    _file(detector, [explanation]).write(paths[1])
    return paths


def _print(explanation: Explanation, written: Iterable[Path]) -> None:
    """Print one explanation for a person."""
    screen = console()
    lines = [f"{explanation.score:.3f}  {explanation.image}"]
    lines += [f"  {words.named(each)}, at pixels {each.place}" for each in explanation.named]
    lines += [f"  {line}" for line in words.equation(explanation)]
    screen.print(*lines, sep="\n")
    table = Table("", "region", "pixels", "values", "nearest reference", box=None)
    for finding in explanation.findings:
        mark = f"{finding.number} decided" if finding.decided else f"{finding.number}"
        place, values = str(finding.place), words.values(finding)
        table.add_row(mark, finding.level, place, values, words.nearest(finding))
    screen.print(table)
    lines = [words.totals(explanation)] if explanation.sentences else []
    sides = words.strongest_sentences(words.by_state(explanation.sentences), SENTENCES)
    for title, side in zip(("for" if explanation.unit else "near", "against"), sides, strict=True):
        lines += [f"  {title:8}{words.measure(each):>6}  {each.text}" for each in side]
    lines += [f"not known: {explanation.gap}"] if explanation.gap else []
    lines += map(str, written)
    screen.print(*lines, "", sep="\n")
