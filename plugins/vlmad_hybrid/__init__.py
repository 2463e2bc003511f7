"""The proposed hybrid: AnomalyCLIP's learned prompts inside WinCLIP's sliding windows.

The plugin is a recipe alone: both halves are parts of other plugins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

HYBRID = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "learned",
        "extractor": "window",
        "attention": "none",
        "scorer": "harmonic",
    },
    summary="learned prompts inside sliding windows",
)


@hookimpl
def register_detectors(register: Register) -> None:
    """Register `hybrid`."""
    register("hybrid", HYBRID, HYBRID.summary)
