"""Baselines: what the methods are compared with, and the parts that change nothing.

Plain CLIP (Radford et al., ICML 2021), CLIP with WinCLIP's sentences (Jeong et al., CVPR 2023),
and the recipe of the comparison of WinCLIP and AnomalyCLIP that vlmad grew from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

CLIP = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "plain",
        "extractor": "dense",
        "attention": "none",
        "scorer": "dense",
    },
    options={"scorer": {"sigma": 0.0}},
    summary="one normal and one anomalous sentence, patches as they are",
    paper="Radford et al., ICML 2021, arXiv 2103.00020",
)
CLIP_AC = Recipe(
    parts={**CLIP.parts, "prompts": "compositional"},
    options=CLIP.options,
    summary="WinCLIP's sentences without its windows",
    paper="Jeong et al., CVPR 2023, arXiv 2303.14814",
)
COMPARISON = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "compositional",
        "extractor": "window",
        "attention": "none",
        "scorer": "max-cosine",
    },
    options={"prompts": {"list": "comparison"}, "extractor": {"scales": (2, 3, 5)}},
    summary="windows of 2, 3 and 5 patches under the largest cosine",
)


@hookimpl
def register_prompts(register: Register) -> None:
    """Register `plain`."""
    register(
        "plain", "vlmad_baselines._plain_prompts:Plain", "one normal and one anomalous sentence"
    )


@hookimpl
def register_extractors(register: Register) -> None:
    """Register `tiles`."""
    register("tiles", "vlmad_baselines._image_tiles:ImageTiles", "overlapping crops of the image")


@hookimpl
def register_attention(register: Register) -> None:
    """Register `none`."""
    register("none", "vlmad_baselines._unmodified:Unmodified", "the backbone's own attention")


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `max-cosine`."""
    register(
        "max-cosine", "vlmad_baselines._max_cosine:MaxCosine", "the largest cosine to a sentence"
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register `clip`, `clip-ac` and `comparison`."""
    register("clip", CLIP, CLIP.summary)
    register("clip-ac", CLIP_AC, CLIP_AC.summary)
    register("comparison", COMPARISON, COMPARISON.summary)
