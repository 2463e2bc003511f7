"""Repeating a run from its manifest, and whether the scores agree.

A manifest may come from someone else: what an option of it names is hashed before anything reads
it and used only if it is the very file that was recorded, and what is no regular file on this
machine is not touched.
"""

from __future__ import annotations

import os
import shlex
import stat
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, UnknownPartError, one_line
from vlmad.files import digest
from vlmad.hookspecs import KINDS
from vlmad.options import options_of
from vlmad.registry import installed
from vlmad_formats.reading import Reading
from vlmad_run.aligning import align_to_first
from vlmad_run.kinds import HasProducts, engine_for
from vlmad_run.memory_documents import Reference
from vlmad_run.part_options import file_digest
from vlmad_run.references import Assembled
from vlmad_run.region_of_interest import read_region

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from pydantic import JsonValue

    from vlmad.detector import Detector
    from vlmad_run.identity import PartIdentity
    from vlmad_run.kinds import Runnable
    from vlmad_run.manifest import Manifest
    from vlmad_run.stored_run import StoredRun

FETCH = "fetch"
"""The option of a backbone without which nothing that a manifest names is fetched."""
ELSEWHERE = ("//", "\\\\")
"""How names of files on other machines, and on Windows of devices, begin."""

EXACT, ROUGH = 1e-5, 2.0**-8
"""How far two scores may be apart and still agree, in float32 and in any other precision: what
batches and processors change; of scores above 1, by so large a share."""


def repeat(run: StoredRun, options: Mapping[str, Mapping[str, Any]], fit: bool = True) -> Runnable:
    """Build the detector of a run, fitted on the same references.

    Args:
        run: what is repeated.
        options: what is to differ, such as where the backbone's weights are on this machine.
        fit: whether to fit it; one that was kept in a file is fitted in any case.

    Raises:
        InputError: a reference or a file is missing or has changed.
        VlmadError: a part or weights are not to be had here.
    """
    manifest = run.manifest
    if manifest.model is not None:
        file = recorded_file(manifest.model, manifest.model_sha256)
        found = engine_for(file)(file, options)
        if isinstance(found, HasProducts) and not manifest.identity.products:
            return found.only(manifest.identity.class_name)
        return found
    detector = rebuild(manifest, options)
    references = [
        Reference(path=str(run.place_of(each.path)), sha256=each.sha256)
        for each in manifest.references
    ]
    for each in references:
        if digest(run.place_of(each.path)) != each.sha256:
            raise InputError(f"reference {each.path} is not the file that the manifest names")
    if manifest.identity.align is not None:
        align_to_first(detector, [each.path for each in references])
    if manifest.region is not None:
        mask = recorded_file(manifest.region.path, manifest.region.sha256)
        detector.look_inside(read_region(mask, manifest.region.ignored))
    if references and fit:
        detector.fit([each.path for each in references])
    return Assembled(detector, run.class_name, references, seed=manifest.seed)


def compare(run: StoredRun, other: StoredRun) -> tuple[bool, str]:
    """Return whether two runs of the same images agree in all scores, and a line about it."""
    ours, theirs = ({each.file_of(row): row for row in each.rows()} for each in (run, other))
    pairs = [(ours[image], theirs[image]) for image in ours.keys() & theirs.keys()]
    missing = len(ours.keys() ^ theirs.keys()) + sum(a.status != b.status for a, b in pairs)
    apart, changed = list[float](), 0
    for one, another in pairs:
        if one.sha256 == another.sha256 and one.score is not None and another.score is not None:
            apart.append(abs(one.score - another.score) / max(1.0, abs(one.score)))
        elif one.score is not None and another.score is not None:
            changed += 1
    if not (apart or changed):
        return False, "nothing to compare: the runs scored no image in common"
    largest = max(apart, default=0.0)
    precisions = {each.manifest.identity.precision for each in (run, other)} - {"float32"}
    precision, most = next(((each, ROUGH) for each in sorted(precisions)), ("float32", EXACT))
    agree = bool(apart) and largest <= most and not (changed or missing)
    return agree, (
        f"scores {'agree' if agree else 'DIFFER'}: {len(apart)} compared, "
        f"largest difference {largest:.2g} ({precision}: up to {most:.2g})"
        + (f", {changed} are of files that have changed" if changed else "")
        + (f", {missing} are in one run only" if missing else "")
    )


