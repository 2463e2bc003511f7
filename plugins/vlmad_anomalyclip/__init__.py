"""AnomalyCLIP: learned prompts, dense patch features, value-value attention on a second path.

Zhou et al., ICLR 2024, arXiv 2310.18961.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vlmad import Recipe, hookimpl

if TYPE_CHECKING:
    from vlmad.hookspecs import Register

ANOMALYCLIP = Recipe(
    parts={
        "backbone": "tiny",
        "prompts": "learned",
        "extractor": "dense",
        "attention": "vv",
        "scorer": "dense",
    },
    options={"backbone:openclip": {"image_size": 518}},
    summary="learned object-agnostic prompts against patches of a second path",
    paper="Zhou et al., ICLR 2024, arXiv 2310.18961",
)


@hookimpl
def register_prompts(register: Register) -> None:
    """Register `learned`."""
    register(
        "learned", "vlmad_anomalyclip.learned_prompts:Learned", "learned context and deep tokens"
    )


@hookimpl
def register_extractors(register: Register) -> None:
    """Register `dense`."""
    register(
        "dense", "vlmad_anomalyclip._dense_patches:DensePatches", "patch features of any layers"
    )


@hookimpl
def register_attention(register: Register) -> None:
    """Register `vv`, `qq`, `kk` and `diagonal`."""
    register(
        "vv", "vlmad_anomalyclip._modified_attention:ValueValue", "value-value, on a second path"
    )
    register(
        "qq", "vlmad_anomalyclip._modified_attention:QueryQuery", "query-query, on a second path"
    )
    register("kk", "vlmad_anomalyclip._modified_attention:KeyKey", "key-key, on a second path")
    register(
        "diagonal",
        "vlmad_anomalyclip._modified_attention:Diagonal",
        "more weight on each token itself",
    )


@hookimpl
def register_scorers(register: Register) -> None:
    """Register `dense`."""
    register(
        "dense",
        "vlmad_anomalyclip._dense_scorer:DenseScorer",
        "summed patch probabilities, smoothed",
    )


@hookimpl
def register_detectors(register: Register) -> None:
    """Register `anomalyclip`."""
    register("anomalyclip", ANOMALYCLIP, ANOMALYCLIP.summary)


@hookimpl
def register_commands(register: Register) -> None:
    """Register `vlmad prompts`."""
    register("prompts", "vlmad_anomalyclip.cli:app", "Import learned prompts and look at them.")
