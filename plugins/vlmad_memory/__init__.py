"""Comparing without text, with references or others: patch features and what is kept of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

NEAREST = {
    "backbone": "tiny",
    "extractor": "patches",
    "attention": "none",
    "scorer": "nearest",
}
PATCHCORE = Recipe(
    parts=NEAREST,
    options={
        "extractor": {
            "standardised": "no",
            "neighbourhood": 3,
            "outside": "zeros",
            "joining": "concatenated",
        },
        "scorer": {
            "distance": "euclidean",
            "coreset": 0.1,
            "reweighting": 9,
            "top": 0,
            "sigma": 4,
        },
    },
    summary="the distance of every patch to the nearest one of a coreset of the references",
    paper="Roth et al., CVPR 2022, arXiv 2106.08265",
)
ANOMALYDINO = Recipe(
    parts=NEAREST,
    options={
        "extractor": {"levels": ("last",), "standardised": "no"},
        "scorer": {"turns": 8, "sigma": 4, "border": "symmetric"},
    },
    summary="patches of one level by direction, references turned, the mean of the top 1 %",
    paper="Damm et al., WACV 2025, arXiv 2405.14529",
)
RAD = Recipe(
    parts=NEAREST,
    options={
        "extractor": {"standardised": "no"},
        "scorer": {"images": 150, "score_of": "pixels", "sigma": 1, "taps": 2},
    },
    summary="patches of several levels by direction, beside the references most like the image",
    paper="RAD, as anomalib 2.7 and longkukuhi/RAD have it",
)

GAUSSIAN = Recipe(
    parts={
        "backbone": "tiny",
        "extractor": "patches",
        "attention": "none",
        "scorer": "gaussian",
    },
    summary="a Gaussian over the references' cells, and each cell's distance to its own image",
    resize="auto",
)
PADIM = Recipe(
    parts={**GAUSSIAN.parts},
    options={
        "scorer": {
            "positions": "each",
            "ridge": 0.01,
            "unit": False,
            "rooted": True,
            "channels": 100,
            "novelty": 0,
            "nearest": 0,
            "power": None,
            "top": 0,
            "score_of": "pixels",
            "joining": "sum",
            "sigma": 4,
        }
    },
    summary="a Gaussian for each position, on channels drawn by seed",
    paper="Defard et al., ICPR workshops 2020, arXiv 2011.08785",
)

RARITY = Recipe(
    parts={**GAUSSIAN.parts, "scorer": "rarity"},
    summary="how rare each cell is within its own image, without references or text",
)
CHANGE = Recipe(
    parts={**GAUSSIAN.parts, "scorer": "change"},
    summary="gaussian, or rarity without references, and a network that learned what defects are",
    resize="auto",
)
MUSC = Recipe(
    parts={**GAUSSIAN.parts, "scorer": "mutual"},
    options={"scorer": {"rescoring": (1, 2, 3)}},
    summary="the distance of every patch to the most similar ones of the other images",
    paper="Li et al., ICLR 2024, arXiv 2401.16753",
)
SPADE = Recipe(
    parts={**GAUSSIAN.parts, "scorer": "spade"},
    summary="the nearest references, and the nearest positions within these",
    paper="Cohen and Hoshen, arXiv 2005.02357",
)
SUBSPACE = Recipe(
    parts={**GAUSSIAN.parts, "scorer": "subspace"},
    summary="what principal components of the references' cells leave over",
    paper="Lendering et al., arXiv 2602.23013",
)


@hookimpl
def register_extractors(register: Register) -> None:
    """Register `patches`."""
    register(
        "patches", "vlmad_memory._patch_features:PatchFeatures", "raw features of several levels"
    )


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `nearest`, `gaussian`, `spade`, `subspace`, `mutual`, `rarity` and `change`."""
    register(
        "nearest",
        "vlmad_memory._nearest_patches:NearestPatches",
        "distance to the nearest reference patch",
    )
    register("gaussian", "vlmad_memory._gaussian:Gaussian", "Mahalanobis distance to references")
    register("spade", "vlmad_memory._spade:Spade", "nearest images, then nearest positions")
    register("subspace", "vlmad_memory._subspace:Subspace", "distance to principal components")
    register(
        "mutual", "vlmad_memory._mutual:Mutual", "distance to the nearest patches of other images"
    )
    register("rarity", "vlmad_memory._rarity:Rarity", "distance to the cells of its own image")
    register("change", "vlmad_memory._change:LearnedChange", "differences, judged by a network")


@hookimpl
def register_detectors(register: Register) -> None:
    """Register the recipes of these parts."""
    register("patchcore", PATCHCORE, PATCHCORE.summary)
    register("anomalydino", ANOMALYDINO, ANOMALYDINO.summary)
    register("rad", RAD, RAD.summary)
    register("gaussian", GAUSSIAN, GAUSSIAN.summary)
    register("padim", PADIM, PADIM.summary)
    register("spade", SPADE, SPADE.summary)
    register("subspace", SUBSPACE, SUBSPACE.summary)
    register("musc", MUSC, MUSC.summary)
    register("rarity", RARITY, RARITY.summary)
    register("change", CHANGE, CHANGE.summary)
