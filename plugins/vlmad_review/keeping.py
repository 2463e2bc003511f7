"""Files that `vlmad run` uses at once: a detector, a threshold, and all that was measured."""

from __future__ import annotations

import json
import os
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import OutputError
from vlmad.files import write_atomically
from vlmad.hookspecs import KINDS
from vlmad_run.fitted import save_fitted
from vlmad_run.manifest import identity, options_in_full
from vlmad_run.thresholds import Threshold, write_threshold

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vlmad.detector import Detector
    from vlmad_review.material import Material
    from vlmad_review.proposals import Findings
    from vlmad_review.states import Change

STATES, FITTED, RECIPE, THRESHOLD = (
    "states.toml",
    "fitted.safetensors",
    "detector.toml",
    "threshold.json",
)
DOCUMENT, PAGE = "review.json", "review.md"
FILES = (STATES, FITTED, RECIPE, THRESHOLD, DOCUMENT, PAGE)
FIT_ON_FOLDS = (
    "chosen on scores by memories that lack a fold of the new references: those of the whole "
    "memory tend to be a little lower, which errs on the side of misses"
)
WORDS_ON_ALL = (
    "the words were chosen on the same images: rates of images left out are somewhat optimistic, "
    "those of the review are not"
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What was written."""

    files: tuple[Path, ...]
    use: str
    """The command that runs it; empty if no detector was adopted."""


def check_folder(folder: Path, force: bool) -> None:
    """Refuse a folder that holds a review already, or that is none.

    Raises:
        OutputError: it does, and nobody forces it.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; choose another --out")
    there = [name for name in FILES if (folder / name).exists()]
    if there and not force:
        raise OutputError(f"{folder / there[0]} exists; choose another --out or add --force")


def keep_detector(
    material: Material, findings: Findings, changes: Sequence[Change], place: Path, folder: Path
) -> Kept:
    """Write what is adopted: a detector and its threshold; nothing if nothing is.

    A detector with a memory is stored whole; one without becomes a recipe.

    Args:
        material: what was reviewed, and by which detector.
        findings: what of it is adopted.
        changes: of words that were tried.
        place: where the files are written.
        folder: where they will lie when they are used, see `staging.staged`.

    Raises:
        OutputError: they cannot be written.
    """
    if not findings.adopted:
        return Kept((), "")
    detector, names = material.detector, []
    if findings.change:
        from vlmad_review.states import to_toml, with_prompts

        prompts = changes[findings.change - 1].prompts
        names.append(STATES)
        write_atomically(place / STATES, to_toml(prompts))
        detector = with_prompts(detector, prompts, place / STATES)
    references = _references(material, findings)
    if findings.new_references:
        new = [material.features[index] for index in findings.new_references]
        detector.memory = detector.memory_of([*material.reference_features, *new])
    name, words = _store(detector, material.class_name, references, place, folder)
    names.append(name)
    if findings.threshold is not None:
        whose = identity(detector, material.class_name, [sha256 for _, sha256 in references])
        names.append(THRESHOLD)
        write_threshold(_threshold(findings, whose), place / THRESHOLD)
        words += ["--threshold", str(folder / THRESHOLD)]
    files = tuple(folder / name for name in names)
    return Kept(files, "vlmad run NEW " + shlex.join(words))


def _references(material: Material, findings: Findings) -> list[tuple[str, str]]:
    new = [material.images[index] for index in findings.new_references]
    return [*material.references, *((str(image.path), image.sha256) for image in new)]


def _store(
    detector: Detector,
    class_name: str,
    references: Sequence[tuple[str, str]],
    place: Path,
    folder: Path,
) -> tuple[str, list[str]]:
    """Write the detector; return the file's name and the options that choose it."""
    options = _as_used(options_in_full(detector), place, folder)
    if detector.memory is not None:
        settings = {"command": sys.argv[1:], "options": options}
        save_fitted(detector, place / FITTED, class_name, references, settings)
        return FITTED, ["--fitted", str(folder / FITTED)]
    write_atomically(place / RECIPE, recipe_of(detector, options))
    words = ["--recipe", str(folder / RECIPE), "--class-name", class_name]
    if str(detector.resizing) != "squash":
        words += ["--resize", str(detector.resizing)]
    return RECIPE, words


def _as_used(
    options: Mapping[str, Mapping[str, Any]], place: Path, folder: Path
) -> dict[str, dict[str, Any]]:
    """Name a file that is an option by where it will lie."""
    moved = {os.path.abspath(place / STATES): os.path.abspath(folder / STATES)}
    return {
        kind: {name: moved.get(str(value), value) for name, value in values.items()}
        for kind, values in options.items()
    }


def recipe_of(detector: Detector, options: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a detector's parts with these options, as a recipe file."""
    lines = [
        f"{kind} = {json.dumps(detector.assembly.parts[kind].registration.name)}" for kind in KINDS
    ]
    lines += ["", "[options]"]
    for kind, values in options.items():
        given = {name: value for name, value in values.items() if value is not None}
        lines += [f"{kind}.{name} = {_toml(value)}" for name, value in given.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    from vlmad_review.states import quoted

    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value)


def _threshold(findings: Findings, whose: Mapping[str, Any]) -> Threshold:
    found = findings.threshold
    assert found is not None
    evidence = found.to_dict()
    evidence["remarks"] = [*found.remarks]
    evidence["remarks"] += [FIT_ON_FOLDS] if findings.new_references else []
    evidence["remarks"] += [WORDS_ON_ALL] if findings.change else []
    evidence["command"] = sys.argv[1:]
    return Threshold(found.threshold, found.name, {**whose, "threshold": None}, evidence)


def keep_document(document: Mapping[str, Any], page: str, place: Path) -> None:
    """Write all that was measured, for machines and for people.

    Raises:
        OutputError: the folder cannot be written.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    write_atomically(place / DOCUMENT, text.encode("utf-8", "backslashreplace"))
    write_atomically(place / PAGE, page.encode("utf-8", "backslashreplace"))
