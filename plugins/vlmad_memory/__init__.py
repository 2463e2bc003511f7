"""Comparing with normal references, without text: patch features and what is remembered of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

PATCHCORE = Recipe(
    parts={
        "backbone": "tiny",
        "extractor": "patches",
        "attention": "none",
        "scorer": "nearest",
    },
    summary="the distance of every patch to the nearest one of the references",
    paper="Roth et al., CVPR 2022, arXiv 2106.08265",
)


@hookimpl
def register_extractors(register: Register) -> None:
    """Register `patches`."""
    register(
        "patches", "vlmad_memory._patch_features:PatchFeatures", "raw features of several levels"
    )


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `nearest`."""
    register(
        "nearest",
        "vlmad_memory._nearest_patches:NearestPatches",
        "distance to the nearest reference patch",
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register `patchcore`."""
    register("patchcore", PATCHCORE, PATCHCORE.summary)
