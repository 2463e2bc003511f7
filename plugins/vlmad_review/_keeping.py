"""Files that `vlmad run` uses at once: a detector, a threshold, and all that was measured."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2
import tomli_w
from markupsafe import Markup

from vlmad.errors import printable
from vlmad.files import write_atomically
from vlmad_review._proposals import kept_threshold
from vlmad_run.fitted import save_fitted
from vlmad_run.manifest import describe_run, options_in_full

if TYPE_CHECKING:
    from vlmad.detector import Detector
    from vlmad_review._trials import Trials
    from vlmad_review.review_document import ReviewDocument

FITTED, RECIPE, THRESHOLD = "fitted.safetensors", "detector.toml", "threshold.json"
DOCUMENT, PAGE = "review.json", "review.md"
CHOSEN_ON_FOLDS = (
    "chosen on scores by memories that lack a fold of the new references: those of the whole "
    "memory tend to be a little lower, which errs on the side of misses"
)


def keep(trials: Trials, review: ReviewDocument, folder: Path) -> ReviewDocument:
    """Write what is adopted and all that was measured to a new folder.

    Returns:
        What was found, with the files and the command that uses them.

    Raises:
        OutputError: they cannot be written.
    """
    words = _keep_detector(trials, review, folder)
    kept = sorted(folder.iterdir()) if words else []
    files = [str(path) for path in (*kept, folder / DOCUMENT, folder / PAGE)]
    use = "vlmad run NEW " + shlex.join(words) if words else ""
    review = review.model_copy(update={"files": files, "use": use})
    review.write(folder / DOCUMENT)
    write_atomically(folder / PAGE, page(review).encode("utf-8", "backslashreplace"))
    return review


def _keep_detector(trials: Trials, review: ReviewDocument, folder: Path) -> list[str]:
    """Write what is adopted; return options that use it."""
    if not (review.references.adopted or review.threshold.adopted):
        return []
    assembled = trials.material.assembled
    detector, class_name = assembled.detector, assembled.class_name
    if review.references.adopted:
        detector.memory = trials.material.memory_with(trials.new_references())
    references = [*assembled.references, *review.new_references]
    manifest = describe_run(detector, class_name, references)
    if detector.memory is not None:
        save_fitted(detector, manifest, folder / FITTED)
        words = ["--model", str(folder / FITTED)]
    else:
        write_atomically(folder / RECIPE, recipe_of(detector))
        words = ["--detector", str(folder / RECIPE), "--class-name", class_name]
        words += ["--resize", str(detector.resizing)]
    if review.threshold.adopted:
        chosen = kept_threshold(trials, review.references.adopted)
        remarks = [CHOSEN_ON_FOLDS] if review.references.adopted else []
        threshold = chosen.document(
            manifest.identity, remarks=[*chosen.evidence.remarks, *remarks]
        )
        threshold.write(folder / THRESHOLD)
        words += ["--threshold", str(folder / THRESHOLD)]
    return words


def recipe_of(detector: Detector) -> str:
    """Return a detector's parts with their options, as a recipe file."""
    parts = {kind: chosen.registration.name for kind, chosen in detector.assembly.parts.items()}
    options = {
        kind: {name: value for name, value in values.items() if value is not None}
        for kind, values in options_in_full(detector).items()
    }
    return tomli_w.dumps({**parts, "options": options})


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
