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


@hookimpl
def register_backbones(register: Register) -> None:
    """Register `pixels`."""
    register("pixels", "vlmad_families._pixels:Pixels", "the image itself as its features")


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `reconstruction`."""
    register(
        "reconstruction",
        "vlmad_families._reconstruction:Reconstruction",
        "the error of an autoencoder trained on the references",
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register the recipes of these parts."""
    register("autoencoder", AUTOENCODER, AUTOENCODER.summary)
