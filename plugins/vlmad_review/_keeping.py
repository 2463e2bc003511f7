"""Files that `vlmad run` uses at once: a detector, a threshold, and all that was measured."""

from __future__ import annotations

import os
import re
import shlex
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import tomli_w
from markupsafe import Markup

from vlmad.errors import OutputError, printable
from vlmad.files import PARTLY, refuse_links, write_atomically
from vlmad_review._proposals import kept_threshold, learned_of
from vlmad_run.fitted import save_fitted
from vlmad_run.manifest import describe_run
from vlmad_run.part_options import options_in_full
from vlmad_run.thresholds import Threshold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from vlmad.detector import Detector
    from vlmad_review._trials import Lessons, Trials
    from vlmad_review.review_document import ReviewDocument
    from vlmad_run.manifest import Manifest

FITTED, RECIPE, THRESHOLD = "fitted.safetensors", "detector.toml", "threshold.json"
DOCUMENT, PAGE = "review.json", "review.md"
FILES = {FITTED, RECIPE, THRESHOLD, DOCUMENT, PAGE}
CHOSEN_ON_FOLDS = (
    "chosen on scores by memories that lack a fold of the new references: those of the whole "
    "memory tend to be a little lower, which errs on the side of misses"
)


def check_folder(folder: Path, force: bool) -> None:
    """Refuse a folder that holds something else than a review, or one that nobody gives up.

    Raises:
        OutputError: so it is.
    """
    refuse_links([folder, *(folder.iterdir() if folder.is_dir() else ())])
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another --out")
    there = {path.name for path in folder.iterdir()} if folder.exists() else set()
    if there - FILES:
        raise OutputError(f"{folder} holds {min(there - FILES)} too; choose another --out")
    if there and not force:
        raise OutputError(f"{folder / min(there)} exists; choose another --out or add --force")


def keep(trials: Trials, review: ReviewDocument, folder: Path) -> ReviewDocument:
    """Write what is adopted and all that was measured, whole or not at all.

    Returns:
        What was found, with the files and the command that uses them.

    Raises:
        OutputError: they cannot be written; what was in the folder still is.
    """
    with replacing(folder) as place:
        words = _keep_detector(trials, review, place, folder)
        files = [str(folder / name) for name in sorted({path.name for path in place.iterdir()})]
        use = "vlmad run NEW " + shlex.join(words) if words else ""
        review = review.model_copy(update={"files": files, "use": use})
        review.write(place / DOCUMENT)
        write_atomically(place / PAGE, page(review).encode("utf-8", "backslashreplace"))
    return review


def _keep_detector(trials: Trials, review: ReviewDocument, place: Path, folder: Path) -> list[str]:
    """Write what is adopted to a place; return options that use it where it will lie."""
    learned = learned_of(review)
    if not (any(learned) or review.threshold.adopted):
        return []
    assembled = trials.material.assembled
    detector, class_name = assembled.detector, assembled.class_name
    if any(learned):
        detector.memory = trials.memory(learned)
    references = [*assembled.references, *review.new_references]
    if not trials.material.no_references:
        new = trials.new_references().tolist() if learned.references else []
        detector.views = trials.material.views_with(new)
    misses = [*assembled.misses, *review.new_misses]
    manifest = describe_run(detector, class_name, references, misses=misses)
    if detector.memory is not None:
        save_fitted(detector, manifest, place / FITTED)
        words = ["--model", str(folder / FITTED)]
    else:
        write_atomically(place / RECIPE, recipe_of(detector))
        words = ["--detector", str(folder / RECIPE), "--class-name", class_name]
        words += ["--resize", str(detector.resizing)]
    if review.threshold.adopted:
        threshold_of(trials, learned, manifest).write(place / THRESHOLD)
        words += ["--threshold", str(folder / THRESHOLD)]
    return words


def threshold_of(trials: Trials, learned: Lessons, manifest: Manifest) -> Threshold:
    """Return the threshold that is kept, for the detector of a manifest."""
    chosen = kept_threshold(trials, learned)
    remarks = [*chosen.evidence.remarks, *([CHOSEN_ON_FOLDS] if learned.references else [])]
    evidence = chosen.evidence.model_copy(
        update={
            "remarks": remarks,
            "command": sys.argv[1:],
            "group": str(trials.material.run.folder) if trials.material.parts else "",
        }
    )
    return Threshold(
        value=chosen.threshold,
        rule=chosen.name,
        evidence=evidence.model_dump(),
        identity=manifest.identity,
    )


def recipe_of(detector: Detector, changed: Mapping[str, Mapping[str, str]] | None = None) -> str:
    """Return a detector's parts with their options, some of them changed, as a recipe file."""
    parts = {kind: chosen.registration.name for kind, chosen in detector.assembly.parts.items()}
    options = {
        kind: {
            name: value
            for name, value in {**values, **(changed or {}).get(kind, {})}.items()
            if value is not None
        }
        for kind, values in options_in_full(detector).items()
    }
    return tomli_w.dumps({**parts, "options": options})


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of another, whole or not at all.

    Whatever ends the block otherwise (a full disk, Ctrl-C) leaves the other one as it was.

    Raises:
        OutputError: the folder cannot be written.
    """
    folder = folder.resolve()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=PARTLY) as place:
            new, old = Path(place, "new"), Path(place, "old")
            new.mkdir()
            yield new
            try:
                if folder.exists():
                    os.rename(folder, old)
                os.rename(new, folder)
            except BaseException:
                if old.exists() and not folder.exists():
                    os.rename(old, folder)
                raise
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error


def page(review: ReviewDocument) -> str:
    """Return all that was found as Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        finalize=_escaped,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("review.md.j2").render(review=review)


def _escaped(value: object) -> object:
    """Return a text that Markdown shows as it is; what is markup already stays."""
    if isinstance(value, Markup):
        return value
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", printable(value))
