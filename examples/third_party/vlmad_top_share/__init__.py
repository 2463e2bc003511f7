"""A scorer for vlmad: the mean of the highest pixels of the map."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

TOP_SHARE = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "compositional",
        "extractor": "window",
        "attention": "none",
        "scorer": "top-share",
    },
    summary="WinCLIP's windows under the mean of the highest pixels",
)


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `top-share`; its module is imported when it is used."""
    register("top-share", "vlmad_top_share.scorer:TopShare", "mean of the highest pixels")


@hookimpl
def register_detectors(register: Register) -> None:
    """Register the recipe `top-share`."""
    register("top-share", TOP_SHARE, TOP_SHARE.summary)