def rebuild(
    manifest: Manifest, options: Mapping[str, Mapping[str, Any]], fits: bool = True
) -> Detector:
    """Build the detector that a manifest describes, not fitted, but for options that differ.

    Unless it `fits`, what nothing but `fit` reads need not be there.

    Raises:
        InputError: it is not made of parts, or names a file that is not the one it was.
        VlmadError: a part is not installed here, or takes other options.
    """
    from vlmad import Recipe, load_detector

    parts = manifest.identity.parts
    if set(parts) | {"prompts"} != set(KINDS) or parts.keys() != manifest.options.keys():
        raise InputError("the manifest does not list the parts of a detector and their options")
    given = {kind: {**manifest.options[kind], **options.get(kind, {})} for kind in parts}
    names = {kind: _installed(kind, part) for kind, part in parts.items()}
    _check_files(manifest, options, () if fits else _read_in_fit(names["scorer"]))
    backbone = installed().get("backbone", names["backbone"]).resolve()
    if FETCH in options_of(backbone):
        given["backbone"][FETCH] = options.get("backbone", {}).get(FETCH, False)
    return load_detector(
        Recipe(names, name=manifest.recipe),
        options=given,
        resize=manifest.identity.resize,
        reading=Reading.parse(manifest.identity.reading),
        backbone=names["backbone"],
        prompts=names.get("prompts"),
        extractor=names["extractor"],
        attention=names["attention"],
        scorer=names["scorer"],
    )


def _installed(kind: str, part: PartIdentity) -> str:
    """Return the full name that a part has now, if it is installed.

    Raises:
        UnknownPartError: it is not, or not in that version; the words that install it are named.
    """
    needed = f"{part.distribution}=={part.version}"
    try:
        return installed().get(kind, f"{part.distribution}:{part.name}").full_name
    except UnknownPartError as error:
        there = _version_of(part.distribution)
        if there == part.version:
            raise  # why it was not loaded stands in the message
        instead = "which is not installed" if there is None else f"and {there} has none of the name"
        words = one_line(f"{kind} '{part.name}' is of {needed}, {instead}")
        trusted = one_line(shlex.quote(needed))
        raise UnknownPartError(f"{words}: pip install {trusted}, if you trust it") from error


def _version_of(name: str) -> str | None:
    try:
        return version(name)
    except (PackageNotFoundError, ValueError):
        return None


def recorded_file(name: str, sha256: str | None) -> Path:
    """Return the file that a manifest names, if it is the one that was recorded.

    Raises:
        InputError: it is elsewhere, missing, no regular file, or another.
    """
    shown = one_line(name)
    if name.startswith(ELSEWHERE):
        raise InputError(f"the manifest names {shown}, which is not on this machine")
    try:
        regular = stat.S_ISREG(os.stat(name).st_mode)
    except (OSError, ValueError):
        raise InputError(f"the manifest names {shown}, which is not there") from None
    if not regular:
        raise InputError(f"the manifest names {shown}, which is no regular file")
    if file_digest(Path(name)) != sha256:
        raise InputError(f"the manifest names {shown}, which is not known to be the file it was")
    return Path(name)


def _read_in_fit(scorer: str) -> Collection[str]:
    """Return the options of a scorer that nothing but `fit` reads (`LearnsInFit`)."""
    factory = installed().get("scorer", scorer).resolve()
    only: Collection[str] = getattr(factory, "only_in_fit", ())
    return only


def _check_files(
    manifest: Manifest, but: Mapping[str, Mapping[str, Any]], unread: Collection[str]
) -> None:
    for kind, values in manifest.options.items():
        left_out = {*but.get(kind, ()), *(unread if kind == "scorer" else ())}
        for option in [name for name in values if name not in left_out]:
            place = f"{kind}.{option}"
            for name in filter(_may_be_a_file, _texts(values[option])):
                try:
                    recorded_file(name, manifest.files.get(place))
                except InputError as error:
                    how = f"name it with --set {place}=FILE if you trust it"
                    raise InputError(f"{error}; {how}") from None


def _texts(value: JsonValue) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _may_be_a_file(name: str) -> bool:
    try:
        return os.path.isabs(name) or name.startswith(ELSEWHERE) or os.path.lexists(name)
    except ValueError:  # no name that a file could have
        return False
