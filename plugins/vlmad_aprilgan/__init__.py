"""APRIL-GAN: patches of several layers, brought to the text's space by a learned map each.

Chen et al., VAND 2023, arXiv 2305.17382.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

APRILGAN = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "compositional",
        "extractor": "projected",
        "attention": "none",
        "scorer": "projected",
    },
    options={
        "prompts": {"list": "april-gan"},
        "backbone:openclip": {"image_size": 518, "positions": "bicubic"},
    },
    summary="learned maps from patches to texts, and with references distances of patches",
    paper="Chen et al., VAND 2023, arXiv 2305.17382",
)


@hookimpl
def register_extractors(register: Register) -> None:
    """Register `projected`."""
    register(
        "projected",
        "vlmad_aprilgan._projected_patches:ProjectedPatches",
        "patches of several layers, through learned maps",
    )


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `projected` and `projected-scaled`."""
    register(
        "projected",
        "vlmad_aprilgan._projected_scorer:ProjectedScorer",
        "APRIL-GAN, with references its few-shot form",
    )
    register(
        "projected-scaled",
        "vlmad_aprilgan._projected_scorer:ScaledScorer",
        "that form with scores scaled over the set",
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register `april-gan`."""
    register("april-gan", APRILGAN, APRILGAN.summary)
