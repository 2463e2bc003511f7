"""What is needed to repeat a run, as a plain table."""

from __future__ import annotations

import hashlib
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vlmad.images import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vlmad.detector import Detector

LIBRARIES = ("torch", "torchvision", "open_clip_torch", "numpy", "pillow")


def describe_run(
    detector: Detector, class_name: str, references: Sequence[Path], settings: dict[str, Any]
) -> dict[str, Any]:
    """Describe a detector, its references and its surroundings (loads the weights).

    Raises:
        WeightsError: the weights cannot be loaded.
        InputError: a reference cannot be read.
    """
    spec = detector.backbone.spec
    return {
        "vlmad": version("vlmad"),
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "recipe": detector.assembly.recipe.name,
        "parts": {kind: _part(chosen) for kind, chosen in detector.assembly.parts.items()},
        "backbone": {
            "name": spec.name,
            "weights_sha256": detector.backbone.weights_hash,
            "preprocessing": asdict(spec.preprocessing),
            "device": str(getattr(detector.backbone, "device", "unknown")),
            "precision": "float32",
        },
        "resize": str(detector.resizing),
        "class_name": class_name,
        "sentences_sha256": sentences_digest(detector, class_name),
        "references": [{"path": str(p), "sha256": digest(p)} for p in references],
        "libraries": {name: version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        **settings,
    }


def _part(chosen: Any) -> dict[str, Any]:
    registration = chosen.registration
    return {
        "name": registration.name,
        "distribution": registration.distribution,
        "version": registration.version,
        "options": dict(chosen.options),
    }


def sentences_digest(detector: Detector, class_name: str) -> str | None:
    """Return the SHA-256 of the sentences in use, or None where images change them."""
    if detector.prompts.looks_at_image:
        return None
    text = detector.text(class_name, None)
    if text is None:
        return None
    return hashlib.sha256("\n".join(text.sentences).encode()).hexdigest()
