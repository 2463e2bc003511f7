"""Files that `vlmad run` uses at once: a detector, a threshold, and all that was measured."""

from __future__ import annotations

import json
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import OutputError, first_line
from vlmad.files import write_atomically
from vlmad.fitted import save_fitted
from vlmad.hookspecs import KINDS
from vlmad.manifest import identity, options_in_full
from vlmad.thresholds import Threshold, write_threshold

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
    material: Material, findings: Findings, changes: Sequence[Change], folder: Path
) -> Kept:
    """Write what is adopted: a detector and its threshold; nothing if nothing is.

    A detector with a memory is stored whole; one without becomes a recipe.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        for name in FILES:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {first_line(error)}") from error
    if not findings.adopted:
        return Kept((), "")
    detector, files = material.detector, []
    if findings.change:
        from vlmad_review.states import to_toml, with_prompts

        prompts = changes[findings.change - 1].prompts
        files.append(folder / STATES)
        write_atomically(files[0], to_toml(prompts))
        detector = with_prompts(detector, prompts, files[0].absolute())
    references = _references(material, findings)
    if findings.new_references:
        new = [material.features[index] for index in findings.new_references]
        detector.memory = detector.memory_of([*material.reference_features, *new])
    path, words = _store(detector, material.class_name, references, folder)
    files.append(path)
    if findings.threshold is not None:
        whose = identity(detector, material.class_name, [sha256 for _, sha256 in references])
        files.append(folder / THRESHOLD)
        write_threshold(_threshold(findings, whose), files[-1])
        words += ["--threshold", str(files[-1])]
    return Kept(tuple(files), "vlmad run NEW " + shlex.join(words))


def _references(material: Material, findings: Findings) -> list[tuple[str, str]]:
    new = [material.images[index] for index in findings.new_references]
    return [*material.references, *((str(image.path), image.sha256) for image in new)]


def _store(
    detector: Detector, class_name: str, references: Sequence[tuple[str, str]], folder: Path
) -> tuple[Path, list[str]]:
    """Write the detector and return the file with the options that choose it."""
    if detector.memory is not None:
        path = folder / FITTED
        save_fitted(detector, path, class_name, references, {"command": sys.argv[1:]})
        return path, ["--fitted", str(path)]
    path = folder / RECIPE
    write_atomically(path, recipe_of(detector))
    words = ["--recipe", str(path), "--class-name", class_name]
    if str(detector.resizing) != "squash":
        words += ["--resize", str(detector.resizing)]
    return path, words


def recipe_of(detector: Detector) -> str:
    """Return a detector's parts with all their options as a recipe file."""
    lines = [
        f"{kind} = {json.dumps(detector.assembly.parts[kind].registration.name)}" for kind in KINDS
    ]
    lines += ["", "[options]"]
    for kind, values in options_in_full(detector).items():
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
    if findings.new_references:
        evidence["remarks"] = [*found.remarks, FIT_ON_FOLDS]
    evidence["command"] = sys.argv[1:]
    return Threshold(found.threshold, found.name, {**whose, "threshold": None}, evidence)


def keep_document(document: Mapping[str, Any], page: str, folder: Path) -> tuple[Path, Path]:
    """Write all that was measured, for machines and for people.

    Raises:
        OutputError: the folder cannot be written.
    """
    text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    write_atomically(folder / DOCUMENT, text.encode("utf-8", "backslashreplace"))
    write_atomically(folder / PAGE, page.encode("utf-8", "backslashreplace"))
    return folder / DOCUMENT, folder / PAGE
