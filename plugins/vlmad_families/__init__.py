"""Detectors that learn from good images alone: the families before language came in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

AUTOENCODER = Recipe(
    parts={
        "backbone": "tiny",
        "extractor": "patches",
        "attention": "none",
        "scorer": "reconstruction",
    },
    summary="what an autoencoder that learned good images cannot reconstruct",
)
DRAEM = Recipe(
    parts={**AUTOENCODER.parts, "backbone": "pixels", "scorer": "draem"},
    options={"backbone": {"size": 128}},
    summary="textures blended into good images, rebuilt by one network and found by another",
    paper="Zavrtanik et al., ICCV 2021, arXiv 2108.07610",
)
CUTPASTE = Recipe(
    parts={**AUTOENCODER.parts, "backbone": "pixels", "scorer": "cutpaste"},
    summary="how unusual an image is to a head that learned to tell pasted pieces",
    paper="Li et al., CVPR 2021, arXiv 2104.04015",
)
REGAD = Recipe(
    parts={**AUTOENCODER.parts, "backbone": "pixels", "scorer": "regad"},
    options={"backbone": {"size": 224}},
    summary="how unusual each place is among references, registered as other products taught",
    paper="Huang et al., ECCV 2022, arXiv 2207.07361",
)


@hookimpl
def register_backbones(register: Register) -> None:
    """Register `pixels`."""
    register("pixels", "vlmad_families._pixels:Pixels", "the image itself as its features")


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `reconstruction`, `draem`, `cutpaste` and `regad`."""
    register(
        "reconstruction",
        "vlmad_families._reconstruction:Reconstruction",
        "the error of an autoencoder trained on the references",
    )
    register("draem", "vlmad_families._draem:Draem", "what looks as if it were blended in")
    register(
        "cutpaste",
        "vlmad_families._cutpaste:CutPasteScorer",
        "the distance to good images of what a head sees that tells pasted pieces",
    )
    register(
        "regad",
        "vlmad_families._regad:Regad",
        "the distance to references, registered as was learned on other categories",
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register the recipes of these parts."""
    register("autoencoder", AUTOENCODER, AUTOENCODER.summary)
    register("draem", DRAEM, DRAEM.summary)
    register("cutpaste", CUTPASTE, CUTPASTE.summary)
    register("regad", REGAD, REGAD.summary)
