"""Building a detector anew from its manifest.

A manifest may come from someone else: what an option of it names is hashed before anything reads
it and used only if it is the very file that was recorded, and what is no regular file on this
machine is not touched.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError, one_line
from vlmad.hookspecs import KINDS
from vlmad_run.manifest import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue

    from vlmad.detector import Detector
    from vlmad_run.manifest import Manifest

ELSEWHERE = ("//", "\\\\")
"""How names of files on other machines, and on Windows of devices, begin."""


def rebuild(manifest: Manifest, options: Mapping[str, Mapping[str, Any]]) -> Detector:
    """Build the detector that a manifest describes, not fitted.

    Args:
        manifest: of a run or a fitted detector.
        options: what is to differ, by kind.

    Raises:
        InputError: it is not made of five parts, or names a file that is not the one it was.
        VlmadError: a part is not installed here, or takes other options.
    """
    from vlmad import Recipe, load_detector

    parts = manifest.identity.parts
    if set(parts) != set(KINDS) or set(manifest.options) != set(KINDS):
        raise InputError("the manifest does not list five parts and their options")
    given = {kind: {**manifest.options[kind], **options.get(kind, {})} for kind in KINDS}
    _check_files(manifest, options)
    names = {kind: f"{parts[kind].distribution}:{parts[kind].name}" for kind in KINDS}
    return load_detector(
        Recipe(names, name=manifest.recipe),
        options=given,
        resize=manifest.identity.resize,
        backbone=names["backbone"],
        prompts=names["prompts"],
        extractor=names["extractor"],
        attention=names["attention"],
        scorer=names["scorer"],
    )


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


def _check_files(manifest: Manifest, but: Mapping[str, Mapping[str, Any]]) -> None:
    for kind, values in manifest.options.items():
        for option, value in values.items():
            place = f"{kind}.{option}"
            for name in () if option in but.get(kind, {}) else _names(value):
                try:
                    recorded_file(name, manifest.files.get(place))
                except InputError as error:
                    how = f"name it with --set {place}=FILE if you trust it"
                    raise InputError(f"{error}; {how}") from None


def _names(value: JsonValue) -> Iterator[str]:
    """Yield what of an option's value is, or could be, the name of a file."""
    for text in value if isinstance(value, list) else [value]:
        if isinstance(text, str) and (text.startswith(ELSEWHERE) or _is_there(text)):
            yield text


def _is_there(name: str) -> bool:
    try:
        return os.path.isabs(name) or (bool(name) and os.path.lexists(name))
    except ValueError:  # no name that a file could have
        return False
