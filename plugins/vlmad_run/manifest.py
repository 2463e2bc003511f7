"""What a run is, and what is needed to repeat it, as a plain table.

The identity is what the scores depend on: parts with their options and versions, weights,
preprocessing, class name, references and threshold. Two commands of one identity are the same
run, however they are worded; where a file is an option, its content counts and not its name.
"""

from __future__ import annotations

import hashlib
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.errors import InputError
from vlmad.images import digest
from vlmad_run.recorded import file_digests

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.assembly import Chosen
    from vlmad.detector import Detector

LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")
NOT_SUBSTANCE = {"backbone": ("device", "weights", "precision")}
"""Options that change where and how, not what is computed; the weights' hash and the precision
in force stand in the identity themselves."""


def identity(
    detector: Detector,
    class_name: str,
    references: Sequence[str] = (),
    threshold: float | None = None,
) -> dict[str, Any]:
    """Return what the scores and verdicts of a detector depend on (loads the weights).

    Args:
        detector: it need not be fitted.
        class_name: what the images show.
        references: the SHA-256 of each reference.
        threshold: from which score on an image is anomalous.

    Raises:
        WeightsError: the weights cannot be loaded.
        InputError: a file that is an option cannot be read.
    """
    backbone = detector.backbone
    return {
        "parts": {kind: _part(chosen) for kind, chosen in detector.assembly.parts.items()},
        "weights_sha256": backbone.weights_hash,
        "precision": getattr(backbone, "precision", "float32"),
        "preprocessing": _plain(asdict(backbone.spec.preprocessing)),
        "resize": str(detector.resizing),
        "class_name": class_name.replace("_", " "),  # as prompts read it
        "sentences_sha256": sentences_digest(detector, class_name),
        "references_sha256": list(references),
        "threshold": threshold,
    }


def describe_run(
    detector: Detector,
    class_name: str,
    references: Sequence[tuple[str, str]] = (),
    threshold: float | None = None,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe a detector, its references and its surroundings (loads the weights).

    Args:
        detector: the detector.
        class_name: what the images show.
        references: path and SHA-256 of each reference.
        threshold: from which score on an image is anomalous.
        settings: more to be kept, such as the command.

    Raises:
        WeightsError: the weights cannot be loaded.
        InputError: a file that is an option cannot be read.
    """
    hashes = [sha256 for _, sha256 in references]
    options = options_in_full(detector)
    return {
        "vlmad": version("vlmad"),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "recipe": detector.assembly.recipe.name,
        "identity": identity(detector, class_name, hashes, threshold),
        "options": options,
        "files": file_digests(options),
        "backbone": detector.backbone.spec.name,
        "licence": detector.backbone.spec.licence,
        "device": str(getattr(detector.backbone, "device", "unknown")),
        "references": [{"path": path, "sha256": sha256} for path, sha256 in references],
        "folder": os.getcwd(),
        "libraries": {name: _version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        **(settings or {}),
    }


def options_in_full(detector: Detector) -> dict[str, dict[str, Any]]:
    """Return all options of all parts as plain values, files under their whole names."""
    return {
        kind: {name: _plain(_in_full(value)) for name, value in chosen.options.items()}
        for kind, chosen in detector.assembly.parts.items()
    }


def differences(one: Mapping[str, Any], other: Mapping[str, Any], place: str = "") -> list[str]:
    """Return where two tables differ, as ``place (this, now that)``.

    >>> differences({"a": {"b": 1}}, {"a": {"b": 2}})
    ['a.b (1, now 2)']
    """
    found = []
    for key in dict.fromkeys([*one, *other]):
        was, now = one.get(key), other.get(key)
        if isinstance(was, Mapping) and isinstance(now, Mapping):
            found += differences(was, now, f"{place}{key}.")
        elif was != now:
            found.append(f"{place}{key} ({_short(was)}, now {_short(now)})")
    return found


def sentences_digest(detector: Detector, class_name: str) -> str | None:
    """Return the SHA-256 of the sentences in use, or None where images change them."""
    if detector.prompts.looks_at_image:
        return None
    text = detector.text(class_name, None)
    if text is None:
        return None
    return hashlib.sha256("\n".join(text.sentences).encode("utf-8", "surrogatepass")).hexdigest()


def _part(chosen: Chosen) -> dict[str, Any]:
    registration = chosen.registration
    left_out = NOT_SUBSTANCE.get(registration.kind, ())
    options = {name: value for name, value in chosen.options.items() if name not in left_out}
    return {
        "name": registration.name,
        "distribution": registration.distribution,
        "version": registration.version,
        "options": {name: _content(value) for name, value in options.items()},
    }


def _content(value: Any) -> Any:
    """Return a file's hash in the place of its path, and everything else as it is."""
    if not isinstance(value, Path):
        return _plain(value)
    if not value.is_file():
        raise InputError(f"{value}: no such file")
    return f"sha256:{digest(value)}"


def _in_full(value: Any) -> Any:
    """Return the name of a file so that it is found from any working directory."""
    named = isinstance(value, Path) or (isinstance(value, str) and Path(value).suffix)
    return os.path.abspath(value) if named and os.path.isfile(value) else value


def _plain(value: Any) -> Any:
    """Return a value as JSON gives it back."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:16]}…"


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
